"""A real browser without a screen. Where there is none, it is installed; where that cannot be done, tests fail."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class NoBrowserError(Exception):
    """What to do about it is in the message."""


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium: the one that CHROMIUM names or that is installed here, else one that is installed now."""
    path = os.environ.get("CHROMIUM") or _found() or _installed_by_apt() or _installed_by_playwright()
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path or None)
        yield running
        running.close()


def _found() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _installed_by_apt() -> str | None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    apt = ["apt-get", "-q", "-y", "--no-install-recommends"]
    for command in (["apt-get", "-q", "update"], [*apt, "install", "chromium"]):
        subprocess.run(command, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    return _found()


def _installed_by_playwright() -> str:
    """Playwright's own build, which it finds by itself. Answers an empty path."""
    done = subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if done.returncode:
        raise NoBrowserError("No Chromium: install one (apt-get install chromium), or name one in CHROMIUM.")
    return ""
