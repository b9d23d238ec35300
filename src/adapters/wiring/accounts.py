"""Accounts: the parts, and the promises that the settings make."""

from datetime import timedelta
from urllib.parse import urlsplit

import structlog

from adapters.argon2.common import common_passwords
from adapters.argon2.hasher import Argon2Hasher
from adapters.breaches.pwned import PwnedPasswords
from adapters.contacts.checker import ContactChecker
from adapters.jwt.ring import FixedRing, StoredRing
from adapters.jwt.tokens import JwtTokens
from adapters.local.inbox import LocalInbox
from adapters.memory.accounts.limits import MemoryLimits
from adapters.persistence.accounts.audit import SqlAuditLog
from adapters.persistence.accounts.challenges import SqlChallenges
from adapters.persistence.accounts.keys import SqlSigningKeys
from adapters.persistence.accounts.operators import SqlAccountExport, SqlOperators
from adapters.persistence.accounts.passwords import SqlPasswords
from adapters.persistence.accounts.sessions import SqlSessions
from adapters.persistence.accounts.users import SqlUsers
from adapters.persistence.billing.records import SqlBillingExport
from adapters.persistence.chat.export import SqlChatExport
from adapters.persistence.engine import Engine
from adapters.redis.limits import RedisLimits
from adapters.redis.scripts import Scripts
from adapters.settings import Settings
from adapters.sms.twilio import Twilio
from adapters.sms.webhook import SmsWebhook
from gemini_core.core import AccountPorts
from gemini_core.model.accounts.limits import SendLimits
from gemini_core.model.accounts.passwords import PasswordPolicy
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.accounts.seals import SealRing
from gemini_core.ports.accounts.codes import OtpSender
from gemini_core.ports.attachments import AttachmentStore
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.accounts.rules import AccountRules

EVERY_COUNTRY = "*"

log = structlog.get_logger()


def seals(settings: Settings) -> SealRing:
    """All secrets of this installation, derived from its roots."""
    return SealRing(*settings.secret_key)


def account_policy(settings: Settings) -> AccountPolicy:
    """The numbers behind what sign-in promises here."""
    return AccountPolicy(
        domain=urlsplit(settings.public_url).hostname or "localhost",
        code_lives=timedelta(seconds=settings.otp_ttl),
        attempts=settings.otp_attempts,
        resend_after=timedelta(seconds=settings.otp_resend_after),
        sends_per_challenge=settings.otp_sends_per_challenge,
        access_lives=timedelta(seconds=settings.access_ttl),
        refresh_grace=timedelta(seconds=settings.refresh_grace),
        session_idle=timedelta(days=settings.session_idle_days),
        session_lives=timedelta(days=settings.session_days),
        sessions=settings.sessions_per_user,
        password_tries=settings.password_tries,
        calls_per_minute=settings.calls_per_minute,
    )


def account_rules(settings: Settings) -> AccountRules:
    """What sign-in promises here."""
    obeyed = settings.otp_budgets == "obey"
    if obeyed and not settings.in_production:
        log.warning("OTP_BUDGETS=obey is not obeyed in development: full budgets are only recorded.")
    return AccountRules(
        ring=seals(settings),
        passwords=PasswordPolicy(common_passwords()),
        policy=account_policy(settings),
        sends=SendLimits(
            per_phone_hour=settings.otp_sends_per_phone_hour,
            per_phone_day=settings.otp_sends_per_phone_day,
            per_network_hour=settings.otp_sends_per_ip_hour,
            per_prefix_hour=settings.otp_sends_per_prefix_hour,
            per_day=settings.otp_sends_per_day,
            sending=settings.otp_sending,
            countries=None if EVERY_COUNTRY in settings.sms_countries else frozenset(settings.sms_countries),
            budgets_record_only=not (obeyed and settings.in_production),
        ),
    )


def account_ports(
    settings: Settings, engine: Engine, scripts: Scripts, attachments: AttachmentStore, clock: Clock
) -> AccountPorts:
    """Where accounts are kept, and who brings codes to phones."""
    policy = account_policy(settings)
    ring = _ring(settings, engine, clock)
    inbox = LocalInbox(settings.data_dir, clock) if settings.otp_sender == "inbox" else None
    return AccountPorts(
        challenges=SqlChallenges(engine, policy),
        users=SqlUsers(engine, policy),
        passwords=SqlPasswords(engine, policy),
        sessions=SqlSessions(engine, policy),
        limits=RedisLimits(scripts, access_lives=policy.access_lives),
        fallback=MemoryLimits(),
        access_tokens=JwtTokens(ring, issuer=settings.public_url, audience=settings.public_url),
        key_ring=ring,
        sender=inbox or _sender(settings, clock),
        hasher=Argon2Hasher(),
        contacts=ContactChecker(settings.default_region),
        audit=SqlAuditLog(engine),
        operators=SqlOperators(engine),
        breached=PwnedPasswords(settings.breaches_url) if settings.breaches_url else None,
        inbox=inbox,
        exports=(SqlAccountExport(engine), SqlChatExport(engine, attachments), SqlBillingExport(engine)),
    )


def _ring(settings: Settings, engine: Engine, clock: Clock) -> FixedRing | StoredRing:
    if settings.jwt_keys:
        return FixedRing(*settings.jwt_keys)
    secrets = seals(settings).derived("signing keys")
    return StoredRing(SqlSigningKeys(engine), secrets, clock, verify_for=timedelta(seconds=settings.access_ttl))


def _sender(settings: Settings, clock: Clock) -> OtpSender:
    if settings.otp_sender == "twilio":
        return Twilio(
            settings.twilio_account_sid,
            settings.twilio_auth_token,
            settings.twilio_from,
            base_url=settings.twilio_base_url,
        )
    return SmsWebhook(settings.otp_webhook_url, settings.otp_webhook_secret, clock)
