"""Settings: the environment as one frozen object. What is wrong stops the start with one sentence.

Every field is a variable of the same name in capitals; `.env.example` is checked against this table.
"""

import hmac
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from dotenv.parser import parse_stream

from adapters import values
from adapters.stripe.keys import goes_astray
from adapters.values import listed, one_of, regions, seconds, text, url, web_url, whole
from gemini_core.errors import Invalid
from gemini_core.model.billing.plans import Plans

# Words by which production asks for a stand-in that it refuses otherwise; elsewhere they say what is the default.
STAND_INS = {
    "database_url": "embedded",
    "redis_url": "embedded",
    "gemini_api_key": "demo",
    "stripe_secret_key": "sandbox",
}


# What is counted by address, or across numbers.
PER_ADDRESS = ("otp_sends_per_ip_hour", "otp_sends_per_prefix_hour", "otp_sends_per_day", "calls_per_minute")


# The first is a part of the second, of which alone less may be said.
PARTS = (("session_idle_days", "session_days"), ("otp_sends_per_phone_hour", "otp_sends_per_phone_day"))


class SettingsError(Invalid):
    """The settings do not allow a start. The detail is one sentence that names the variable."""

    code = "invalid-settings"


def variable(default: Any, parse: values.Parser[Any], meaning: str, *, secret: bool = False) -> Any:
    """A field with what `load` needs to know. A secret is never shown, neither by repr nor in an error."""
    facts = {"parse": parse, "meaning": meaning, "secret": secret}
    if callable(default):
        return field(default_factory=default, repr=not secret, metadata=facts)
    return field(default=default, repr=not secret, metadata=facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, parsed and checked. An empty URL or key means the stand-in of this machine."""

    app_env: str = variable("development", one_of("development", "production"), "development or production")
    host: str = variable("127.0.0.1", values.host, "the address the API listens on")
    port: int = variable(8000, whole(1, 65535), "the port the API listens on")
    public_url: str = variable("", web_url(query=False), "where Checkout and links come back to: http://HOST:PORT")
    trusted_proxies: int = variable(
        0, whole(0, 10), "how many right-most X-Forwarded-For hops are ours; they drop X_Forwarded_For"
    )
    cors_origins: tuple[str, ...] = variable((), listed(values.origin), "allowed browser origins, comma-separated")
    data_dir: Path = variable(Path(".data"), Path, "where ./run keeps the embedded servers' data and secrets")

    database_url: str = variable("", url("postgres", "postgresql"), "PostgreSQL; empty: embedded", secret=True)
    database_pool_size: int = variable(20, whole(1, 500), "connections that a process keeps to PostgreSQL at the most")
    postgres_host: str = variable("", text, "instead of DATABASE_URL, in parts")
    postgres_port: int = variable(5432, whole(1, 65535), "as above")
    postgres_db: str = variable("", text, "as above")
    postgres_user: str = variable("postgres", text, "as above")
    postgres_password: str = variable("", text, "as above", secret=True)
    redis_url: str = variable("", values.redis_url, "Redis or Valkey; empty: embedded Valkey", secret=True)
    broker_url: str = variable("", values.broker_url, "any Celery broker; empty: REDIS_URL", secret=True)

    attachments_url: str = variable("", values.bucket, "keeps files: s3://bucket/prefix; empty: a folder in DATA_DIR")
    s3_endpoint_url: str = variable("", web_url(path=False), "whatever speaks S3; empty: Amazon's")
    s3_region: str = variable("us-east-1", text, "the bucket's region")
    s3_access_key: str = variable("", text, "empty: by the role that AWS gives this machine", secret=True)
    s3_secret_key: str = variable("", text, "as above", secret=True)

    secret_key: tuple[bytes, ...] = variable(
        (), values.roots, "roots of all MACs, newest first; generated in development", secret=True
    )
    jwt_keys: tuple[bytes, ...] = variable(
        (), listed(values.key_32), "Ed25519 keys, base64url, newest first; empty: kept and rotated here", secret=True
    )

    gemini_api_key: str = variable("", values.vendor_key, "Google's key; empty: the demo model", secret=True)
    gemini_model: str = variable("gemini-3.8-flash", text, "the model behind the chat")
    gemini_fallback_model: str = variable("", text, "answers while the first one is overloaded; empty: none")
    gemini_small_model: str = variable("", text, "writes titles and summaries; empty: the room's own model")
    gemini_base_url: str = variable("", web_url(), "another address of the API; empty: Google's")
    gemini_api_version: str = variable("v1", one_of("v1", "v1beta", "v1alpha"), "v1, v1beta or v1alpha")
    gemini_first_chunk_timeout: float = variable(30.0, seconds(0.1, 600), "seconds to the first piece of a reply")
    gemini_chunk_timeout: float = variable(30.0, seconds(0.1, 600), "seconds from one piece to the next")
    gemini_total_timeout: float = variable(150.0, seconds(1, 3600), "seconds for a reply with all its tries")
    gemini_attempts: int = variable(5, whole(1, 20), "tries for a reply")

    otp_sender: str = variable("", one_of("inbox", "twilio", "webhook"), "inbox (development's), twilio or webhook")
    otp_webhook_url: str = variable("", web_url(), "where OTP_SENDER=webhook posts codes")
    otp_webhook_secret: str = variable(
        "", values.webhook_secret, "signs these posts; empty: a key made of SECRET_KEY", secret=True
    )
    twilio_account_sid: str = variable("", text, "for OTP_SENDER=twilio")
    twilio_auth_token: str = variable("", text, "as above", secret=True)
    twilio_from: str = variable("", text, "as above: the sender's number or messaging service")
    twilio_base_url: str = variable("https://api.twilio.com", web_url(), "as above: another address")
    default_region: str = variable("", values.region, "the country of numbers without +, such as IN; empty: none")
    sms_countries: tuple[str, ...] = variable((), regions, "countries that codes go to, or *; development: every one")
    otp_ttl: int = variable(300, whole(30, 600), "seconds a code is valid after it was sent")
    otp_attempts: int = variable(5, whole(1, 10), "guesses at a code")
    otp_resend_after: int = variable(60, whole(1, 600), "seconds before another code can be asked for")
    otp_sends_per_challenge: int = variable(3, whole(1, 10), "codes for one sign-in")
    otp_sends_per_phone_hour: int = variable(3, whole(1, 100), "codes to a number in an hour")
    otp_sends_per_phone_day: int = variable(10, whole(1, 1_000), "codes to a number in a day")
    otp_sends_per_ip_hour: int = variable(
        20, whole(1, 100_000), "codes asked for from an address in an hour; development: 100000"
    )
    otp_sends_per_prefix_hour: int = variable(
        30, whole(1, 100_000), "codes to neighbouring numbers in an hour; development: 100000"
    )
    otp_sends_per_day: int = variable(
        10_000, whole(0, 100_000_000), "codes in a day in all: what it may cost; development: 100000"
    )
    otp_sending: bool = variable(default=True, parse=values.yes_or_no, meaning="no: no code leaves, whatever happens")
    otp_budgets: str = variable(
        "record", one_of("record", "obey"), "obey: few unproven codes per country and address; development only records"
    )
    calls_per_minute: int = variable(
        3_000, whole(1, 10_000_000), "calls of a user, or of an address, in a minute; development: 100000"
    )
    access_ttl: int = variable(600, whole(60, 3600), "seconds an access token is valid")
    refresh_grace: int = variable(30, whole(0, 300), "seconds a spent refresh token gives the same pair again")
    session_idle_days: int = variable(14, whole(1, 90), "days after which an unused session ends")
    session_days: int = variable(90, whole(1, 365), "days after which any session ends")
    sessions_per_user: int = variable(20, whole(1, 1_000), "sessions of a user at a time")
    password_tries: int = variable(5, whole(1, 50), "wrong passwords of a user in 15 minutes")
    breaches_url: str = variable("", web_url(), "asked whether a new password is known; empty: nobody")

    payments: str = variable("stripe", one_of("stripe", "manual"), "who takes the money; manual: an operator approves")
    stripe_secret_key: str = variable("", values.stripe_key, "Stripe's key; empty: the sandbox", secret=True)
    stripe_webhook_secret: tuple[str, ...] = variable((), listed(text), "comma-separated for rotation", secret=True)
    stripe_pro_price_id: str = variable("", text, "the price that is the pro plan")
    stripe_base_url: str = variable("", web_url(path=False), "another address of the API; empty: Stripe's")
    plans: Plans = variable(Plans, values.plans, "path of a TOML file with the plans; empty: as built in")

    events_webhook_url: str = variable("", values.endpoint, "where events are posted; empty: nowhere", secret=True)
    events_webhook_secret: tuple[bytes, ...] = variable(
        (), listed(values.webhook_key), "signs them: whsec_ and base64; comma-separated for rotation", secret=True
    )

    api_processes: int = variable(1, whole(1, 64), "processes of the API; /metrics tells of whichever answers")
    api_threads: int = variable(1024, whole(1, 16_384), "threads of an API process")
    api_processors: str = variable("one", one_of("one", "all"), "where these threads run: on one processor or on all")
    worker_threads: int = variable(256, whole(1, 4_096), "jobs that a worker does at a time")
    lease_seconds: float = variable(15.0, seconds(1, 600), "seconds after which a dead worker's job is taken over")
    renew_seconds: float = variable(5.0, seconds(0.1, 300), "how often a worker says that it is alive")
    worker_grace: float = variable(20.0, seconds(0, 600), "seconds a worker that is told to stop has for what it has")

    log_format: str = variable("", one_of("console", "json"), "console (on a terminal) or json")
    log_level: str = variable("info", one_of("debug", "info", "warning", "error"), "debug, info, warning or error")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """From `environ`, else from the process's and `.env`; raises `SettingsError`. May make DATA_DIR/secret-key."""
        given = _given(environment() if environ is None else environ)
        _refuse_misspelt(given)
        parsed = {f.name: _parsed(f, given[f.name.upper()]) for f in fields(cls) if f.name.upper() in given}
        _refuse_unknown(parsed)
        _refuse_contradictions(parsed)
        if parsed.get("app_env") == "production":
            _refuse_unfit_for_production(parsed)
        for name, word in STAND_INS.items():
            if parsed.get(name) == word:
                del parsed[name]
        return cls(**_completed(parsed))

    @property
    def in_production(self) -> bool:
        """Real users, real money."""
        return self.app_env == "production"


def environment() -> dict[str, str]:
    """The process's variables, and beneath them those of `.env` in the working folder. Empty ones do not count."""
    return _of_the_file() | {name: value for name, value in os.environ.items() if value}


def _of_the_file() -> dict[str, str]:
    """What `.env` says. A line that says nothing (a quote was left open) would be the default, unnoticed."""
    try:
        written = Path(".env").read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read: {error}.") from error
    lines = list(parse_stream(StringIO(written)))
    for line in lines:
        if line.error:
            raise SettingsError(f".env cannot be read from line {line.original.line} on: it is no NAME=value.")
    return {line.key: line.value for line in lines if line.key and line.value}


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in environ.items() if value.strip()}


def _refuse_misspelt(given: Mapping[str, str]) -> None:
    known = [f.name.upper() for f in fields(Settings)]
    for name in sorted(given.keys() - set(known)):
        if near := get_close_matches(name, known, n=1, cutoff=0.92):
            raise SettingsError(f"{name} is not a setting: did you mean {near[0]}?")


def _parsed(of: "Field[Any]", value: str) -> Any:
    if value == STAND_INS.get(of.name):
        return value
    try:
        return of.metadata["parse"](value)
    except ValueError as error:
        shown = "" if of.metadata["secret"] else f", not {value!r}"
        raise SettingsError(f"{of.name.upper()} {error}{shown}.") from error


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    """What only libraries know. They are slow to load, and are asked where there is something to ask."""
    for name, codes in (
        ("DEFAULT_REGION", {given.get("default_region", "")} - {""}),
        ("SMS_COUNTRIES", set(given.get("sms_countries", ())) - {"*"}),
    ):
        if codes:
            from adapters.contacts.checker import REGIONS  # noqa: PLC0415

            for unknown in sorted(codes - REGIONS):
                raise SettingsError(f"{name} must be made of countries with telephones, and {unknown} is none.")
    if "?" in given.get("database_url", ""):
        from adapters.persistence import engine  # noqa: PLC0415

        if not engine.is_known(given["database_url"]):
            raise SettingsError("DATABASE_URL must have no options but those of PostgreSQL's own library.")
    if "broker_url" in given:
        from adapters.queue.celery import is_known  # noqa: PLC0415

        if not is_known(given["broker_url"]):
            raise SettingsError(
                "BROKER_URL must be the URL of a broker that Celery knows and whose packages are installed."
            )


def _refuse_contradictions(given: dict[str, Any]) -> None:
    database = given.get("database_url", "")
    if "postgres_host" in given and database and given["postgres_host"] != urlsplit(database).hostname:
        raise SettingsError("POSTGRES_HOST and DATABASE_URL name different servers: set one of them.")
    for key, base in (("gemini_api_key", "gemini_base_url"), ("stripe_secret_key", "stripe_base_url")):
        if base in given and given.get(key) in (None, STAND_INS[key]):
            raise SettingsError(f"{base.upper()} is set, but {key.upper()} is not.")
    if "stripe_base_url" in given and goes_astray(given["stripe_secret_key"], given["stripe_base_url"]):
        raise SettingsError("STRIPE_BASE_URL is not Stripe's, and STRIPE_SECRET_KEY is a live key: it stays here.")
    _refuse_half_a_bucket(given)
    _refuse_disproportion(_defaults() | given)
    needs = {"twilio": ("twilio_account_sid", "twilio_auth_token", "twilio_from"), "webhook": ("otp_webhook_url",)}
    for name in needs.get(given.get("otp_sender", ""), ()):
        if name not in given:
            raise SettingsError(f"{name.upper()} is needed with OTP_SENDER={given['otp_sender']}.")
    if "events_webhook_url" in given and not given.get("events_webhook_secret"):
        raise SettingsError("EVENTS_WEBHOOK_SECRET is needed with EVENTS_WEBHOOK_URL: events are signed.")


def _refuse_disproportion(given: Mapping[str, Any]) -> None:
    lease, renew = given["lease_seconds"], given["renew_seconds"]
    if renew * 2 > lease:
        raise SettingsError(f"RENEW_SECONDS must be at most half of LEASE_SECONDS ({lease:g}), not {renew:g}.")
    for part, entire in PARTS:
        if given[part] > given[entire] and given[part] != _defaults()[part]:
            most = f"{entire.upper()} ({given[entire]})"
            raise SettingsError(f"{part.upper()} must be at most {most}, not {given[part]}.")


def _refuse_half_a_bucket(given: Mapping[str, Any]) -> None:
    for name in ("s3_endpoint_url", "s3_region", "s3_access_key", "s3_secret_key"):
        if name in given and "attachments_url" not in given:
            raise SettingsError(f"{name.upper()} is set, but ATTACHMENTS_URL is not.")
    for name, other in (("s3_access_key", "s3_secret_key"), ("s3_secret_key", "s3_access_key")):
        if name in given and other not in given:
            raise SettingsError(f"{other.upper()} is needed with {name.upper()}.")


def _refuse_unfit_for_production(given: Mapping[str, Any]) -> None:
    by_stripe = given.get("payments", "stripe") == "stripe"
    made_otherwise = {"database_url": "postgres_host" in given, "stripe_secret_key": not by_stripe}
    for name, word in STAND_INS.items():
        if name not in given and not made_otherwise.get(name):
            asked = f"the stand-in of this machine must be asked for by name ({name.upper()}={word})"
            raise SettingsError(f"{name.upper()} is needed in production: {asked}.")
    if given.get("otp_sender", "inbox") == "inbox":
        raise SettingsError("OTP_SENDER must be twilio or webhook in production: the inbox shows codes to everybody.")
    if not values.is_private(given.get("events_webhook_url", "")):
        raise SettingsError("EVENTS_WEBHOOK_URL must begin with https:// in production, but on this machine.")
    needed = ["secret_key"]
    if by_stripe and given["stripe_secret_key"] != STAND_INS["stripe_secret_key"]:
        needed += ["stripe_webhook_secret", "stripe_pro_price_id"]
    for name in needed:
        if not given.get(name):
            raise SettingsError(f"{name.upper()} is needed in production.")


def _completed(given: dict[str, Any]) -> dict[str, Any]:
    """With the defaults that depend on others."""
    production = given.get("app_env") == "production"
    host, port = given.get("host", "127.0.0.1"), given.get("port", 8000)
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    completed = {
        "public_url": f"http://{reachable}:{port}",
        "database_url": _database_url(given),
        "broker_url": given.get("redis_url", ""),
        "otp_sender": "inbox",
        "sms_countries": () if production else ("*",),
        # On one machine everybody has the same address; a number's own limits hold everywhere.
        **({} if production else dict.fromkeys(PER_ADDRESS, 100_000)),
        "log_format": "console" if sys.stdout.isatty() else "json",
        **given,
    }
    if "secret_key" not in given:
        completed["secret_key"] = values.roots(_development_secret(given.get("data_dir", Path(".data"))))
    if "otp_webhook_secret" not in given:
        completed["otp_webhook_secret"] = hmac.digest(completed["secret_key"][0], b"otp-webhook", "sha256").hex()
    return completed


def _database_url(given: dict[str, Any]) -> str:
    """The one made of POSTGRES_*, if any of these says where."""
    if not given.keys() & {"postgres_host", "postgres_db"}:
        return ""
    part = _defaults() | {"postgres_host": "localhost"} | given
    user, password = quote(part["postgres_user"], safe=""), quote(part["postgres_password"], safe="")
    who = f"{user}:{password}" if password else user
    database = quote(part["postgres_db"] or part["postgres_user"], safe="")
    return f"postgresql://{who}@{part['postgres_host']}:{part['postgres_port']}/{database}"


def _development_secret(data_dir: Path) -> str:
    """Kept from run to run, so that sessions outlive a restart."""
    path = data_dir / "secret-key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists() or not path.stat().st_size:
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(48))
        return path.read_text().strip()
    except OSError as error:
        raise SettingsError(f"DATA_DIR: cannot write to {path}: {error.strerror or error}.") from error


def _defaults() -> dict[str, Any]:
    return {f.name: f.default for f in fields(Settings)}


def described() -> list[tuple[str, str, str]]:
    """Every variable: its name, its default as one would write it, its meaning."""
    return [(f.name.upper(), _written(f.default), f.metadata["meaning"]) for f in fields(Settings)]


def _written(default: Any) -> str:
    if default is MISSING or default == ():
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"{default:g}" if isinstance(default, float) else str(default)
