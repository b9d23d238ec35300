"""The journey of a subscription in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.fakes.browser import browser
from tests.fakes.estate import Estate, estate, eventually

expect.set_options(timeout=60_000)


@pytest.fixture
def shop(open_folder: Path, postgres_url: str, valkey_url: str) -> Iterator[Estate]:
    with estate(open_folder, postgres_url, valkey_url) as running:
        yield running


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as running:
        yield running.new_page()


def test_a_buyer_declines_pays_and_cancels_in_the_browser(shop: Estate, page: Page) -> None:
    user = shop.sign_in()
    page.goto(shop.checkout(user))
    expect(page.locator("body")).to_contain_text("no money moves")
    page.click("#decline")
    expect(page.locator("#declined")).to_be_visible()

    page.click("#cancel")
    expect(page).to_have_url(f"{shop.apis[0]}/payment/cancel/")
    expect(page.locator("h1")).to_have_text("Payment cancelled")
    assert shop.status(user)["plan"] == "basic"

    page.goto(shop.checkout(user))
    page.click("#pay")
    page.wait_for_url(f"{shop.apis[0]}/payment/success/?session_id=cs_test_*")
    expect(page.locator("#message")).to_contain_text("as soon as the payment is confirmed")
    eventually(lambda: shop.status(user), lambda told: told["plan"] == "pro")

    page.goto(shop.call("POST", "/subscription/portal/", user).json()["portal_url"])
    page.click("#cancel")
    expect(page.locator("body")).to_contain_text("ends with the period")
    eventually(lambda: shop.status(user), lambda told: told["cancel_at_period_end"] is True)

    page.goto(shop.sandbox.url)
    page.click("text=A month passes")
    eventually(lambda: shop.status(user), lambda told: told["plan"] == "basic")
