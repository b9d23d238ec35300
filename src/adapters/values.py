"""From the words of an environment to values. Each parser raises `ValueError` with what the word must be."""

import re
import tomllib
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit

from adapters.standard_webhooks import PREFIX, key_of
from gemini_core.model.accounts.seals import SealRing
from gemini_core.model.billing.plans import BASIC, PRO, Plan, Plans

T = TypeVar("T")

# What a column for whole numbers holds.
MOST = 2**31 - 1
Parser = Callable[[str], T]


def text(value: str) -> str:
    return value


def one_of(*words: str) -> Parser[str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return value

    return parse


def yes_or_no(value: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in words:
        raise ValueError("must be yes or no")
    return words[value.lower()]


def whole(least: int, most: int) -> Parser[int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,12}", value, re.ASCII) or not least <= int(value) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(value)

    return parse


def seconds(least: float, most: float) -> Parser[float]:
    def parse(value: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", value, re.ASCII) or not least <= float(value) <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return float(value)

    return parse


def key_32(value: str) -> bytes:
    try:
        key = urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError("must hold keys of 32 bytes, written in base64url")
    return key


def roots(value: str) -> tuple[bytes, ...]:
    """Secrets of at least 32 characters, that a ring of seals can be made of."""
    words = listed(text)(value)
    if min(map(len, words), default=0) < 32:
        raise ValueError("must have at least 32 characters")
    found = tuple(word.encode() for word in words)
    try:
        SealRing(*found)
    except ValueError:
        raise ValueError("must be made of secrets with different key ids: make the newest one anew") from None
    return found


def vendor_key(value: str) -> str:
    """A vendor's key, as it goes into a header."""
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("must be made of visible ASCII characters")
    return value


def stripe_key(value: str) -> str:
    """A key of servers: one that is made for browsers opens nothing."""
    if value.startswith("pk_"):
        raise ValueError("must be a secret key or a restricted one (sk_ or rk_), not a publishable one")
    return vendor_key(value)


def host(value: str) -> str:
    """An IP address or the name of a host, whether or not this machine has it."""
    labels = value.removesuffix(".").split(".")
    is_name = len(value) <= 253 and all(re.fullmatch(r"[\w-]{1,63}", label, re.ASCII) for label in labels)
    if not _is_ip(value) and (not is_name or labels[-1].isdigit()):
        raise ValueError("must be an IP address or the name of a host")
    return value


def url(*schemes: str) -> Parser[str]:
    """A URL of one of these schemes, with a host or a path; returned without a trailing slash."""
    example = " or ".join(f"{scheme}://" for scheme in schemes)

    def parse(value: str) -> str:
        where = _split(value)
        if where.scheme not in schemes or not (where.netloc or where.path):
            raise ValueError(f"must be a URL that begins with {example}")
        if not _has_a_proper_port(where):
            raise ValueError("must be a URL whose port, if it has one, is a number up to 65535")
        # Libraries know a scheme in small letters only; one of them would leave certificates unchecked for others.
        written = where.scheme + value[len(where.scheme) :]
        return written if where.query else written.rstrip("/")

    return parse


def web_url(*, path: bool = True, query: bool = True) -> Parser[str]:
    """A URL of the web, with a path or a query only where they may be; returned without a trailing slash."""

    def parse(value: str) -> str:
        parsed = url("http", "https")(value)
        where = urlsplit(parsed)
        if not where.hostname or "#" in parsed or re.search(r"\s", parsed):
            raise ValueError("must be a URL with a host, without a fragment and without spaces")
        if not path and (where.path.strip("/") or where.query):
            raise ValueError("must be a URL without a path")
        if not query and "?" in parsed:
            raise ValueError("must be a URL without a query")
        return parsed

    return parse


def _split(value: str) -> SplitResult:
    try:
        return urlsplit(value)
    except ValueError:
        raise ValueError("must be a URL with a proper host") from None


def _has_a_proper_port(where: SplitResult) -> bool:
    try:
        return where.port != 0
    except ValueError:
        return False


def bucket(value: str) -> str:
    """A bucket, and perhaps a prefix for what is in it; returned without a trailing slash."""
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.-]+)*/?", value, re.ASCII):
        raise ValueError("must be s3://bucket or s3://bucket/prefix")
    return value.rstrip("/")


def endpoint(value: str) -> str:
    """Where something is posted to: kept to the letter, for a redirect would not be followed."""
    where = _split(value)
    if where.scheme not in {"http", "https"} or not where.hostname or where.fragment or not _has_a_proper_port(where):
        raise ValueError("must be a URL that begins with https:// or http://")
    return value


def is_private(url: str) -> bool:
    """What is sent there is read by nobody on the way: it is encrypted, or never leaves the machine."""
    where = urlsplit(url)
    return where.scheme != "http" or where.hostname == "localhost" or _is_loopback(where.hostname or "")


def _is_loopback(host: str) -> bool:
    return _is_ip(host) and ip_address(host).is_loopback


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def webhook_secret(value: str) -> str:
    """Any text; after whsec_ it must be base64."""
    try:
        key_of(value)
    except ValueError:
        raise ValueError(f"must have base64 after {PREFIX}") from None
    return value


def webhook_key(value: str) -> bytes:
    """A secret as Standard Webhooks has it."""
    key = key_of(webhook_secret(value))
    if not value.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError(f"must be made of {PREFIX} and 24 to 64 bytes in base64")
    return key


# What an option of TLS may say: redis-py and Celery read words for "no" differently, so only the words for "yes" pass.
_CHECKS = {"ssl_cert_reqs": ("required", "CERT_REQUIRED"), "ssl_check_hostname": ("true", "True")}
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", *_CHECKS)


def redis_url(value: str) -> str:
    """A Redis URL. Its options say how TLS is spoken and nothing else: time-outs and pools are ours."""
    parsed = _checking(url("redis", "rediss")(value))
    where = urlsplit(parsed)
    if where.fragment or not re.fullmatch(r"(/\d{0,4})?", where.path, re.ASCII):
        raise ValueError("must be a URL whose path, if it has one, is the number of a database")
    if not parse_qs(where.query, keep_blank_values=True).keys() <= {*_TLS_OPTIONS}:
        raise ValueError(f"must be a URL without options but {_enumerated(_TLS_OPTIONS)}")
    if where.query and where.scheme == "redis":
        raise ValueError("must begin with rediss:// to have options of TLS")
    # redis-py knows this word alone.
    return parsed.replace("ssl_cert_reqs=CERT_REQUIRED", "ssl_cert_reqs=required")


def broker_url(value: str) -> str:
    """Any broker, or several with ; between them, to be tried in turn. Some need nothing but a scheme (`sqs://`)."""
    if "://" not in value:
        raise ValueError("must be a URL that begins with something://")
    places = (_checking(place) for place in value.split(";"))
    return ";".join(redis_url(place) if urlsplit(place).scheme in {"redis", "rediss"} else place for place in places)


def _checking(value: str) -> str:
    """The URL, unless it would leave certificates unchecked."""
    for name, words in parse_qs(_split(value).query, keep_blank_values=True).items():
        if not {*words} <= {*_CHECKS.get(name, words)}:
            raise ValueError("must not switch the check of certificates off")
    return value


def listed(item: Parser[T]) -> Parser[tuple[T, ...]]:
    """Comma-separated."""

    def parse(value: str) -> tuple[T, ...]:
        return tuple(item(word.strip()) for word in value.split(",") if word.strip())

    return parse


def region(value: str) -> str:
    """Two letters of ISO 3166."""
    if not re.fullmatch(r"[A-Za-z]{2}", value, re.ASCII):
        raise ValueError("must be made of two-letter country codes, such as IN or DE")
    return value.upper()


def regions(value: str) -> tuple[str, ...]:
    """Country codes; `*` stands for every country."""
    return ("*",) if value.strip() == "*" else listed(region)(value)


def origin(value: str) -> str:
    """What a browser sends as `Origin`."""
    if not re.fullmatch(r"https?://[^/?#\s,]+", value):
        raise ValueError("must be made of origins, such as https://example.com")
    return value.lower()


def plans(value: str) -> Plans:
    """A TOML file with a table per plan; what `basic` and `pro` leave out stays as it is built in."""
    try:
        tables = tomllib.loads(Path(value).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"must name a file that can be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"must name a TOML file ({error})") from error
    built_in = {"basic": BASIC, "pro": PRO}
    return Plans(
        *(_plan(name, table, built_in.get(name)) for name, table in ({"basic": {}, "pro": {}} | tables).items())
    )


def _plan(name: str, table: Any, base: Plan | None) -> Plan:
    if not isinstance(table, dict):
        raise ValueError(f"must hold tables only, one for each plan ({name} is none)")
    checked = {key: _plan_value(f"{name}.{key}", key, value) for key, value in table.items()}
    if base is None and "daily_messages" not in checked:
        raise ValueError(f"must say {name}.daily_messages")
    return replace(base or Plan(name=name, daily_messages=0), **checked)


def _plan_value(path: str, key: str, value: Any) -> Any:
    kinds: dict[str, Any] = {field.name: field.type for field in fields(Plan) if field.name != "name"}
    if key not in kinds:
        raise ValueError(f"must not say {path}: a plan has {_enumerated(kinds)}")
    if kinds[key] is bool and isinstance(value, bool):
        return value
    if kinds[key] is int and isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST:
        return value
    if key == "models" and isinstance(value, list) and all(isinstance(model, str) and model for model in value):
        return tuple(value)
    wanted = {bool: "true or false", int: f"a whole number from 0 to {MOST}"}.get(kinds[key], "a list of model names")
    raise ValueError(f"must have {wanted} as {path}")


def _enumerated(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}"
