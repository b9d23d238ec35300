"""`gemini-backend` as a process of its own, as where it is installed: without the tools of the tests."""

import os
import sys
from pathlib import Path

COMMAND = (sys.executable, "-c", "from adapters.wiring import main; main()")
SOURCE = Path(__file__).parents[2] / "src"
ABSENT = Path(__file__).parent / "absent"


def environ(**settings: str) -> dict[str, str]:
    """The variables of a process with these settings, and none of ours."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{SOURCE}{os.pathsep}{ABSENT}", **settings}
