"""Buying pro, what became of it, and what Stripe tells by itself."""

from html import escape

from falcon import HTTP_201, HTTP_202, Request, Response
from msgspec import Struct

from adapters.http import bodies, pages
from adapters.http.auth import caller, is_signed_in
from adapters.http.context import request_id
from adapters.http.describing import IDEMPOTENCY_KEY, Moment, Parameter, Raw, describe
from gemini_core.core import Core
from gemini_core.model.billing.subscriptions import Cancellation, SubscriptionStatus

SIGNATURE = Parameter("Stripe-Signature", "Stripe's signature over the raw body.", required=True)
SESSION = Parameter("session_id", "What Checkout adds; it is not looked at.")


class CheckoutAnswer(Struct):
    """Where to pay."""

    checkout_url: str


class PortalAnswer(Struct):
    """Where to manage payment and subscription."""

    portal_url: str


class ReceivedAnswer(Struct):
    """The event is noted."""

    received: bool = True


class SubscriptionAnswer(Struct):
    """The plan in force. `status`: Stripe's word, `granted` by an operator, or `none`."""

    plan: str
    status: str
    active: bool
    valid_until: Moment | None
    cancel_at_period_end: bool


class ReturnAnswer(Struct):
    """Where the browser came back from. Nothing changes by coming back."""

    payment: str
    message: str
    next: str = "/subscription/status/"


class Subscriptions:
    """The user's subscription."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe(
        "Buy pro",
        body=bodies.Nothing,
        answers={201: CheckoutAnswer},
        headers=(IDEMPOTENCY_KEY,),
        answer_headers={"Idempotent-Replayed": "`true` where this is a replay."},
        problems=("already-subscribed", "idempotency-key-reused", "payments-unavailable", "payments-misconfigured"),
    )
    def on_post_subscribe(self, req: Request, resp: Response) -> None:
        """A page to pay on. Asking again gives the same page until it is paid or expires."""
        asking = caller(req)
        bodies.read(req, bodies.Nothing)
        begun = self._core.subscribe_pro(asking.user_id, key=req.get_header("Idempotency-Key"))
        resp.status = HTTP_201
        if begun.replayed:
            resp.set_header("Idempotent-Replayed", "true")
        resp.data = bodies.write(CheckoutAnswer(begun.checkout.url or ""))

    @describe("The user's plan", answers={200: SubscriptionAnswer})
    def on_get_status(self, req: Request, resp: Response) -> None:
        """The plan in force, what it rests on, and how long it lasts."""
        resp.data = bodies.write(_told(self._core.get_subscription(caller(req).user_id)))

    @describe(
        "Cancel",
        body=bodies.Nothing,
        answers={202: SubscriptionAnswer},
        problems=("no-subscription", "payments-unavailable", "payments-misconfigured"),
    )
    def on_post_cancel(self, req: Request, resp: Response) -> None:
        """The subscription ends with the period that is paid; pro until then."""
        asking = caller(req)
        bodies.read(req, bodies.Nothing)
        resp.status = HTTP_202
        resp.data = bodies.write(_told(self._core.change_cancellation(asking.user_id, Cancellation.AT_PERIOD_END)))

    @describe(
        "Open the portal",
        body=bodies.Nothing,
        answers={201: PortalAnswer},
        problems=("no-subscription", "no-portal", "payments-unavailable", "payments-misconfigured"),
    )
    def on_post_portal(self, req: Request, resp: Response) -> None:
        """The payment provider's own page for cards, invoices and cancellation."""
        asking = caller(req)
        bodies.read(req, bodies.Nothing)
        resp.status = HTTP_201
        resp.data = bodies.write(PortalAnswer(self._core.open_portal(asking.user_id)))


def _told(status: SubscriptionStatus) -> SubscriptionAnswer:
    return SubscriptionAnswer(
        plan=status.plan,
        status=status.status,
        active=status.active,
        valid_until=status.valid_until,
        cancel_at_period_end=status.cancel_at_period_end,
    )


class Webhook:
    """Where Stripe sends its events."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe(
        "Stripe's events",
        body=Raw("application/json", "An event of Stripe, snapshot or thin."),
        answers={200: ReceivedAnswer},
        headers=(SIGNATURE,),
        problems=("invalid-signature", "content-too-large", "webhooks-not-configured", "unavailable"),
        signed_in=False,
    )
    def on_post(self, req: Request, resp: Response) -> None:
        """The signature is checked over the bytes as they came, before anything is read from them.

        200 says that the event is noted, also one that is not handled or was seen before; looking at the customer
        follows. Anything else makes Stripe send it again.
        """
        body, signature = bodies.raw(req), req.get_header("Stripe-Signature")
        self._core.receive_webhook(body, signature, request_id=request_id(req))
        resp.data = bodies.write(ReceivedAnswer())


class PaymentReturn:
    """Where Checkout and the portal send the browser back to. No page grants anything: only Stripe's word does."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe(
        "After paying",
        answers={200: ReturnAnswer},
        query=(SESSION,),
        problems=("unauthenticated", "rate-limited", "unavailable"),
        html=True,
        signed_in=False,
    )
    def on_get_success(self, req: Request, resp: Response) -> None:
        """For the signed-in payer, Stripe is asked at once; the session id is not looked at, whosever it is.

        `payment` is `success`; it is `awaiting_approval` where nobody takes the money but the operator.
        """
        self._look(req)
        if self._core.approve_checkout.is_needed:
            message = "Your plan changes as soon as the operator has approved your order."
            _show(req, resp, "Awaiting approval", ReturnAnswer("awaiting_approval", message))
            return
        message = "Thank you. Your plan changes as soon as the payment is confirmed, usually within seconds."
        _show(req, resp, "Payment received", ReturnAnswer("success", message))

    @describe("After not paying", answers={200: ReturnAnswer}, html=True, signed_in=False)
    def on_get_cancel(self, req: Request, resp: Response) -> None:
        """Nothing was bought."""
        message = "Nothing was charged. You can subscribe whenever you like."
        _show(req, resp, "Payment cancelled", ReturnAnswer("cancel", message))

    @describe(
        "After the portal",
        answers={200: ReturnAnswer},
        problems=("unauthenticated", "rate-limited", "unavailable"),
        html=True,
        signed_in=False,
    )
    def on_get_return(self, req: Request, resp: Response) -> None:
        """For the signed-in customer, Stripe is asked at once."""
        self._look(req)
        message = "Whatever you changed is in force as soon as it is confirmed, usually within seconds."
        _show(req, resp, "Subscription", ReturnAnswer("return", message))

    def _look(self, req: Request) -> None:
        if is_signed_in(req):
            self._core.request_sync(caller(req).user_id, request_id=request_id(req))


def _show(req: Request, resp: Response, title: str, answer: ReturnAnswer) -> None:
    resp.set_header("Cache-Control", "no-store")
    if pages.wanted(req):
        pages.show(resp, title, f'<h1>{escape(title)}</h1><p id="message">{escape(answer.message)}</p>')
    else:
        resp.data = bodies.write(answer)
