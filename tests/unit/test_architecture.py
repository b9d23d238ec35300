"""The layers are checked by import-linter in every run; here it is shown that it would see each kind of trespass."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
CORE_MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for path in (SOURCE / "gemini_core").rglob("*.py")
)
TRESPASSES = {
    "the core imports an adapter": ("gemini_core/model/chat.py", "import adapters.memory", "The core knows no adapter"),
    "a noun imports a verb": ("gemini_core/model/ids.py", "import gemini_core.use_cases.chat", "The core has floors"),
    "a port imports a verb": ("gemini_core/ports/chat.py", "import gemini_core.use_cases.chat", "The core has floors"),
    "an adapter imports another": ("adapters/redis/__init__.py", "import adapters.queue", "The roof joins"),
    "an adapter imports the settings": ("adapters/http/__init__.py", "import adapters.settings", "The roof joins"),
    "an adapter imports the wiring": ("adapters/http/__init__.py", "import adapters.wiring", "The roof joins"),
    "a file under no roof": ("adapters/odd.py", "", "The roof joins"),
    "a circle": (
        "adapters/local/welcome.py",
        "import adapters.local.supervisor",
        "Nothing goes round in circles",
    ),
    "SQL in the API": ("adapters/http/__init__.py", "import sqlalchemy", "SQL has one door"),
    "the driver in the API": ("adapters/http/__init__.py", "import psycopg", "SQL has one door"),
    "Celery in the API": ("adapters/http/__init__.py", "from celery import Celery", "Celery has one door"),
    "Falcon in the command line": ("adapters/cli/__init__.py", "import falcon", "HTTP has one door"),
    "msgspec in the core": ("gemini_core/errors.py", "import msgspec", "HTTP has one door"),
    "Gemini in the queue": ("adapters/queue/__init__.py", "from google import genai", "Gemini has one door"),
    "Stripe in the API": ("adapters/http/__init__.py", "import stripe", "Stripe has one door"),
    "Redis in the queue": ("adapters/queue/__init__.py", "import redis", "Redis has one door"),
    "a JWT in the API": ("adapters/http/__init__.py", "import jwt", "Signing tokens has one door"),
    "argon2 in the API": ("adapters/http/__init__.py", "import argon2", "Hashing passwords has one door"),
    "phone numbers in SQL": ("adapters/persistence/__init__.py", "import phonenumbers", "Reading phone numbers"),
    "Click in the wiring": ("adapters/wiring/__init__.py", "import click", "The command line has one door"),
    "the container in the API": (
        "adapters/http/__init__.py",
        "from dependency_injector import containers",
        "The container has one door",
    ),
}


def lint(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", TRESPASSES)
def test_a_trespass_is_caught(kind: str, copy: Path) -> None:
    file, line, contract = TRESPASSES[kind]
    path = copy / "src" / file
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")

    verdict = lint(copy)

    assert verdict.returncode == 1, verdict.stdout + verdict.stderr
    broken = [told for told in verdict.stdout.splitlines() if "BROKEN" in told]
    assert any(told.startswith(contract) for told in broken), verdict.stdout


def test_the_core_imports_nothing_but_the_standard_library() -> None:
    program = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n" + "".join(
        f"import {name}\n" for name in CORE_MODULES
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)
