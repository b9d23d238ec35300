"""Events over HTTP: what is posted, who can tell that it was us, and what each answer means."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.fakes.receiver import KEYS, Receiver, receiver

from adapters.memory.store import SystemClock
from adapters.webhooks.events import EventWebhook
from gemini_core.model.events import Event, EventId, EventKind
from gemini_core.model.ids import UserId, uuid7
from gemini_core.ports.events import NotHeard

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVENT = Event(
    id=EventId(uuid7(NOON)),
    kind=EventKind.LIMIT_REACHED,
    at=NOON,
    user_id=UserId(uuid7(NOON)),
    data={"limit": 5, "resets_at": "2026-11-23T00:00:00.000Z"},
)


@pytest.fixture
def service() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def tell(service: Receiver, *, patience: float = 10.0) -> None:
    with closing(EventWebhook(service.url, KEYS, SystemClock(), patience=patience)) as webhook:
        webhook.tell(EVENT)


def refusal(service: Receiver, *answers: int | tuple[int, str], patience: float = 10.0) -> NotHeard:
    service.answers = list(answers)
    with pytest.raises(NotHeard) as failed:
        tell(service, patience=patience)
    assert "only-for-us" not in str(failed.value)
    return failed.value


def test_an_event_is_thin_and_says_what_happened_to_whom(service: Receiver) -> None:
    tell(service)
    (post,) = service.posts
    assert post.told == {
        "type": "limit.reached",
        "timestamp": "2026-11-22T12:00:00.000Z",
        "data": {"user_id": str(EVENT.user_id), "limit": 5, "resets_at": "2026-11-23T00:00:00.000Z"},
    }
    assert post.headers["content-type"] == "application/json"


def test_a_service_can_tell_that_it_was_us_with_its_old_key_and_with_its_new_one(service: Receiver) -> None:
    tell(service)
    (post,) = service.posts
    assert post.id == str(EVENT.id)
    for key in KEYS:
        assert Webhook(key).verify(post.body, post.headers) == post.told
    with pytest.raises(WebhookVerificationError):
        Webhook(b"x" * 24).verify(post.body, post.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(KEYS[0]).verify(post.body.replace(b"5", b"6"), post.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(KEYS[0]).verify(post.body, post.headers | {"webhook-id": "another"})


def test_a_second_try_is_the_same_event_word_for_word(service: Receiver) -> None:
    refusal(service, 500)
    tell(service)
    first, second = service.posts
    assert (first.id, first.body) == (second.id, second.body)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_means_that_it_was_heard(service: Receiver, status: int) -> None:
    service.answers = [status]
    tell(service)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 429, 500, 503])
def test_anything_else_does_not_and_no_redirect_is_followed(service: Receiver, status: int) -> None:
    failed = refusal(service, status)
    assert (str(failed), failed.retry_after, failed.for_good) == (f"answered {status}", None, False)
    assert len(service.posts) == 1


def test_gone_means_for_good(service: Receiver) -> None:
    assert refusal(service, 410).for_good


def test_a_service_says_how_long_to_wait_in_seconds_or_with_a_date(service: Receiver) -> None:
    assert refusal(service, (429, "7")).retry_after == 7.0
    asked = refusal(service, (503, format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True))).retry_after
    assert asked is not None
    assert 290 < asked <= 300
    assert refusal(service, (503, format_datetime(NOON - timedelta(days=9999), usegmt=True))).retry_after == 0.0
    assert refusal(service, (503, "soon")).retry_after is None


def test_a_service_that_is_not_there_has_not_heard() -> None:
    with receiver() as gone:
        pass
    assert str(refusal(gone)) == "ConnectError"


def test_a_service_that_never_answers_has_not_heard(service: Receiver) -> None:
    assert str(refusal(service, 0, patience=0.3)) == "ReadTimeout"


def test_the_doctor_may_ask_whether_somebody_is_there_without_telling_anything(service: Receiver) -> None:
    with closing(EventWebhook(service.url, KEYS, SystemClock())) as webhook:
        webhook.check()
    assert service.posts == []
