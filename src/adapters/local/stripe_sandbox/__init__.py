"""A Stripe-compatible sandbox: the unmodified `stripe` package talks to it, and no money moves.

`forms` reads Stripe's way of writing requests; `shelf` keeps the objects; `shop` knows what happens when somebody pays
or time passes; `api`, `pages` and `controls` are its three doors; `deliveries` sends the webhooks; `server` is HTTP.
"""
