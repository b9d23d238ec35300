"""What a chaos run is to do."""

from dataclasses import dataclass

# Seconds without a word of the provider's after which a worker gives a call up.
SILENCE = 3.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All dice are thrown by `seed`. Times are in seconds.

    `between`: bounds of the pause between two strikes; `strikes`: how many there are at least. `patience`: how long
    after the last message its reply may take. A worker that says nothing for `lease` is taken for dead.
    """

    seed: int = 1
    users: int = 50
    messages: int = 1_000
    strikes: int = 60
    between: tuple[float, float] = (1.0, 4.0)
    pause: float = 0.1
    lease: float = 15.0
    faults: float = 0.3
    patience: float = 300.0

    @property
    def settings(self) -> dict[str, str]:
        """Small time-outs, and tries enough that bad luck alone fails nothing."""
        return {
            "LEASE_SECONDS": str(self.lease),
            "RENEW_SECONDS": str(self.lease / 3),
            "GEMINI_FIRST_CHUNK_TIMEOUT": str(SILENCE),
            "GEMINI_CHUNK_TIMEOUT": str(SILENCE),
            "GEMINI_TOTAL_TIMEOUT": "600",
            "GEMINI_ATTEMPTS": "12",
        }


SHORT = Plan(users=10, messages=100, strikes=8, between=(0.3, 1.0), pause=0.03, lease=3.0, patience=60.0)
