"""Programs that come in wheels, found without importing their packages."""

import importlib.metadata
import importlib.util
import secrets
import shutil
from pathlib import Path

from adapters.local.processes import SYSTEM_FOLDER, Account, opened, writing


def inside(package: str, place: str, account: Account) -> Path | None:
    """The file or folder `place` of an installed package, if there is one.

    Where `account` cannot reach the package, it is one in a copy that is made once, for each version, under /var/lib.
    """
    spec = importlib.util.find_spec(package)
    home = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
    if home is None or not (home / place).exists():
        return None
    return (home if account.reaches(home / place) else _copied(home)) / place


def _copied(home: Path) -> Path:
    """With the libraries beside it, which the programs look for at the same distance."""
    copy = SYSTEM_FOLDER / "programs" / f"{home.name}-{importlib.metadata.version(home.name)}"
    if not copy.exists():
        unfinished = copy.with_name(f"{copy.name}.{secrets.token_hex(4)}")
        with writing(copy):
            for part in (home, home.with_name(f"{home.name}.libs")):
                if part.exists():
                    shutil.copytree(part, unfinished / part.name, symlinks=True)
            for path in unfinished.rglob("*"):
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))
            for folder in (SYSTEM_FOLDER, copy.parent, unfinished):
                opened(folder)
            unfinished.rename(copy)
    return copy / home.name
