"""Every part of the container can be made: the container itself does not check the names of arguments."""

from pathlib import Path

import pytest
from dependency_injector.providers import Dependency, Selector

from adapters.settings import Settings
from adapters.wiring.container import Container

SERVERS = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
VENDORS = {
    "GEMINI_API_KEY": "a-key",
    "OTP_SENDER": "webhook",
    "OTP_WEBHOOK_URL": "http://127.0.0.1:1/",
    "STRIPE_SECRET_KEY": "sk_test_sandbox_1",
    "STRIPE_BASE_URL": "http://127.0.0.1:1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "STRIPE_PRO_PRICE_ID": "price_1",
}


@pytest.mark.parametrize("environ", [SERVERS, SERVERS | VENDORS], ids=["stand-ins", "vendors"])
def test_every_part_can_be_made_without_reaching_anything(environ: dict[str, str], tmp_path: Path) -> None:
    container = Container(settings=Settings.load(environ | {"DATA_DIR": str(tmp_path)}))
    for name, provider in container.providers.items():
        if not isinstance(provider, Dependency):
            assert provider() is not None, name


@pytest.mark.parametrize(("environ", "choice"), [(SERVERS, "demo"), (SERVERS | VENDORS, "gemini")])
def test_a_key_chooses_gemini_and_none_the_demo_model(environ: dict[str, str], choice: str, tmp_path: Path) -> None:
    container = Container(settings=Settings.load(environ | {"DATA_DIR": str(tmp_path)}))
    llm = container.llm
    assert isinstance(llm, Selector)
    assert llm() is llm.providers[choice]()


def test_a_part_is_made_once(tmp_path: Path) -> None:
    container = Container(settings=Settings.load(SERVERS | {"DATA_DIR": str(tmp_path)}))
    assert container.core() is container.core()
    assert container.core().send_message.queue is container.queue()
