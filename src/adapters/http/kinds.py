"""The kinds of problem: one table says what every code means, in a status and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its status, its title, and the paragraph on its page."""

    status: int
    title: str
    text: str


KINDS: Final[Mapping[str, Kind]] = {
    # The words of gemini_core.errors. A code that is not in this table takes its word's status and page.
    "invalid-request": Kind(
        422,
        "The request is not acceptable as it is",
        "`errors` names each field at fault, with a message for people and a code for programs. Unknown fields, "
        "wrong types, duplicate keys and numbers that JSON does not have are refused too.",
    ),
    "refused": Kind(400, "Refused", "The proof that came with the request does not hold. Nothing more is told."),
    "unauthenticated": Kind(
        401,
        "Sign-in needed",
        "The call needs `Authorization: Bearer <access token>`, and there was none, or it is not valid (any more). "
        "Get a new one with the refresh token, or sign in again.",
    ),
    "forbidden": Kind(403, "Not part of the plan", "You are signed in, but your plan does not include this."),
    "not-found": Kind(
        404, "Not found", "There is nothing at this address, or it is not yours: the two are never told apart."
    ),
    "conflict": Kind(409, "Not in this state", "The thing exists, but is in a state that does not allow this call."),
    "daily-limit-reached": Kind(
        402,
        "The plan's daily limit is used up",
        "`used` of `limit` messages of today (UTC) are used. It starts anew at `resets_at`; `Retry-After` has the "
        "seconds until then; `upgrade_url` leads to a larger plan. Nothing was stored.",
    ),
    "rate-limited": Kind(
        429,
        "Too many requests",
        "Wait as many seconds as `Retry-After` says, then ask again. `RateLimit-Policy` has the rule.",
    ),
    "unavailable": Kind(
        503,
        "Unavailable for the moment",
        "Something that this call needs is away. Nothing was done, or that is not known: ask again after `Retry-After` "
        "seconds, with the same `Idempotency-Key` where the call takes one.",
    ),
    # Finer words of the verbs.
    "idempotency-key-reused": Kind(
        422,
        "The Idempotency-Key was used before",
        "The same key came earlier with another request. A key stands for one request; take a fresh one for a new one.",
    ),
    "invalid-otp": Kind(
        400,
        "The code is not valid",
        "The code is wrong, expired, used, unknown, or was tried too often: which of these is never told. "
        "Ask for a new one.",
    ),
    "invalid-credentials": Kind(
        401,
        "The password is not right here",
        "Where a code was asked for, the number and the password do not fit together; which is wrong is not told. "
        "Where a new password was to be set, the current one is wrong. Another access token does not help.",
    ),
    "already-subscribed": Kind(
        409, "Already subscribed", "There is a running subscription. It can be managed through the portal."
    ),
    "invalid-signature": Kind(
        400,
        "The signature does not hold",
        "The signature is missing, wrong or too old. Nothing was read from the body.",
    ),
    "invalid-reset-token": Kind(
        401, "The reset token is no longer good", "It is wrong, used or too old. Ask for a new code and start over."
    ),
    "sign-in-again": Kind(
        403,
        "Sign in again first",
        "A first password can be set only shortly after a sign-in with a code. Sign in again, then set it.",
    ),
    "model-not-in-plan": Kind(
        403, "The model is not part of the plan", "Choose another model, or change to a plan that includes this one."
    ),
    "attachments-not-in-plan": Kind(
        403,
        "Attachments are not part of the plan",
        "Send the message without files, or change to a plan with them.",
    ),
    "room-limit-reached": Kind(
        409, "The plan has no room for another chatroom", "Delete a chatroom, or change to a larger plan."
    ),
    "reply-under-way": Kind(
        409, "The reply is under way", "There can be another reply when this one is final; it can be cancelled."
    ),
    "superseded": Kind(
        409,
        "No part of the conversation any more",
        "The message was edited, or another reply took its place. It is kept, but nothing goes on from it.",
    ),
    "already-final": Kind(409, "The reply is final", "A reply that is complete, failed or cancelled does not change."),
    "no-subscription": Kind(409, "No subscription", "There is no subscription that this call could change or manage."),
    "unknown-customer": Kind(404, "No such customer", "The payment provider does not know this customer (any more)."),
    "no-portal": Kind(409, "No portal", "This payment provider has no portal; the subscription is managed here alone."),
    "payments-unavailable": Kind(
        503, "Payments are unavailable for the moment", "The payment provider does not answer. Try again in a while."
    ),
    "payments-misconfigured": Kind(
        503,
        "Payments are not available",
        "Nothing is sold here, or the operator's set-up of the payment provider is wrong. Only they can mend that.",
    ),
    "webhooks-not-configured": Kind(
        503, "Webhooks are not set up", "The operator has configured no webhook secret, so no event can be checked."
    ),
    "temporary-reduced-capacity": Kind(
        503, "Less capacity for the moment", "This cannot be served right now. Nothing was done; try again later."
    ),
    # What HTTP itself has to say.
    "bad-request": Kind(400, "Bad request", "The request is not proper HTTP, for instance in one of its headers."),
    "malformed-json": Kind(400, "Malformed JSON", "The body is not JSON (RFC 8259) in UTF-8, or ended early."),
    "bad-cursor": Kind(
        400,
        "The cursor is not valid",
        "A cursor is good only for the list, the user and the filters that it was given out for, and only unchanged. "
        "Start again without one.",
    ),
    "method-not-allowed": Kind(
        405, "The path does not answer this method", "`Allow` lists the methods that the path answers."
    ),
    "content-too-large": Kind(413, "The body is too large", "A body may have 1 MiB, unless the call says otherwise."),
    "unsupported-media-type": Kind(
        415, "Not a media type for this call", "Bodies are `application/json` in UTF-8, and `Content-Type` says so."
    ),
    "internal-error": Kind(
        500,
        "Something went wrong here",
        "The fault is ours and is in our log under the request id (`instance`). Asking again may help.",
    ),
}
