"""What the commands need of the rest, all of it built when it is first asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gemini_core.core import Core


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `doctor` looked at. `detail` may be shown to anybody: no secret."""

    name: str
    ok: bool
    detail: str


class Backend(Protocol):
    """The product, as its operator holds it. Each of these raises a `Failure` whose detail is one sentence."""

    @property
    def core(self) -> Core:
        """Every verb, on the configured adapters."""
        ...

    def dev(self) -> None:
        """Runs everything on this machine until it is told to end."""
        ...

    def serve(self) -> None:
        """Runs the API until it is told to end."""
        ...

    def worker(self) -> int:
        """Runs a worker until it is told to end; answers the exit code: not 0 if it could not go on."""
        ...

    def migrate(self) -> None:
        """Brings the database up to date."""
        ...

    def doctor(self) -> Sequence[Finding]:
        """Checks the settings and every connection."""
        ...
