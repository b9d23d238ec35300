"""Users, pending sign-ups, challenges, sessions, the audit log, signing keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

revision = "0001"
down_revision = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("mobile_number", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("email", sa.Text),
        sa.Column("username", sa.Text),
        sa.Column("password_hash", sa.Text),
        sa.Column("credential_version", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'active'")),
        sa.Column("plan", sa.Text, nullable=False, server_default=sa.text("'basic'")),
        sa.Column("plan_until", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.UniqueConstraint("mobile_number", name="users_mobile_number_key"),
        sa.CheckConstraint("status IN ('active', 'suspended', 'erasing')", name=op.f("users_status_check")),
    )
    op.create_table(
        "signups",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("mobile_number", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("email", sa.Text),
        sa.Column("username", sa.Text),
        sa.Column("password_hash", sa.Text),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="signups_pkey"),
    )
    op.create_index("signups_mobile_number_idx", "signups", ["mobile_number"])
    op.create_index("signups_created_at_idx", "signups", ["created_at"])
    op.create_table(
        "challenges",
        sa.Column("mobile_number", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("requester", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("signup_id", sa.Text),
        sa.Column("credential_version", sa.Integer, nullable=False),
        sa.Column("deliver", sa.Boolean, nullable=False),
        sa.Column("digits", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sends", sa.Integer, nullable=False),
        sa.Column("made", sa.Integer, nullable=False),
        sa.Column("seals", sa.ARRAY(BYTEA)),
        sa.Column("reservation", sa.Text, nullable=False),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.Column("redeemed_at", INSTANT),
        sa.Column("spent_at", INSTANT),
        sa.PrimaryKeyConstraint("mobile_number", "purpose", "requester", name="challenges_pkey"),
        sa.UniqueConstraint("id", name="challenges_id_key"),
    )
    op.create_index("challenges_asked_at_idx", "challenges", ["asked_at"])
    op.create_table(
        "phones",
        sa.Column("mobile_number", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("recent_failures", sa.Integer, nullable=False),
        sa.Column("failed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("mobile_number", name="phones_pkey"),
    )
    op.create_index("phones_failed_at_idx", "phones", ["failed_at"])
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("counter", sa.Integer, nullable=False),
        sa.Column("credential_version", sa.Integer, nullable=False),
        sa.Column("ip", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("rotated_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="sessions_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="sessions_user_id_fkey", ondelete="CASCADE"),
    )
    op.create_index("sessions_user_id_idx", "sessions", ["user_id"])
    op.create_index("sessions_rotated_at_idx", "sessions", ["rotated_at"])
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("session_id", sa.Uuid),
        sa.Column("number", sa.Text),
        sa.Column("ip", sa.Text),
        sa.Column("operator", sa.Text),
        sa.Column("detail", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.PrimaryKeyConstraint("id", name="audit_pkey"),
    )
    op.create_index("audit_user_id_id_idx", "audit", ["user_id", "id"])
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME; END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """
    )
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("public", BYTEA, nullable=False),
        sa.Column("sealed", BYTEA, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("kid", name="signing_keys_pkey"),
        sa.CheckConstraint("state IN ('next', 'active', 'retired')", name=op.f("signing_keys_state_check")),
    )
    op.create_index(
        "signing_keys_state_idx", "signing_keys", ["state"], unique=True, postgresql_where=sa.text("state <> 'retired'")
    )
