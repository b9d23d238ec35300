"""What is stored in the end, beside what was promised and what the provider says."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tests.chaos.people import Person
from tests.chaos.trouble import Kill
from tests.fakes.gemini import Record, reply_to
from tests.fakes.system import FINAL, Installation, Json

# Seconds after a kill in which the provider notices that the worker has hung up.
NOTICED = 1.5
# Seconds for which an answer that arrived may be on its way to the database, on a busy machine.
ON_ITS_WAY = 3.0


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything is over; each question has its answer in a method."""

    site: Installation
    people: Sequence[Person]
    kills: Sequence[Kill]

    def finals(self) -> dict[str, Json]:
        """Every reply by the text that it answers."""
        return {text: final for person in self.people for text, final in person.finals.items()}

    def doubled(self) -> Iterator[str]:
        """Messages stored more than once or answered more than once, and replies that are not the right one."""
        for text, stored in self._stored().items():
            if [role for role, _, _ in stored] not in (["user"], ["user", "model"]):
                yield f"{text}: stored as {stored}"
            for _, status, content in stored[1:]:
                if status == "complete" and content != reply_to(text):
                    yield f"{text}: answered with {content!r}"

    def lost(self) -> Iterator[str]:
        """Accepted, but not there."""
        stored = self._stored()
        for person in self.people:
            for text in person.texts:
                if len(stored.get(text, ())) < 2:
                    yield f"{text}: stored as {stored.get(text)}"

    def stuck(self) -> Iterator[str]:
        """Not final, or still owed."""
        for text, final in self.finals().items():
            if final["status"] not in FINAL:
                yield f"{text}: {final['status']}"
        for (job,) in self.site.ask("SELECT id FROM jobs WHERE kind = 'reply'"):
            yield f"job {job} is left"

    def miscounted(self) -> Iterator[str]:
        """Users whose counter is not the number of their replies that did not fail."""
        counted = dict(self.site.ask("SELECT user_id::text, sum(used)::int FROM daily_usage GROUP BY user_id"))
        for person in self.people:
            truth = sum(final["status"] != "failed" for final in person.finals.values())
            if counted.get(person.id, 0) != truth:
                yield f"user {person.id}: counted {counted.get(person.id)}, in truth {truth}"

    def provided(self) -> dict[str, list[Record]]:
        """The calls that the provider charges for, by user."""
        found: dict[str, list[Record]] = {person.id: [] for person in self.people}
        for record in self.site.gemini.records:
            for person in self.people:
                if record.usage and person.name in record.text:
                    found[person.id].append(record)
        return found

    def ledger(self) -> dict[str, tuple[int, int]]:
        """Calls and tokens by user."""
        query = (
            "SELECT user_id::text, sum(calls)::int, sum(prompt_tokens + output_tokens)::int FROM token_usage GROUP BY 1"
        )
        return {user: (calls, tokens) for user, calls, tokens in self.site.ask(query)}

    def misbilled(self) -> Iterator[str]:
        """Users whose ledger is not the provider's bill, without the answers that died with their worker."""
        ledger = self.ledger()
        for user, records in self.provided().items():
            calls, tokens = ledger.get(user, (0, 0))
            mortal = [record for record in records if self._may_have_died(record)]
            missing = _tokens(records) - tokens
            if not 0 <= len(records) - calls <= len(mortal) or not 0 <= missing <= _tokens(mortal):
                yield f"user {user}: {len(records)} calls, {_tokens(records)} tokens; in the ledger {calls}, {tokens}"

    def recoveries(self) -> Iterator[float]:
        """Seconds from the kill of a worker to the end of each reply that it was making."""
        cut: dict[str, Kill] = {}
        for kill in self.kills:
            for record in self.site.gemini.records:
                gone = record.finished if record.hung_up else None
                if gone is not None and record.started < kill.monotonic <= gone < kill.monotonic + NOTICED:
                    cut[record.text] = kill
        finals = self.finals()
        for text, kill in cut.items():
            if text in finals and finals[text]["completed_at"]:
                yield datetime.fromisoformat(finals[text]["completed_at"]).timestamp() - kill.at

    def _stored(self) -> dict[str, list[tuple[str, str, str]]]:
        """Role, status and content of each message and of its replies, by the message's text."""
        stored = defaultdict(list)
        query = """
            SELECT coalesce(said.content, m.content), m.role, m.status, m.content FROM messages m
            LEFT JOIN messages said ON said.chatroom_id = m.chatroom_id AND said.id = m.reply_to ORDER BY m.id
        """
        for text, *message in self.site.ask(query):
            stored[text].append(tuple(message))
        return stored

    def _may_have_died(self, record: Record) -> bool:
        end = record.finished or 0.0
        return any(record.started < kill.monotonic < end + ON_ITS_WAY for kill in self.kills)


def _tokens(records: Sequence[Record]) -> int:
    return sum(sum(record.usage or ()) for record in records)


def failures(finals: dict[str, Json]) -> Counter[str]:
    """How often replies failed, by code."""
    return Counter(final["error"]["code"] for final in finals.values() if final["status"] == "failed")
