"""The settings start with nothing set, and stop the start with one sentence that names the variable."""

import dataclasses
import re
from pathlib import Path
from ssl import CERT_REQUIRED

import pytest
from redis import SSLConnection

from adapters.queue.celery import create
from adapters.redis.client import connect
from adapters.settings import PER_ADDRESS, STAND_INS, Settings, SettingsError, described, environment

PRODUCTION = {
    "APP_ENV": "production",
    "SECRET_KEY": "s" * 32,
    "DATABASE_URL": "postgres://u:p@db/app",
    "REDIS_URL": "rediss://:p@cache/0",
    "GEMINI_API_KEY": "g",
    "OTP_SENDER": "webhook",
    "OTP_WEBHOOK_URL": "https://sms.example.com/send",
    "STRIPE_SECRET_KEY": "sk_live_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_new, whsec_old",
    "STRIPE_PRO_PRICE_ID": "price_1",
}

SIGNING = "whsec_" + "bm5u" * 8


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ)
    assert re.fullmatch(r"[^\n]+\.|[^\n]+\?", caught.value.detail), "one sentence"
    return caught.value.detail


def test_nothing_needs_to_be_set_in_development() -> None:
    settings = Settings.load({})
    assert settings.public_url == "http://127.0.0.1:8000"
    assert (settings.database_url, settings.redis_url, settings.gemini_api_key) == ("", "", "")
    assert settings.otp_sender == "inbox"
    assert settings.sms_countries == ("*",)
    assert settings.plans.named("basic").daily_messages == 5
    assert settings.plans.named("pro").daily_messages == 1_000


def test_the_development_secret_is_made_once_and_is_nobody_elses_to_read() -> None:
    first, second = Settings.load({}), Settings.load({})
    assert first.secret_key == second.secret_key
    assert len(first.secret_key[0]) >= 32
    assert Path(".data/secret-key").stat().st_mode & 0o077 == 0


def test_the_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.load({}).port = 1  # type: ignore[misc]


def test_no_secret_shows_in_the_repr() -> None:
    listening = {"EVENTS_WEBHOOK_URL": "https://events.example.com/t0ken", "EVENTS_WEBHOOK_SECRET": SIGNING}
    shown = repr(Settings.load(PRODUCTION | listening))
    for secret in ("t0ken", "nnnn", "s" * 32, "u:p@", ":p@cache", "sk_live_1", "whsec_"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APP_ENV", "staging"),
        *(("HOST", wrong) for wrong in ("..", "a..b", "a b", "a" * 64, "a." * 150, "999.1.1.1", "1", "[::1]", "høst")),
        ("PORT", "0"),
        ("PORT", "70000"),
        ("PORT", "８０００"),
        ("PORT", "eighty"),
        ("DATABASE_URL", "mysql://db/app"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://cache/0?socket_timeout=3"),
        ("REDIS_URL", "redis://cache/0?ssl_ca_certs=ca.pem"),
        ("REDIS_URL", "rediss://cache/0?ssl_ciphers=NULL"),
        ("REDIS_URL", "redis://cache/abc"),
        ("REDIS_URL", "redis://cache/1/2"),
        ("REDIS_URL", "redis://cache/0#1"),
        ("BROKER_URL", "redis://cache/0?db=x"),
        ("BROKER_URL", "redis://cache/0;redis://cache/abc"),
        ("BROKER_URL", "somewhere"),
        ("BROKER_URL", "carrier-pigeon://loft"),
        ("BROKER_URL", "amqp://mq:x//"),
        ("BROKER_URL", "confluentkafka://log"),
        ("DATABASE_URL", "postgresql://db:http/app"),
        ("DATABASE_URL", "postgresql://db/app?foo=bar"),
        ("DATABASE_URL", "postgresql://db/app?sslmode"),
        ("DATABASE_URL", "postgresql://db:99999/app"),
        ("REDIS_URL", "redis://cache:0"),
        ("PUBLIC_URL", "http://[::1"),
        ("EVENTS_WEBHOOK_URL", "http://localhost:x/"),
        ("ATTACHMENTS_URL", "/var/files"),
        ("ATTACHMENTS_URL", "s3:///prefix"),
        ("ATTACHMENTS_URL", "s3://key:secret@bucket"),
        ("ATTACHMENTS_URL", "s3://bucket/a//b"),
        ("S3_ENDPOINT_URL", "s3.example.com"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", f"{'s' * 32},short"),
        ("SECRET_KEY", f"{'s' * 32},{'s' * 32}"),
        ("SECRET_KEY", ","),
        ("OTP_SENDER", "pigeon"),
        ("OTP_ATTEMPTS", "11"),
        ("OTP_SENDING", "perhaps"),
        ("DEFAULT_REGION", "India"),
        ("DEFAULT_REGION", "XX"),
        ("SMS_COUNTRIES", "IN,Germany"),
        ("SMS_COUNTRIES", "IN,XX"),
        ("TRUSTED_PROXIES", "-1"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("PUBLIC_URL", "example.com"),
        ("PUBLIC_URL", "https:///app"),
        ("PUBLIC_URL", "https://:443"),
        ("PUBLIC_URL", "https://example.com/a b"),
        ("PUBLIC_URL", "https://example.com/?a=b"),
        ("PUBLIC_URL", "https://example.com/#top"),
        ("GEMINI_API_KEY", "clé"),
        ("STRIPE_SECRET_KEY", "sk_test_clé"),
        ("STRIPE_SECRET_KEY", "pk_live_1"),
        ("SESSION_IDLE_DAYS", "0"),
        ("PLANS", "no-such-file.toml"),
        ("API_THREADS", "0"),
        ("GEMINI_FIRST_CHUNK_TIMEOUT", "0"),
        ("GEMINI_FIRST_CHUNK_TIMEOUT", "nan"),
        ("LEASE_SECONDS", "1e3"),
        ("EVENTS_WEBHOOK_URL", "ftp://events.example.com"),
        ("EVENTS_WEBHOOK_URL", "https:///hook"),
        ("EVENTS_WEBHOOK_SECRET", "a secret"),
        ("EVENTS_WEBHOOK_SECRET", "whsec_dG9vIHNob3J0"),
        ("OTP_WEBHOOK_SECRET", "whsec_what?"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    told = refusal({name: value})
    assert told.startswith(f"{name} must ")


@pytest.mark.parametrize("name", ["REDIS_URL", "BROKER_URL"])
@pytest.mark.parametrize(
    "option",
    [
        *(f"ssl_cert_reqs={word}" for word in ("none", "CERT_NONE", "optional", "CERT_OPTIONAL", "None", "")),
        *(f"ssl_check_hostname={word}" for word in ("false", "False", "FALSE", "no", "N", "f", "0", "")),
        "ssl_cert_reqs=required&ssl_cert_reqs=none",
        "ssl_ca_certs=ca.pem&ssl%5Fcheck_hostname=no",
    ],
)
def test_certificates_are_always_checked(name: str, option: str) -> None:
    told = refusal({name: f"rediss://:hunter2@cache/0?{option}"})
    assert told == f"{name} must not switch the check of certificates off."


@pytest.mark.parametrize(
    "url", ["amqps://mq//?ssl_cert_reqs=CERT_NONE", "rediss://a/0?ssl_ca_certs=x;rediss://b/0?ssl_cert_reqs=none"]
)
def test_certificates_are_checked_by_every_broker(url: str) -> None:
    assert refusal({"BROKER_URL": url}) == "BROKER_URL must not switch the check of certificates off."


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("REDISS://:p@cache:6380/", "rediss://:p@cache:6380"),
        (
            "rediss://cache/0?ssl_cert_reqs=CERT_REQUIRED&ssl_check_hostname=true",
            "rediss://cache/0?ssl_cert_reqs=required&ssl_check_hostname=true",
        ),
        ("rediss://cache/12?ssl_ca_certs=/etc/ca.pem", "rediss://cache/12?ssl_ca_certs=/etc/ca.pem"),
    ],
)
def test_whoever_connects_to_redis_checks_certificates(given: str, kept: str) -> None:
    settings = Settings.load({"REDIS_URL": given})
    assert Settings.load({"BROKER_URL": given}).broker_url == settings.broker_url == settings.redis_url == kept
    by_redis = connect(settings.redis_url).connection_pool.make_connection()
    assert isinstance(by_redis, SSLConnection)
    assert (by_redis.cert_reqs, by_redis.check_hostname) == (CERT_REQUIRED, True)
    by_celery = create(settings.broker_url).connection_for_write().ssl
    assert by_celery.get("ssl_cert_reqs", CERT_REQUIRED) == CERT_REQUIRED
    assert by_celery.get("ssl_check_hostname", True) is True


@pytest.mark.parametrize("url", ["memory://", "amqp://mq//", "redis://a/0;redis://b/0", "sqla+sqlite:///queue.db"])
def test_any_broker_that_celery_can_use_is_taken_as_it_is_written(url: str) -> None:
    settings = Settings.load({"BROKER_URL": url})
    assert settings.broker_url == url
    assert create(url).connection_for_write().transport_options.keys() == (
        {"socket_timeout", "socket_connect_timeout"} if url.startswith("redis") else set()
    )


def test_a_wrong_secret_is_named_and_not_shown() -> None:
    assert "hunter2" not in refusal({"SECRET_KEY": "hunter2"})
    assert "hunter2" not in refusal({"DATABASE_URL": "mysql://me:hunter2@db/app"})


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_BASE_URL": "http://127.0.0.1:9"}, "STRIPE_BASE_URL"),
        ({"STRIPE_SECRET_KEY": "rk_live_1", "STRIPE_BASE_URL": "https://api.stripe.com.evil"}, "STRIPE_BASE_URL"),
        ({"STRIPE_BASE_URL": "http://127.0.0.1:9"}, "STRIPE_BASE_URL"),
        ({"GEMINI_BASE_URL": "http://127.0.0.1:9"}, "GEMINI_BASE_URL"),
        ({"DATABASE_URL": "postgresql://a/x", "POSTGRES_HOST": "b"}, "POSTGRES_HOST"),
        ({"LEASE_SECONDS": "8"}, "RENEW_SECONDS"),
        ({"SESSION_IDLE_DAYS": "30", "SESSION_DAYS": "29"}, "SESSION_IDLE_DAYS"),
        ({"OTP_SENDS_PER_PHONE_HOUR": "11"}, "OTP_SENDS_PER_PHONE_HOUR"),
        ({"OTP_SENDER": "webhook"}, "OTP_WEBHOOK_URL"),
        ({"EVENTS_WEBHOOK_URL": "https://events.example.com/"}, "EVENTS_WEBHOOK_SECRET"),
        ({"S3_ENDPOINT_URL": "http://127.0.0.1:9"}, "S3_ENDPOINT_URL"),
        ({"ATTACHMENTS_URL": "s3://bucket", "S3_ACCESS_KEY": "a"}, "S3_SECRET_KEY"),
        ({"ATTACHMENTS_URL": "s3://bucket", "S3_SECRET_KEY": "a"}, "S3_ACCESS_KEY"),
        ({"OTP_SENDER": "twilio", "TWILIO_ACCOUNT_SID": "a"}, "TWILIO_AUTH_TOKEN"),
    ],
)
def test_a_contradiction_is_named(environ: dict[str, str], name: str) -> None:
    assert refusal(environ).startswith(name)


def test_a_whole_may_be_less_than_its_part_is_by_itself() -> None:
    settings = Settings.load({"SESSION_DAYS": "7", "OTP_SENDS_PER_PHONE_DAY": "2"})
    assert (settings.session_days, settings.otp_sends_per_phone_day) == (7, 2)


def test_options_that_postgresql_knows_are_taken() -> None:
    url = "postgresql://u:p@db/app?sslmode=verify-full&sslrootcert=system&target_session_attrs=read-write"
    assert Settings.load({"DATABASE_URL": url}).database_url == url


def test_a_misspelt_variable_is_told() -> None:
    assert refusal({"DATABSE_URL": "postgres://a/b"}) == "DATABSE_URL is not a setting: did you mean DATABASE_URL?"


def test_strangers_in_the_environment_are_left_alone() -> None:
    Settings.load(
        {"GEMINI_CLI_HOME": "/x", "STRIPE_CLI": "1", "HOSTNAME": "h", "REDIS_URI": "u", "POSTGRES_INITDB_ARGS": ""}
    )


def test_production_starts_when_it_has_everything() -> None:
    settings = Settings.load(PRODUCTION)
    assert settings.in_production
    assert settings.stripe_webhook_secret == ("whsec_new", "whsec_old")
    assert settings.broker_url == settings.redis_url
    assert settings.sms_countries == ()


@pytest.mark.parametrize("missing", sorted(PRODUCTION.keys() - {"APP_ENV"}))
def test_production_refuses_a_missing_secret_and_every_stand_in(missing: str) -> None:
    told = refusal({name: value for name, value in PRODUCTION.items() if name != missing})
    assert told.startswith(missing)


@pytest.mark.parametrize(("name", "word"), STAND_INS.items())
def test_production_takes_a_stand_in_that_is_asked_for_by_name(name: str, word: str) -> None:
    assert getattr(Settings.load(PRODUCTION | {name.upper(): word}), name) == ""


def test_production_where_an_operator_takes_the_money_needs_nothing_of_stripe() -> None:
    without = {name: value for name, value in PRODUCTION.items() if not name.startswith("STRIPE_")}
    assert Settings.load(without | {"PAYMENTS": "manual"}).stripe_secret_key == ""
    assert refusal(without).startswith("STRIPE_SECRET_KEY")


def test_production_is_not_content_with_a_list_of_no_secrets() -> None:
    assert refusal(PRODUCTION | {"STRIPE_WEBHOOK_SECRET": ", ,"}) == "STRIPE_WEBHOOK_SECRET is needed in production."


def test_production_never_takes_the_inbox() -> None:
    assert refusal(PRODUCTION | {"OTP_SENDER": "inbox"}).startswith("OTP_SENDER")


@pytest.mark.parametrize(
    "url", ["https://events.example.com/hook/", "http://127.0.0.1:9/", "http://[::1]/", "http://localhost/"]
)
def test_events_leave_the_machine_encrypted_or_not_at_all_in_production(url: str) -> None:
    listening = PRODUCTION | {"EVENTS_WEBHOOK_SECRET": f"{SIGNING}, {SIGNING}"}
    settings = Settings.load(listening | {"EVENTS_WEBHOOK_URL": url})
    assert settings.events_webhook_url == url
    assert settings.events_webhook_secret == (b"n" * 24,) * 2
    assert refusal(listening | {"EVENTS_WEBHOOK_URL": "http://events.example.com/"}).startswith("EVENTS_WEBHOOK_URL")


def test_the_seeds_postgres_variables_make_a_url() -> None:
    settings = Settings.load(
        {"POSTGRES_HOST": "db", "POSTGRES_USER": "a b", "POSTGRES_PASSWORD": "p@ss/", "POSTGRES_DB": "x"}
    )
    assert settings.database_url == "postgresql://a%20b:p%40ss%2F@db:5432/x"


def test_the_process_comes_before_the_env_file_and_an_empty_value_counts_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("PORT=9001\nHOST=0.0.0.0\nLOG_LEVEL=debug\n")
    monkeypatch.setenv("PORT", "9002")
    monkeypatch.setenv("LOG_LEVEL", "")
    settings = Settings.load()
    assert (settings.host, settings.port, settings.log_level) == ("0.0.0.0", 9002, "debug")
    assert settings.public_url == "http://127.0.0.1:9002"
    assert environment()["PORT"] == "9002"


@pytest.mark.parametrize(
    "written", ['PORT=9001\nOTP_TTL="60', "PORT=9001\nOTP_TTL='60\nLOG_LEVEL=info\n", "PORT=1\n=60"]
)
def test_a_line_of_the_env_file_that_says_nothing_is_told(written: str) -> None:
    Path(".env").write_text(written)
    with pytest.raises(SettingsError, match=r"^\.env cannot be read from line 2 on: it is no NAME=value\.$"):
        environment()


def test_the_env_file_is_read_as_editors_write_it() -> None:
    Path(".env").write_bytes(b"\xef\xbb\xbfPORT=9001 # here\r\nexport OTP_TTL='60'\r\nLOG_LEVEL=\r\nPLANS\r\n")
    assert environment().items() >= {"PORT": "9001", "OTP_TTL": "60"}.items()
    assert not {"LOG_LEVEL", "PLANS"} & environment().keys()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "localhost", "api_1.internal", "a-b.example.com."])
def test_a_host_is_an_address_or_a_name(host: str) -> None:
    assert Settings.load({"HOST": host}).host == host


def test_an_unwritable_data_folder_is_told() -> None:
    Path("file").write_text("")
    assert refusal({"DATA_DIR": "file"}).startswith("DATA_DIR: cannot write to ")


def test_plans_come_from_a_file_and_keep_what_it_leaves_out() -> None:
    Path("plans.toml").write_text(
        '[basic]\ndaily_messages = 7\n[team]\ndaily_messages = 50\nmodels = ["gemini-3.8-flash"]\n'
    )
    plans = Settings.load({"PLANS": "plans.toml"}).plans
    assert plans.named("basic").daily_messages == 7
    assert plans.named("pro").daily_messages == 1_000
    assert plans.named("team").models == ("gemini-3.8-flash",)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("daily_messages = 5", "daily_messages is none"),
        ("[basic]\nmessages = 5", "basic.messages"),
        ("[basic]\ndaily_messages = true", "basic.daily_messages"),
        ("[basic]\ndaily_messages = -1", "basic.daily_messages"),
        ("[basic]\ndaily_messages = 2147483648", "basic.daily_messages"),
        ("[basic]\nmodels = 'all'", "basic.models"),
        ("[basic]\nattachments = 1", "basic.attachments"),
        ("[team]\nmax_rooms = 5", "team.daily_messages"),
        ("[basic", "TOML"),
    ],
)
def test_a_wrong_plan_is_named(written: str, told: str) -> None:
    Path("plans.toml").write_text(written)
    assert told in refusal({"PLANS": "plans.toml"})


def test_the_example_says_what_is_another_number_in_development() -> None:
    meanings = {name: meaning for name, _, meaning in described()}
    here = Settings.load({"SECRET_KEY": "s" * 40})
    for name in PER_ADDRESS:
        assert meanings[name.upper()].endswith(f"; development: {getattr(here, name)}")


def test_the_example_lists_every_variable_with_its_default() -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    lines = re.findall(r"^#?([A-Z0-9_]+)=(.*)$", example, re.MULTILINE)
    assert lines == [(name, default) for name, default, _ in described()]
    for _, _, meaning in described():
        assert f"# {meaning}" in example
