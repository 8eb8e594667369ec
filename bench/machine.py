"""The machine: its cores, who else uses them, and what a table must say about it."""

import os
import platform
import re
import subprocess
import time
from datetime import date

from process import TICK


class Foreign:
    """Measures how many cores were busy with neither the contender, the origin nor the load."""

    def __init__(self, *ours):
        self.ours = ours
        self.begun = self.now()

    def now(self):
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(field) for field in file.readline().split()[1:]]
        # proc(5): user nice system idle iowait irq softirq steal; stolen time is foreign too
        busy = sum(fields[:3]) + sum(fields[5:8])
        load = os.times()
        ours = sum(running.cpu() for running in self.ours)
        own = load.user + load.system + load.children_user + load.children_system
        return time.monotonic(), busy / TICK - own - ours

    def cores(self):
        begun, before = self.begun
        ended, after = self.now()
        return max(0.0, (after - before) / (ended - begun))


def wait_for_quiet(limit, patience):
    """Waits, at most `patience` seconds, for a second in which others took less than `limit` cores."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        foreign = Foreign()
        time.sleep(1)
        if foreign.cores() <= limit:
            return


def cores(pinned):
    """Of the contender, and of the load with the origin."""
    every = sorted(os.sched_getaffinity(0))
    if not pinned:
        return every, every
    if len(every) < 2:
        raise SystemExit("--pin needs two cores: one for the contender, the rest for load and origin")
    return every[:1], every[1:]


def version(program, path):
    asked = {"nginx": "-v", "haproxy": "-v", "caddy": "version"}.get(program, "--version")
    run = subprocess.run([path, asked], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", run.stdout + run.stderr)
    return f"{program} {found[0]}" if found else program


def named(programs):
    """Processor, cores, kernel, date, versions: what figures mean nothing without."""
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    versions = [version(name, path) for name, path in sorted(programs.items()) if name != "floor"]
    count = len(os.sched_getaffinity(0))
    return f"{model}, {count} cores, Linux {platform.release()}, {date.today()}; {', '.join(versions)}"
