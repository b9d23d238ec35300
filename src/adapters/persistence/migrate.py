"""Brings a database to the tables of this release. Safe to run from several hosts at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from adapters.persistence.engine import translating

# Any fixed number: whoever migrates holds this advisory lock, and the others wait for it.
LOCK = 0x6765_6D69


def migrate(engine: Engine) -> None:
    """Upgrade to the newest revision."""
    with translating(), engine.connect() as autocommitting:
        connection = autocommitting.execution_options(isolation_level="READ COMMITTED")
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
        connection.commit()
        try:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
            connection.execute(text("RESET statement_timeout"))
            connection.commit()


def is_current(engine: Engine) -> bool:
    """The database has the tables of this release."""
    with translating(), engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        return found == ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
