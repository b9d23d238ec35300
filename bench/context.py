"""What a turn costs as a conversation grows: tokens told to the model, and how many of them it has seen before.

The shipped verbs on PostgreSQL, turn by turn, with a model that counts.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from statistics import mean
from uuid import UUID

import psycopg
from sqlalchemy import Engine

from adapters.memory.attachments import MemoryAttachments
from adapters.memory.chat.rooms import NoRoomListCache
from adapters.memory.replies import MemoryFeed
from adapters.memory.store import SystemClock
from adapters.persistence import engine as engines
from adapters.persistence.chat.messages import SqlMessages
from adapters.persistence.chat.rooms import SqlRooms
from adapters.persistence.chat.search import SqlSearch
from adapters.persistence.chat.usage import SqlUsage
from adapters.persistence.jobs import SqlJobs
from adapters.persistence.notes import SqlNotes
from adapters.persistence.replies import SqlReplies
from bench import plot
from bench.stage import standing
from gemini_core.core.chat import ChatPorts, ChatRules, ChatVerbs, chat_handlers, chat_verbs
from gemini_core.core.jobs import JobPorts, JobRules, JobVerbs, job_verbs
from gemini_core.model.billing.plans import BASIC, PRO, Plans
from gemini_core.model.chat import Usage
from gemini_core.model.context import estimated_tokens
from gemini_core.model.ids import JobId, UserId
from gemini_core.model.notes import SUMMARY_INSTRUCTION
from gemini_core.model.replies import Piece, Prompt, Timeouts
from gemini_core.use_cases.replies.answering import ModelChoice

ANN = UserId(UUID(int=1))
TURNS = (10, 100, 1_000, 10_000)
QUESTION, ANSWER = "What is the next thing to know about tea? " * 3, "Tea is made of leaves. " * 25
SUMMARY = "Tea. " * 400
JOBS_DUE_NOW = "UPDATE jobs SET due_at = now()"


@dataclass(slots=True)
class Counting:
    """A model that says the same again and again, and keeps what it was told."""

    told: list[str] = field(default_factory=list)
    summing_up: list[int] = field(default_factory=list)

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        whole = "\n".join([prompt.system, *(turn.text for turn in prompt.turns)])
        text = SUMMARY if prompt.system == SUMMARY_INSTRUCTION else f"{ANSWER}{len(self.told)}"
        if prompt.system == SUMMARY_INSTRUCTION:
            self.summing_up.append(estimated_tokens(whole))
        else:
            self.told.append(whole)
        yield Piece(text, Usage(estimated_tokens(whole), estimated_tokens(text)), "stop")


@dataclass(slots=True)
class Nudged:
    """`JobQueue`: what is to be done next."""

    jobs: list[JobId] = field(default_factory=list)

    def nudge(self, *jobs: JobId) -> None:
        self.jobs += jobs


@dataclass(frozen=True, kw_only=True)
class Verbs(ChatVerbs, JobVerbs):
    """Chat and its jobs."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn cost, in tokens."""

    told: int
    seen_before: int
    whole_history: int
    summing_up: int


def main() -> None:
    asked = argparse.ArgumentParser(prog="bench/run context", description=__doc__)
    asked.add_argument("--turns", type=int, default=TURNS[-1])
    asked.add_argument("--context-tokens", type=int, default=BASIC.context_tokens)
    asked.add_argument("--plot", type=Path, help="an SVG to write, besides the table")
    options = asked.parse_args()
    with standing() as stage:
        engine = engines.create(stage.empty("context"), pool_size=2)
        turns = list(conversation(engine, stage.database("context"), options.turns, options.context_tokens))
        engine.dispose()
    print(f"\ntokens per turn, of {options.context_tokens:,} allowed: means of the turns up to the one named\n")
    head = ("turns", "told", "at the most", "seen before", "for summaries", "whole history")
    print("| " + " | ".join(head) + " |\n|" + "---:|" * len(head))
    for upto in [number for number in TURNS if number <= len(turns)]:
        print("| " + " | ".join(_row(upto, turns[upto - max(upto // 2, 10) : upto])) + " |")
    if options.plot is not None:
        options.plot.write_text(_plotted(turns), encoding="utf-8")


def _plotted(turns: Sequence[Turn]) -> str:
    """Turns that lie so close together that they would share a place are left out."""
    steps = sorted({round(10 ** (step / 60)) for step in range(60 * len(str(len(turns))))})
    shown = [number for number in steps if number <= len(turns)]
    lines = {
        "the whole history": [(number, turns[number - 1].whole_history) for number in shown],
        "what is told": [(number, turns[number - 1].told) for number in shown],
    }
    return plot.logarithmic("Tokens of a prompt, by turns of the conversation", lines)


def _row(upto: int, turns: Sequence[Turn]) -> list[str]:
    told, seen = mean(turn.told for turn in turns), mean(turn.seen_before for turn in turns)
    numbers = (upto, told, max(turn.told for turn in turns))
    rest = (mean(turn.summing_up for turn in turns), turns[-1].whole_history)
    return [*(f"{number:,.0f}" for number in numbers), f"{seen / told:.0%}", *(f"{number:,.0f}" for number in rest)]


def conversation(engine: Engine, url: str, turns: int, context_tokens: int) -> Iterator[Turn]:
    """One room, turn after turn; summaries are made as soon as they are promised."""
    model, queue = Counting(), Nudged()
    verbs = _verbs(engine, model, queue, context_tokens)
    history = 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO users (id, mobile_number, created_at) VALUES (%s, '+1', now())", (ANN,))
        room, _ = verbs.create_room(ANN, title="Tea", system_instruction="Be brief.")
        for number in range(turns):
            verbs.send_message(ANN, room.id, f"{QUESTION}{number}")
            model.summing_up.clear()
            before = model.told[-1] if model.told else ""
            while queue.jobs:
                verbs.run_job(queue.jobs.pop())
            connection.execute(JOBS_DUE_NOW)
            while due := verbs.due_jobs(limit=1):
                verbs.run_job(due[0])
                connection.execute(JOBS_DUE_NOW)
            now = model.told[-1]
            history += estimated_tokens(QUESTION) + estimated_tokens(ANSWER)
            seen = estimated_tokens(now[: _alike(before, now)])
            yield Turn(estimated_tokens(now), seen, history, sum(model.summing_up))


def _alike(one: str, other: str) -> int:
    """How many characters they begin alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))


def _verbs(engine: Engine, model: Counting, queue: Nudged, context_tokens: int) -> Verbs:
    clock, jobs = SystemClock(), SqlJobs(engine)
    ports = ChatPorts(
        rooms=SqlRooms(engine),
        messages=SqlMessages(engine),
        replies=SqlReplies(engine),
        notes=SqlNotes(engine),
        usage=SqlUsage(engine),
        search=SqlSearch(engine),
        feed=MemoryFeed(),
        room_lists=NoRoomListCache(),
        attachments=MemoryAttachments(),
        llm=model,
    )
    work = JobPorts(jobs=jobs, leases=jobs, admin=jobs, queue=queue)
    plans = Plans(replace(BASIC, daily_messages=10**9, context_tokens=context_tokens), PRO)
    rules = ChatRules(plans=plans, choice=ModelChoice(default="counting", scribe=""))
    chatting = chat_verbs(ports, work, rules, clock)
    handlers = chat_handlers(ports, work, rules, chatting.metered_model, clock)
    return Verbs(
        **vars(chatting),
        **vars(job_verbs(work, JobRules(lease_for=timedelta(seconds=60)), handlers, clock)),
    )


if __name__ == "__main__":
    main()
