"""Becomes another program, one that dies with the process that started it.

    python -I -S bound.py PARENT-PID SIGNAL UID GID PROGRAM ARGUMENT...

Run as a script: nothing but the standard library is within reach. The kernel forgets the death signal when a process
changes its user, so the order is: another user, the signal, a look whether the parent is still there, the program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, last_word: int, uid: int, gid: int, command: list[str]) -> None:
    if uid != os.geteuid():
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, last_word, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("The process that wanted this one is gone.")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    parent, last_word, uid, gid = (int(word) for word in sys.argv[1:5])
    main(parent, last_word, uid, gid, sys.argv[5:])
