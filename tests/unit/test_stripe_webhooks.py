"""What Stripe sends, or somebody who would like to be Stripe."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.local.stripe_sandbox.deliveries import signature, thin
from adapters.stripe.webhooks import Webhooks
from gemini_core.errors import Refused, Unavailable
from gemini_core.model.billing.events import Concern, Hint, Subject

NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
SECRET, NEXT_SECRET = "whsec_one", "whsec_two"
WEBHOOKS = Webhooks((SECRET, NEXT_SECRET), live=False)


def event(kind: str = "customer.subscription.updated", **about: Any) -> dict[str, Any]:
    thing = {"id": "sub_1", "object": "subscription", "customer": "cus_1", **about}
    return {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "created": AT - 5,
        "livemode": False,
        "data": {"object": thing},
    }


def sent(value: object, *, secret: str = SECRET, at: int = AT, now: datetime = NOW) -> Hint:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return WEBHOOKS.verify(body, signature(body, secret, at), now)


def test_a_good_event_is_read_for_where_to_look_only() -> None:
    assert sent(event(status="active")) == Hint(
        event_id="evt_1",
        kind="customer.subscription.updated",
        happened_at=NOW - timedelta(seconds=5),
        matters=True,
        customer_id="cus_1",
        subject=Subject("subscription", "sub_1"),
    )


def test_a_thin_event_says_the_same_without_the_customer() -> None:
    hint = sent(thin(event()))
    assert (hint.event_id, hint.kind, hint.matters) == ("evt_1", "customer.subscription.updated", True)
    assert (hint.customer_id, hint.subject) == (None, Subject("subscription", "sub_1"))


def test_a_thin_event_about_a_customer_names_them() -> None:
    assert sent(thin(event("customer.deleted", id="cus_7", object="customer"))).customer_id == "cus_7"


def test_an_expanded_customer_is_one_too() -> None:
    assert sent(event(customer={"id": "cus_1", "object": "customer"})).customer_id == "cus_1"


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET])
def test_any_of_the_secrets_will_do(secret: str) -> None:
    assert sent(event(), secret=secret).event_id == "evt_1"


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_five_minutes_either_way_are_fresh(age: int) -> None:
    assert sent(event(), at=AT - age).event_id == "evt_1"


@pytest.mark.parametrize("age", [-86_400, -301, 301, 86_400, 10**400])
def test_older_and_younger_ones_are_refused(age: int) -> None:
    with pytest.raises(Refused):
        sent(event(), at=AT - age)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=",
        "t=x,v1=y",
        f"t={AT}",
        f"t={AT},v0=00",
        f"t={AT},v1=",
        f"t={AT},v1=" + "0" * 64,
        f"v1={'0' * 64}",
        f"t={AT},v1=ä",
        f"t={'9' * 5000},v1=00",
        "\x00",
        "=,=,=",
    ],
)
def test_every_other_signature_is_refused(header: str | None) -> None:
    with pytest.raises(Refused) as refused:
        WEBHOOKS.verify(json.dumps(event()).encode(), header, NOW)
    assert refused.value.code == "invalid-signature"


def test_a_signature_of_the_wrong_scheme_only_is_refused() -> None:
    body = json.dumps(event()).encode()
    with pytest.raises(Refused):
        WEBHOOKS.verify(body, signature(body, SECRET, AT).replace("v1=", "v0="), NOW)


def test_a_body_that_was_read_and_written_again_is_refused() -> None:
    body = json.dumps(event(), indent=2).encode()
    again = json.dumps(json.loads(body)).encode()
    with pytest.raises(Refused):
        WEBHOOKS.verify(again, signature(body, SECRET, AT), NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"not json",
        b"[]",
        b"null",
        b"1",
        b'"event"',
        b"{}",
        b'{"id": 1, "type": "x", "data": {"object": {}}}',
        b'{"id": "evt_1", "type": "x", "data": []}',
        b'{"id": "evt_1", "type": "x", "data": {"object": []}}',
        b'{"id": "evt_\\u0000", "type": "x", "data": {"object": {}}}',
        b'{"id": "\\ud800", "type": "x", "data": {"object": {}}}',
        b'{"id": "evt_1", "type": "x", "created": 1e300, "data": {"object": {}}}',
        b'{"id": "evt_1", "type": "x", "created": 99999999999999999, "data": {"object": {}}}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"9" * 100_000,
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    try:
        hint = sent(body)
    except Refused:
        return
    assert not hint.matters


@pytest.mark.parametrize(
    "shape",
    [{}, {"data": None}, {"data": {"object": {"id": 7, "object": "x", "customer": ["cus_1"]}}}, {"created": "soon"}],
)
def test_a_signed_event_of_another_kind_may_look_like_anything(shape: dict[str, object]) -> None:
    hint = sent({"id": "evt_1", "type": "news.of.tomorrow", **shape})
    assert (hint.event_id, hint.kind, hint.matters) == ("evt_1", "news.of.tomorrow", False)
    with pytest.raises(Refused):
        sent({"id": "evt_1", "type": "invoice.paid", "created": "soon", **shape})


def test_without_a_secret_nothing_is_accepted() -> None:
    body = json.dumps(event()).encode()
    for secrets in ((), ("",), (" ",)):
        with pytest.raises(Unavailable) as away:
            Webhooks(secrets, live=False).verify(body, signature(body, "", AT), NOW)
        assert away.value.code == "webhooks-not-configured"


def test_other_kinds_and_the_other_mode_do_not_matter() -> None:
    assert not sent(event("invoice.created")).matters
    assert not sent({**event(), "livemode": True}).matters


@pytest.mark.parametrize(
    ("kind", "concern"), [("charge.refunded", Concern.REFUND), ("charge.dispute.created", Concern.DISPUTE)]
)
def test_refunds_and_disputes_concern_the_operator(kind: str, concern: Concern) -> None:
    hint = sent(event(kind, id="du_1", object="dispute", customer=None))
    assert (hint.matters, hint.concern, hint.subject) == (True, concern, Subject("dispute", "du_1"))
