"""A counterpart of several processes, ended as one."""

import os
import signal
import sys


def end_with_stdin():
    """Makes a process group of this process and all it starts, which ends when standard input does,
    even if this process is killed or becomes another program before."""
    os.setpgid(0, 0)
    group = os.getpgrp()
    if os.fork() == 0:
        # Whoever reads what the others write must see its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        sys.stdin.read()
        os.killpg(group, signal.SIGKILL)
