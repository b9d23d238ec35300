"""Events: others are told what happened, by a function of theirs or over HTTP."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gemini_core.core.jobs import JobPorts, JobRules, bulkhead
from gemini_core.model.events import Audience, Event, job_kind
from gemini_core.ports.clock import Clock
from gemini_core.ports.events import EventSink
from gemini_core.use_cases.events import Hook, TellEvent
from gemini_core.use_cases.jobs import Handler

# Seconds that an event rests at the most because too many others are being told.
LONGEST_REST = 3_600.0
# What a program that embeds the product wants to be called with.
OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPorts:
    """Who listens outside of this program. Nobody: then nothing is written down for them."""

    webhook: EventSink | None = None


def listeners(ports: EventPorts, on_event: OnEvent | None) -> Mapping[str, EventSink]:
    """Whoever listens, by name."""
    sinks = {"webhook": ports.webhook, "hook": Hook(on_event) if on_event else None}
    return {name: sink for name, sink in sinks.items() if sink is not None}


def audience(sinks: Mapping[str, EventSink]) -> Audience:
    """Those to whom facts are promised."""
    return Audience(tuple(sinks))


def event_handlers(
    sinks: Mapping[str, EventSink], jobs: JobPorts, rules: JobRules, clock: Clock
) -> Mapping[str, Handler]:
    """Who keeps the promises to tell; each listener on seats of their own."""
    told = dict[str, Handler]()
    for name, sink in sinks.items():
        teller = {job_kind(name): TellEvent(jobs.jobs, sink, clock)}
        told |= bulkhead(teller, jobs, seats=rules.few_seats, longest=LONGEST_REST)
    return told
