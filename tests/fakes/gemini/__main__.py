"""The fake as a process. Prints its address on the first line; `GET /recorded` tells what it was asked."""

import argparse
import signal
import sys
from functools import partial

from tests.fakes.gemini.scenes import FAULTS, Director, Faults, echo
from tests.fakes.gemini.server import KEY, FakeGemini


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two pieces of a reply")
    parser.add_argument("--script", choices=["echo", "faults"], default="echo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.3, help="how likely a fault is")
    parser.add_argument("--most", type=int, default=2, help="faults before a question is answered, at most")
    parser.add_argument("--kinds", nargs="+", choices=sorted(FAULTS), default=sorted(FAULTS))
    args = parser.parse_args()
    director: Director = partial(echo, pause=args.pause)
    if args.script == "faults":
        director = Faults(args.seed, args.rate, most=args.most, kinds=args.kinds, pause=args.pause)
    with FakeGemini(director=director, key=args.key, port=args.port) as fake:
        sys.stdout.write(f"{fake.url}\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
main()
