"""What is declared, what is locked and what is installed agree, and nothing tells where it was fetched from."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def requirements(path: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {line for line in lines if line}


def test_the_package_declares_what_the_lock_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {*project["dependencies"], *project["optional-dependencies"]["local"]}
    assert {line for line in requirements(ROOT / "requirements/runtime.in") if "hatchling" not in line} == declared


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    for package in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+", package), package
        assert "--hash=sha256:" in package
    assert "://" not in text


def test_everything_locked_for_production_is_locked_alike_for_tests() -> None:
    versions = [
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("runtime.txt", "dev.txt", "bench.txt")
    ]
    runtime, dev, bench = versions
    assert runtime.items() <= dev.items()
    assert runtime.items() <= bench.items()


def test_whoever_installs_the_wheel_has_its_types(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(ZipFile(wheel).namelist())
    assert {"gemini_core/py.typed", "gemini_core/core/__init__.py", "adapters/py.typed"} <= held
