"""Chaos, in its long form. Exit code 0 if every promise was kept."""

import argparse
import sys
from dataclasses import fields, replace

from tests.chaos.plan import Plan
from tests.chaos.running import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/chaos/run", description=__doc__)
    for field in fields(Plan):
        if isinstance(field.default, int | float):
            parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    plan = replace(Plan(), **vars(parser.parse_args()))
    report = run(plan)
    sys.stdout.write(f"seed {plan.seed}: {plan.users} users, {plan.messages} messages\n\n{report}\n")
    return 0 if report.kept else 1


sys.exit(main())
