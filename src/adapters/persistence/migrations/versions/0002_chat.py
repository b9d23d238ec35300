"""Jobs, chatrooms, messages, summaries, daily units, tokens, idempotency keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

revision = "0002"
down_revision = "0001"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("args", JSONB, nullable=False),
        sa.Column("lane", sa.Uuid),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.text("now()")),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("lease", sa.Uuid),
        sa.Column("leased_until", INSTANT),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("put_back", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("trying_since", INSTANT),
        sa.Column("cancelled", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("dead", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="jobs_pkey"),
    )
    op.create_index("jobs_due_idx", "jobs", ["due_at"], postgresql_where=sa.text("NOT dead"))
    op.create_index("jobs_lane_idx", "jobs", ["lane", "id"], postgresql_where=sa.text("lane IS NOT NULL AND NOT dead"))
    op.create_table(
        "chatrooms",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("system_instruction", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("last_message_ms", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("message_count", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("archived", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.PrimaryKeyConstraint("id", name="chatrooms_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="chatrooms_user_id_fkey", ondelete="CASCADE"),
    )
    op.create_index(
        "chatrooms_user_id_updated_at_id_idx", "chatrooms", ["user_id", sa.text("updated_at DESC"), sa.text("id DESC")]
    )
    op.create_table(
        "messages",
        sa.Column("chatroom_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("completed_at", INSTANT),
        sa.Column("reply_to", sa.Uuid),
        sa.Column("model", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("error_retryable", sa.Boolean),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("attachments", JSONB),
        sa.Column("superseded", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("unit_day", sa.Date),
        sa.PrimaryKeyConstraint("chatroom_id", "id", name="messages_pkey"),
        sa.ForeignKeyConstraint(
            ["chatroom_id"], ["chatrooms.id"], name="messages_chatroom_id_fkey", ondelete="CASCADE"
        ),
    )
    op.execute(
        """
        CREATE INDEX messages_words_idx ON messages USING gin (
            (to_tsvector('simple'::regconfig, left(content, 50000))
                || array_to_tsvector(ARRAY['user ' || user_id::text]))
        ) WHERE NOT superseded AND content <> ''
        """
    )
    op.create_index(
        "messages_superseded_idx",
        "messages",
        ["chatroom_id", "reply_to", "id"],
        postgresql_where=sa.text("superseded"),
    )
    # For words that are misspelt. Where the server does not have it, they are not found.
    op.execute(
        """
        DO $$ BEGIN
            CREATE EXTENSION IF NOT EXISTS pg_trgm;
        EXCEPTION WHEN OTHERS THEN
            RAISE NOTICE 'pg_trgm is not available: the search will not forgive misspelling';
        END $$
        """
    )
    op.create_table(
        "summaries",
        sa.Column("chatroom_id", sa.Uuid, nullable=False),
        sa.Column("upto", sa.Uuid, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("chatroom_id", "upto", name="summaries_pkey"),
        sa.ForeignKeyConstraint(
            ["chatroom_id"], ["chatrooms.id"], name="summaries_chatroom_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "daily_usage",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("refused", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.CheckConstraint("used >= 0", name=op.f("daily_usage_used_check")),
        sa.PrimaryKeyConstraint("user_id", "day", name="daily_usage_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="daily_usage_user_id_fkey", ondelete="CASCADE"),
    )
    op.create_table(
        "model_calls",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("told", sa.Integer, nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "day", "id", name="model_calls_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="model_calls_user_id_fkey", ondelete="CASCADE"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", BYTEA, nullable=False),
        sa.Column("outcome", JSONB, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name="idempotency_keys_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="idempotency_keys_user_id_fkey", ondelete="CASCADE"),
    )
    op.create_index("idempotency_keys_created_at_idx", "idempotency_keys", ["created_at"])
