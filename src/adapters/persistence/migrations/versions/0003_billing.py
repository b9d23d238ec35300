"""Customers, subscriptions, grants, checkouts and the gateway's events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

INSTANT = sa.DateTime(timezone=True)
ZERO = sa.text("0")


def upgrade() -> None:
    op.create_table(
        "billing_customers",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("customer_id", sa.Text),
        sa.Column("generation", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("sync_number", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("applied_number", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("sync_requested_at", INSTANT),
        sa.Column("sync_began_at", INSTANT),
        sa.Column("synced_at", INSTANT),
        sa.Column("buried_at", INSTANT),
        sa.PrimaryKeyConstraint("user_id", name="billing_customers_pkey"),
        sa.UniqueConstraint("customer_id", name="billing_customers_customer_id_key"),
    )
    op.create_index("billing_customers_synced_at_idx", "billing_customers", ["synced_at"])
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("prices", JSONB, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("period_end", INSTANT),
        sa.Column("cancel_at", INSTANT),
        sa.Column("cancel_at_period_end", sa.Boolean, nullable=False),
        sa.Column("sold_as", sa.Text),
        sa.PrimaryKeyConstraint("id", name="subscriptions_pkey"),
        _of_customer("subscriptions"),
    )
    op.create_index("subscriptions_user_id_idx", "subscriptions", ["user_id"])
    op.create_index("subscriptions_period_end_idx", "subscriptions", ["period_end"])
    op.create_table(
        "billing_flags",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("concern", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("raised_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "concern", "about", name="billing_flags_pkey"),
        _of_customer("billing_flags"),
    )
    op.create_table(
        "billing_grants",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("until", INSTANT),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("granted_by", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("revoked_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="billing_grants_pkey"),
        _of_user("billing_grants"),
    )
    op.create_index("billing_grants_user_id_idx", "billing_grants", ["user_id"])
    op.create_table(
        "billing_checkouts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("offer", JSONB, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("session_id", sa.Text),
        sa.Column("url", sa.Text),
        sa.Column("expires_at", INSTANT),
        sa.Column("closed", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.PrimaryKeyConstraint("id", name="billing_checkouts_pkey"),
        _of_user("billing_checkouts"),
    )
    op.create_index(
        "billing_checkouts_open_key",
        "billing_checkouts",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("NOT closed"),
    )
    op.create_table(
        "billing_events",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text),
        sa.Column("subject_kind", sa.Text),
        sa.Column("subject_id", sa.Text),
        sa.Column("concern", sa.Text),
        sa.Column("happened_at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("done_at", INSTANT),
        sa.Column("sync_number", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="billing_events_pkey"),
    )
    op.create_index("billing_events_customer_id_idx", "billing_events", ["customer_id"])
    op.create_index(
        "billing_events_waiting_idx",
        "billing_events",
        ["customer_id"],
        postgresql_where=sa.text("state = 'received'"),
    )
    op.create_index(
        "billing_events_received_at_id_idx", "billing_events", [sa.text("received_at DESC"), sa.text("id DESC")]
    )
    op.create_table(
        "billing_cursor",
        sa.Column("one", sa.Boolean, sa.CheckConstraint("one", name=op.f("billing_cursor_one_check")), nullable=False),
        sa.Column("read_up_to", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("one", name="billing_cursor_pkey"),
    )
    op.create_table(
        "manual_subscriptions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("price", sa.Text, nullable=False),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("approved_at", INSTANT),
        sa.Column("ends_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="manual_subscriptions_pkey"),
    )
    op.create_index("manual_subscriptions_customer_id_idx", "manual_subscriptions", ["customer_id"])


def _of_customer(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["user_id"], ["billing_customers.user_id"], name=f"{table}_user_id_fkey", ondelete="CASCADE"
    )


def _of_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"{table}_user_id_fkey", ondelete="CASCADE")
