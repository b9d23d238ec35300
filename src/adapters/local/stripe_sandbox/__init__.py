"""A Stripe-compatible sandbox: the unmodified `stripe` package talks to it, and no money moves.

`shelf` keeps the objects, `shop` knows what happens when somebody pays or time passes. It has three doors: the API
(`api` and `routes`, with `customers`, `sales` and `clocks` behind them; `forms`, `params` and `lists` are Stripe's ways
of writing), the buyers' `pages`, and the levers (`controls`, and `overview` with buttons for them). `deliveries` sends
the webhooks, `server` is HTTP.
"""
