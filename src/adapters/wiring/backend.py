"""Everything behind the command line, built when it is first asked for, so that `--help` and `dev` stay light."""

import gc
import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

from adapters import logs
from adapters.cli.context import Finding
from adapters.local import supervisor
from adapters.settings import Settings, environment
from gemini_core.errors import Unavailable

if TYPE_CHECKING:  # these bring the whole product along
    from adapters.wiring.container import Container
    from gemini_core.core import Core

COMMAND = (sys.executable, "-c", "from adapters.wiring import main; main()")


def collect_seldom() -> None:
    """The collector of cycles leaves alone what is there by now, and looks at what comes less often.

    It stops all threads: with a thousand replies under way, for half a second at a time, every few seconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _standing_in(settings: Settings) -> dict[str, str]:
    """The variables of the `dev` that is running, where the settings name nothing else to use."""
    empty = {
        "PUBLIC": "PUBLIC_URL" not in environment(),
        "DATABASE": not settings.database_url,
        "REDIS": not settings.redis_url,
        "STRIPE": not settings.stripe_secret_key,
    }
    found = supervisor.running(settings.data_dir)
    return {name: value for name, value in found.items() if empty[name.partition("_")[0]]}


class Backend:
    """Everything behind the command line.

    `logs_aside`: commands log to standard error, as standard output is for what was asked; servers log as ever.
    """

    def __init__(self, *, logs_aside: bool = False) -> None:
        self._logs_aside = logs_aside

    @cached_property
    def settings(self) -> Settings:
        """Of this process; for what is empty, the stand-ins that a `dev` on the same DATA_DIR keeps running."""
        settings = self._own_settings
        if not settings.in_production:
            settings = Settings.load(environment() | _standing_in(settings))
        for name in ("database_url", "redis_url"):
            if not getattr(settings, name):
                home = settings.data_dir.absolute()
                raise Unavailable(f"{name.upper()} is not set, and no `gemini-backend dev` runs on {home}.")
        return settings

    @cached_property
    def _own_settings(self) -> Settings:
        return Settings.load()

    @cached_property
    def container(self) -> "Container":
        """The product's parts, made when they are first needed."""
        from adapters.wiring.container import Container

        return Container(settings=self.settings)

    @cached_property
    def core(self) -> "Core":
        """Every verb, on the configured adapters."""
        self._log_aside()
        core: Core = self.container.core()
        return core

    def log(self, stream: TextIO | None = None) -> None:
        """From now on this process logs as the settings say."""
        logs.setup("console" if self.settings.log_format == "console" else "json", self.settings.log_level, stream)

    def _log_aside(self) -> None:
        if self._logs_aside:
            self.log(sys.stderr)

    def serve(self) -> None:
        """Runs the API until it is told to end."""
        from adapters.http import server

        settings = self.settings
        self.log()
        server.serve(
            "adapters.wiring:api",
            host=settings.host,
            port=settings.port,
            processes=settings.api_processes,
            threads=settings.api_threads,
        )

    def worker(self) -> int:
        """Runs a worker until it is told to end; answers the exit code."""
        from adapters.queue import worker

        self.log()
        broker, runner = self.container.broker(), self.container.runner()
        if self.settings.gemini_api_key:
            import adapters.gemini.calls  # noqa: F401  (a second that the first replies would have to wait)
        collect_seldom()
        return worker.serve(broker, runner, loglevel=self.settings.log_level)

    def dev(self) -> None:
        """Runs everything on this machine until it is told to end."""
        settings = self._own_settings
        supervisor.supervise(
            supervisor.Setup(
                program=COMMAND,
                environ=os.environ | {"LOG_FORMAT": settings.log_format},
                home=settings.data_dir,
                host=settings.host,
                port=settings.port,
                public_url=settings.public_url,
                database_url=settings.database_url,
                redis_url=settings.redis_url,
                stripe_key=settings.stripe_secret_key,
                model=settings.gemini_model if settings.gemini_api_key else "demo (set GEMINI_API_KEY for Gemini)",
                codes=f"{settings.public_url}/dev/inbox/" if settings.otp_sender == "inbox" else settings.otp_sender,
                worker_grace=settings.worker_grace,
            )
        )

    def migrate(self) -> None:
        """Brings the database up to date."""
        from adapters.persistence import engine
        from adapters.persistence.migrate import migrate

        own = engine.create(self.settings.database_url, pool_size=1)
        migrate(own)
        own.dispose()

    def doctor(self) -> list[Finding]:
        """Checks the settings and every connection."""
        from adapters.wiring.doctor import examine

        self._log_aside()
        return examine(self.settings)
