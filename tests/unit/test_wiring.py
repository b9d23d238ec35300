"""Every part of the container can be made: the container itself does not check the names of arguments."""

import subprocess
import sys
from pathlib import Path

import pytest
from dependency_injector.providers import Dependency, Selector
from structlog.testing import capture_logs
from tests.fakes.program import environ

from adapters.local.folder import FolderAttachments
from adapters.local.stripe_sandbox.server import Sandbox
from adapters.local.stripe_sandbox.shelf import PRO_PRICE
from adapters.s3.bucket import S3Attachments
from adapters.settings import Settings
from adapters.wiring.container import Container
from adapters.wiring.doctor import examine, payments
from gemini_core.errors import Unavailable

SERVERS = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
SELLING = {"STRIPE_PRO_PRICE_ID": PRO_PRICE, "STRIPE_WEBHOOK_SECRET": "whsec_x"}
VENDORS = {
    "GEMINI_API_KEY": "a-key",
    "OTP_SENDER": "webhook",
    "OTP_WEBHOOK_URL": "http://127.0.0.1:1/",
    "STRIPE_SECRET_KEY": "sk_test_sandbox_1",
    "STRIPE_BASE_URL": "http://127.0.0.1:1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "STRIPE_PRO_PRICE_ID": "price_1",
    "EVENTS_WEBHOOK_URL": "http://127.0.0.1:1/",
    "EVENTS_WEBHOOK_SECRET": "whsec_" + "bm5u" * 8,
    "ATTACHMENTS_URL": "s3://bucket/prefix",
    "S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "S3_ACCESS_KEY": "a-key",
    "S3_SECRET_KEY": "a-secret",
}


@pytest.mark.parametrize("environ", [SERVERS, SERVERS | VENDORS], ids=["stand-ins", "vendors"])
def test_every_part_can_be_made_without_reaching_anything(environ: dict[str, str], tmp_path: Path) -> None:
    container = Container(settings=Settings.load(environ | {"DATA_DIR": str(tmp_path)}))
    for name, provider in container.providers.items():
        if not isinstance(provider, Dependency):
            assert provider() is not None, name


def test_a_vendors_package_is_loaded_only_where_the_vendor_is_used() -> None:
    loading = "import sys, adapters.wiring.container; print({'stripe', 'google.genai', 'obstore'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", loading], env=environ(), capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(("environ", "choice"), [(SERVERS, "demo"), (SERVERS | VENDORS, "gemini")])
def test_a_key_chooses_gemini_and_none_the_demo_model(environ: dict[str, str], choice: str, tmp_path: Path) -> None:
    container = Container(settings=Settings.load(environ | {"DATA_DIR": str(tmp_path)}))
    llm = container.llm
    assert isinstance(llm, Selector)
    assert llm() is llm.providers[choice]()


@pytest.mark.parametrize(("environ", "kind"), [(SERVERS, FolderAttachments), (SERVERS | VENDORS, S3Attachments)])
def test_files_are_kept_in_the_bucket_that_is_named_or_else_in_a_folder(
    environ: dict[str, str], kind: type, tmp_path: Path
) -> None:
    container = Container(settings=Settings.load(environ | {"DATA_DIR": str(tmp_path)}))
    assert isinstance(container.attachments(), kind)
    assert container.core().send_message.attachments.store is container.attachments()


def test_the_doctor_tells_what_cannot_be_reached_and_no_secret(tmp_path: Path) -> None:
    asked = {name: value for name, value in VENDORS.items() if name.startswith(("ATTACHMENTS_", "S3_", "EVENTS_"))}
    found = {each.name: each for each in examine(Settings.load(SERVERS | asked | {"DATA_DIR": str(tmp_path)}))}
    assert {name for name, each in found.items() if not each.ok} == {"database", "redis", "queue", "files", "events"}
    assert asked["S3_SECRET_KEY"] not in str(found)
    assert asked["EVENTS_WEBHOOK_SECRET"] not in str(found)
    assert found["model"].detail.startswith("the demo model")


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "nothing is for sale, because STRIPE_SECRET_KEY is empty"),
        ({"PAYMENTS": "manual"}, "an operator approves, because PAYMENTS=manual"),
        ({"STRIPE_SECRET_KEY": "sk_test_1"}, "STRIPE_PRO_PRICE_ID is empty: nothing can be bought."),
        (
            {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_PRO_PRICE_ID": "price_1"},
            "STRIPE_WEBHOOK_SECRET is empty: webhooks are refused.",
        ),
        ({"STRIPE_SECRET_KEY": "sk_test_sandbox_1", **SELLING}, f"{PRO_PRICE} is sold in test mode"),
        ({"STRIPE_SECRET_KEY": "sk_test_elsewhere", **SELLING}, "Stripe does not take this key (401)."),
    ],
)
def test_the_doctor_tells_whether_anything_can_be_sold(environ: dict[str, str], told: str, tmp_path: Path) -> None:
    with Sandbox(port=0, webhook_url="http://127.0.0.1:9/", webhook_secret="whsec_x") as sandbox:
        where = {"STRIPE_BASE_URL": sandbox.url} if "STRIPE_WEBHOOK_SECRET" in environ else {}
        settings = Settings.load(SERVERS | {"DATA_DIR": str(tmp_path)} | environ | where)
        try:
            found = payments(settings, Container(settings=settings))
        except Unavailable as failure:
            found = failure.detail
    assert found == told


def test_the_start_says_that_webhooks_are_refused_without_a_secret_and_they_are(tmp_path: Path) -> None:
    settings = Settings.load(SERVERS | {"DATA_DIR": str(tmp_path), "STRIPE_SECRET_KEY": "sk_test_1"})
    with capture_logs() as said:
        core = Container(settings=settings).core()
    assert "STRIPE_WEBHOOK_SECRET is empty: webhooks are refused." in {line["event"] for line in said}
    with pytest.raises(Unavailable) as refused:
        core.receive_webhook(b"{}", "t=1,v1=0")
    assert refused.value.code == "webhooks-not-configured"


def test_the_start_says_that_budgets_are_not_obeyed_in_development(tmp_path: Path) -> None:
    with capture_logs() as said:
        core = Container(settings=Settings.load(SERVERS | {"DATA_DIR": str(tmp_path), "OTP_BUDGETS": "obey"})).core()
    assert core.send_code.rules.sends.budgets_record_only
    told = [line["event"] for line in said if "OTP_BUDGETS" in line["event"]]
    assert told == ["OTP_BUDGETS=obey is not obeyed in development: full budgets are only recorded."]


def test_a_part_is_made_once(tmp_path: Path) -> None:
    container = Container(settings=Settings.load(SERVERS | {"DATA_DIR": str(tmp_path)}))
    assert container.core() is container.core()
    assert container.core().send_message.queue is container.queue()
