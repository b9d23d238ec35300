"""Every table, a section per topic. Migrations are written by hand; a test holds them against this page."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)

from sqlalchemy.dialects.postgresql import BYTEA, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

Instant = DateTime(timezone=True)

# --- accounts ---------------------------------------------------------------------------------------------------------

# (the accounts owner fills this section; `users` is what the other sections refer to)

# --- jobs -------------------------------------------------------------------------------------------------------------

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("args", JSONB, nullable=False),
    Column("lane", Uuid),
    Column("request_id", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=text("now()")),
    Column("due_at", Instant, nullable=False),
    Column("lease", Uuid),
    Column("leased_until", Instant),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("trying_since", Instant),
    Column("cancelled", Boolean, nullable=False, server_default=text("false")),
    Column("dead", Boolean, nullable=False, server_default=text("false")),
    Column("error", Text),
)
# What could be claimed, oldest first. A leased job stays in it: the sweeper looks at few rows, and a claim that
# changes no indexed column is a heap-only update.
Index("jobs_due_idx", jobs.c.due_at, postgresql_where=text("NOT dead"))
Index("jobs_lane_idx", jobs.c.lane, jobs.c.id, postgresql_where=text("lane IS NOT NULL AND NOT dead"))

# --- chat -------------------------------------------------------------------------------------------------------------

chatrooms = Table(
    "chatrooms",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("title", Text, nullable=False),
    Column("titled_by_user", Boolean, nullable=False),
    Column("system_instruction", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    # The timestamp of the newest message id: the next one's is greater, whatever the clocks of the API hosts say.
    Column("last_message_ms", BigInteger, nullable=False, server_default=text("0")),
    Column("message_count", Integer, nullable=False, server_default=text("0")),
    Column("pinned", Boolean, nullable=False, server_default=text("false")),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
)
Index("chatrooms_user_id_updated_at_id_idx", chatrooms.c.user_id, chatrooms.c.updated_at.desc(), chatrooms.c.id.desc())

messages = Table(
    "messages",
    metadata,
    Column("chatroom_id", Uuid, ForeignKey("chatrooms.id", ondelete="CASCADE"), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("completed_at", Instant),
    Column("reply_to", Uuid),
    Column("model", Text),
    Column("finish_reason", Text),
    Column("prompt_tokens", Integer),
    Column("output_tokens", Integer),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("error_retryable", Boolean),
    # An earlier alternative, or what came after a message that was edited: kept, but no part of the conversation.
    Column("superseded", Boolean, nullable=False, server_default=text("false")),
    # The UTC day whose unit this reply holds; emptied when the unit is given back, so that it returns exactly once.
    Column("unit_day", Date),
)

daily_usage = Table(
    "daily_usage",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("used", Integer, CheckConstraint("used >= 0", name="used"), nullable=False),
)

token_usage = Table(
    "token_usage",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("plan", Text, primary_key=True),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("calls", Integer, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", BYTEA, nullable=False),
    # What was decided; with the request itself, which the fingerprint fixes, it gives the first answer again.
    Column("outcome", JSONB, nullable=False),
    Column("created_at", Instant, nullable=False),
)
Index("idempotency_keys_created_at_idx", idempotency_keys.c.created_at)
