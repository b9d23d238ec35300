"""Every table, a section per topic. Migrations are written by hand; a test holds them against this page."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
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

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("mobile_number", Text, nullable=False, unique=True),
    Column("name", Text),
    Column("email", Text),
    Column("username", Text),
    Column("password_hash", Text),
    # Everything signed in or under way carries the version it was begun with; raising it ends all of that at once.
    Column("credential_version", Integer, nullable=False, server_default=text("1")),
    Column("status", Text, CheckConstraint("status IN ('active', 'suspended', 'erasing')", name="status"),
           nullable=False, server_default=text("'active'")),
    Column("plan", Text, nullable=False, server_default=text("'basic'")),
    Column("plan_until", Instant),
    Column("created_at", Instant, nullable=False),
)  # fmt: skip

# The plan in force for the user `u` at `:now`, as `User.plan_at` has it.
PLAN = "CASE WHEN u.plan_until IS NULL OR u.plan_until > :now THEN u.plan ELSE 'basic' END"

# Profiles that wait for their number to be proven by whoever gave them.
signups = Table(
    "signups",
    metadata,
    Column("id", Text, primary_key=True),
    Column("mobile_number", Text, nullable=False),
    Column("network", Text, nullable=False),
    Column("name", Text),
    Column("email", Text),
    Column("username", Text),
    Column("password_hash", Text),
    Column("created_at", Instant, nullable=False),
)
Index("signups_mobile_number_idx", signups.c.mobile_number)
Index("signups_created_at_idx", signups.c.created_at)

# One row per number, purpose and requester; a finished challenge makes room for the next one under a new id.
challenges = Table(
    "challenges",
    metadata,
    Column("mobile_number", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("requester", Text, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("network", Text, nullable=False),
    Column("signup_id", Text),
    # The account's version when it was asked for; 0: the number had no account.
    Column("credential_version", Integer, nullable=False),
    # False: a decoy. It lives and dies like the others, but no code is ever made for it.
    Column("deliver", Boolean, nullable=False),
    Column("digits", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("sends", Integer, nullable=False),
    Column("made", Integer, nullable=False),
    # Of the code: under the id, and under number and network.
    Column("seals", ARRAY(BYTEA)),
    Column("reservation", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("redeemed_at", Instant),
    Column("spent_at", Instant),
)
Index("challenges_asked_at_idx", challenges.c.asked_at)

# What wrong codes a number has seen, whoever typed them.
phones = Table(
    "phones",
    metadata,
    Column("mobile_number", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("recent_failures", Integer, nullable=False),
    Column("failed_at", Instant, nullable=False),
)
Index("phones_failed_at_idx", phones.c.failed_at)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("counter", Integer, nullable=False),
    Column("credential_version", Integer, nullable=False),
    Column("ip", Text, nullable=False),
    Column("network", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("rotated_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
)
Index("sessions_user_id_idx", sessions.c.user_id)
Index("sessions_rotated_at_idx", sessions.c.rotated_at)

# Rows are only ever added; a trigger holds everybody to it. No key to `users`: what happened outlives the account.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("event", Text, nullable=False),
    Column("user_id", Uuid),
    Column("session_id", Uuid),
    Column("number", Text),
    Column("ip", Text),
    Column("operator", Text),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
)
Index("audit_user_id_id_idx", audit.c.user_id, audit.c.id)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("state", Text, CheckConstraint("state IN ('next', 'active', 'retired')", name="state"), nullable=False),
    Column("public", BYTEA, nullable=False),
    # The private half, encrypted under a key that the database does not know.
    Column("sealed", BYTEA, nullable=False),
    Column("changed_at", Instant, nullable=False),
)
# Never two keys that sign, however many hosts rotate at once.
Index("signing_keys_state_idx", signing_keys.c.state, unique=True, postgresql_where=text("state <> 'retired'"))

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
    # Claims that ended without keeping the promise, in whatever way.
    Column("put_back", Integer, nullable=False, server_default=text("0")),
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
    # The room's owner, for the search index.
    Column("user_id", Uuid, nullable=False),
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
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    # What came with it, as kept elsewhere: [{"id", "media_type", "size"}, …].
    Column("attachments", JSONB),
    # An earlier alternative, or what came after a message that was edited: kept, but no part of the conversation.
    Column("superseded", Boolean, nullable=False, server_default=text("false")),
    # The UTC day whose unit this reply holds; emptied when the unit is given back, so that it returns exactly once.
    Column("unit_day", Date),
)

# What was said and answered is found by its words. Whose it is, is one of these words (with a space in it, so that no
# text has it) and the rarest of them, so that only that user's messages are looked at. A text too long for the index is
# found by its beginning.
MESSAGE_WORDS = (
    "to_tsvector('simple'::regconfig, left(content, 50000)) || array_to_tsvector(ARRAY['user ' || user_id::text])"
)
Index(
    "messages_words_idx",
    text(f"({MESSAGE_WORDS})"),
    postgresql_using="gin",
    postgresql_where=text("NOT superseded AND content <> ''"),
)
Index(
    "messages_superseded_idx",
    messages.c.chatroom_id,
    messages.c.reply_to,
    messages.c.id,
    postgresql_where=text("superseded"),
)

# What a room's conversation came to, up to and with a message. Whatever supersedes that message removes it.
summaries = Table(
    "summaries",
    metadata,
    Column("chatroom_id", Uuid, ForeignKey("chatrooms.id", ondelete="CASCADE"), primary_key=True),
    Column("upto", Uuid, primary_key=True),
    Column("content", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

daily_usage = Table(
    "daily_usage",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("used", Integer, CheckConstraint("used >= 0", name="used"), nullable=False),
    # A message was refused for the limit, and whoever listens is told of it.
    Column("refused", Boolean, nullable=False, server_default=text("false")),
)

# The ledger: what each call to the model cost, under the lease with which it was made.
model_calls = Table(
    "model_calls",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("job_id", Uuid, nullable=False),
    Column("model", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("told", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
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

# --- billing ----------------------------------------------------------------------------------------------------------

# Outlives its user: late events of a deleted account find the tombstone. So no foreign key here, nor from what follows.
billing_customers = Table(
    "billing_customers",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("customer_id", Text, unique=True),
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("created_at", Instant, nullable=False),
    # Numbers are handed out before the gateway is asked; a look is written only if its number is above the last one's.
    Column("sync_number", BigInteger, nullable=False, server_default=text("0")),
    Column("applied_number", BigInteger, nullable=False, server_default=text("0")),
    Column("sync_requested_at", Instant),
    Column("sync_began_at", Instant),
    Column("synced_at", Instant),
    Column("buried_at", Instant),
)
Index("billing_customers_synced_at_idx", billing_customers.c.synced_at)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("billing_customers.user_id", ondelete="CASCADE"), nullable=False),
    Column("status", Text, nullable=False),
    Column("prices", JSONB, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("period_end", Instant),
    Column("cancel_at", Instant),
    Column("cancel_at_period_end", Boolean, nullable=False),
    Column("sold_as", Text),
)
Index("subscriptions_user_id_idx", subscriptions.c.user_id)
Index("subscriptions_period_end_idx", subscriptions.c.period_end)

billing_flags = Table(
    "billing_flags",
    metadata,
    Column("user_id", Uuid, ForeignKey("billing_customers.user_id", ondelete="CASCADE"), primary_key=True),
    Column("concern", Text, primary_key=True),
    Column("about", Text, primary_key=True),
    Column("raised_at", Instant, nullable=False),
)

billing_grants = Table(
    "billing_grants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("until", Instant),
    Column("reason", Text, nullable=False),
    Column("granted_by", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)
Index("billing_grants_user_id_idx", billing_grants.c.user_id)

billing_checkouts = Table(
    "billing_checkouts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("offer", JSONB, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("session_id", Text),
    Column("url", Text),
    Column("expires_at", Instant),
    Column("closed", Boolean, nullable=False, server_default=text("false")),
)
Index("billing_checkouts_open_key", billing_checkouts.c.user_id, unique=True, postgresql_where=text("NOT closed"))

billing_events = Table(
    "billing_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("customer_id", Text),
    Column("subject_kind", Text),
    Column("subject_id", Text),
    Column("concern", Text),
    Column("happened_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("done_at", Instant),
    # The look that will have seen what the event is about.
    Column("sync_number", BigInteger),
)
Index("billing_events_customer_id_idx", billing_events.c.customer_id)
Index("billing_events_waiting_idx", billing_events.c.customer_id, postgresql_where=text("state = 'received'"))
Index("billing_events_received_at_id_idx", billing_events.c.received_at.desc(), billing_events.c.id.desc())

billing_cursor = Table(
    "billing_cursor",
    metadata,
    Column("one", Boolean, CheckConstraint("one", name="one"), primary_key=True),
    Column("read_up_to", Instant, nullable=False),
)

# What is sold without a vendor: a row waits until an operator approves it.
manual_subscriptions = Table(
    "manual_subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("price", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("approved_at", Instant),
    Column("ends_at", Instant),
)
Index("manual_subscriptions_customer_id_idx", manual_subscriptions.c.customer_id)
