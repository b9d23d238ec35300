"""What is stored in the end, beside what was promised and what the provider says."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from uuid import UUID, uuid5

from tests.chaos.bill import Account, Call
from tests.chaos.people import Person
from tests.chaos.trouble import Kill
from tests.fakes.gemini import Record, reply_to
from tests.fakes.system import FINAL, Installation, Json

from gemini_core.model.notes import TITLE_JOB

# Seconds in which the provider notices what a worker does: that it asks, and that it has hung up.
NOTICED = 1.5


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
        for job, kind in self.site.ask("SELECT id, kind FROM jobs WHERE kind IN ('reply', 'title', 'summary')"):
            yield f"job {job} ({kind}) is left"

    def miscounted(self) -> Iterator[str]:
        """Users whose counter is not the number of their replies that did not fail."""
        counted = dict(self.site.ask("SELECT user_id::text, sum(used)::int FROM daily_usage GROUP BY user_id"))
        for person in self.people:
            truth = sum(final["status"] != "failed" for final in person.finals.values())
            if counted.get(person.id, 0) != truth:
                yield f"user {person.id}: counted {counted.get(person.id)}, in truth {truth}"

    def accounts(self) -> dict[str, Account]:
        """Of every call that the provider charges for or that is on record, by its job."""
        found, made = defaultdict[str, Account](Account), defaultdict[str, list[Record]](list)
        for record in self.site.gemini.records:
            if record.text:  # the whole of a request came through
                made[self._job(record)].append(record)
        for job, calls in made.items():
            for call, later in zip_longest(calls, calls[1:]):
                if call.usage:
                    found[job].charged.append(Call(call, struck=self._struck(call, later)))
        for job, *figures in self.site.ask("SELECT job_id::text, prompt_tokens, output_tokens FROM model_calls"):
            found[job].recorded.append((figures[0], figures[1]))
        for (job, _), attempts in self._ended().items():
            found[job].died += max(attempts) - len(attempts)
        return found

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

    def _struck(self, call: Record, later: Record | None) -> bool:
        """A worker was killed before the job went on. A job always goes on after a call that died with its worker."""
        if later is None or call.finished is None:
            return False
        end = max(call.finished, later.started)
        return any(call.started - NOTICED < kill.monotonic < end for kill in self.kills)

    def _job(self, record: Record) -> str:
        """What the call was made for: the reply to a message, or the title of its room."""
        text = record.text.removeprefix("User: ").partition("\n\n")[0]
        reply = next(person.accepted[text]["reply"] for person in self.people if text in person.accepted)
        return reply["id"] if text == record.text else str(uuid5(UUID(reply["chatroom_id"]), TITLE_JOB))

    def _ended(self) -> dict[tuple[str, str], set[int]]:
        """The attempts of each job of which a worker has said that they are over.

        A room's title may be promised by one request and, once that job is gone, by another: a job of its own.
        """
        ended = defaultdict[tuple[str, str], set[int]](set)
        for process in self.site.processes:
            for line in process.lines():
                if line["event"] == "job":
                    ended[line["job_id"], line["request_id"]].add(line["attempt"])
        return ended


def failures(finals: dict[str, Json]) -> Counter[str]:
    """How often replies failed, by code."""
    return Counter(final["error"]["code"] for final in finals.values() if final["status"] == "failed")
