"""A contender that runs: started in a session of its own, asked, weighed, stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import time

from contenders import BENCH, HERE, SYSTEM, fill

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
START_LIMIT = 30.0
# Gatepost is not ready for five before it stops to serve
STOP_LIMIT = 15.0


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(port, path, token, timeout=1.0):
    """The status of one GET on a connection of its own; 0 if nobody answered."""
    head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
    request = f"{head}Authorization: Bearer {token}\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.sendall(request)
            answer = connection.recv(65536)
    except OSError:
        return 0
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def stat(process):
    """Session and CPU ticks of a process; None once it is gone."""
    try:
        with open(f"/proc/{process}/stat", encoding="latin-1") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    # proc(5), fields 3 and on; a zombie has ended
    return None if fields[0] == "Z" else (int(fields[3]), int(fields[11]) + int(fields[12]))


class Running:
    """Started on these cores, and answering 200 to a good token."""

    def __init__(self, contender, program, cores, values, token):
        self.contender = contender
        self.port = free_port()
        run = BENCH / "run" / contender.name
        run.mkdir(parents=True, exist_ok=True)
        values = values | {
            "RUN": run,
            "PORT": self.port,
            "ADDRESS": f"127.0.0.1:{self.port}",
            "HEALTH": free_port(),
            "ADMIN": free_port(),
            "WORKERS": len(cores),
        }
        if contender.config:
            values["CONFIG"] = run / contender.config
            template = (HERE / "contenders" / contender.config).read_text()
            values["CONFIG"].write_text(fill(template, values))
        command = [program, *(fill(argument, values) for argument in contender.arguments)]
        environment = {"PATH": SYSTEM, "HOME": str(run), "GOMAXPROCS": str(len(cores))}
        with open(run / "log", "w", encoding="utf-8") as log:
            begun = time.perf_counter()
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        while ask(self.port, contender.path, token) != 200:
            if time.perf_counter() - begun > START_LIMIT or self.process.poll() is not None:
                self.stop()
                raise SystemExit(f"{contender.name} does not answer 200: see {run / 'log'}")
            time.sleep(0.0005)
        self.cold_ms = (time.perf_counter() - begun) * 1000

    def url(self):
        return f"http://127.0.0.1:{self.port}{self.contender.path}"

    def processes(self):
        """Ids and ticks of everything in the session: a master and its workers are one contender."""
        found = {int(name): stat(name) for name in os.listdir("/proc") if name.isdigit()}
        mine = self.process.pid
        return {pid: seen[1] for pid, seen in found.items() if seen and seen[0] == mine}

    def cpu(self):
        """Seconds of CPU so far."""
        return sum(self.processes().values()) / TICK

    def memory(self):
        """Resident MiB; pages that processes share count in each."""
        pages = 0
        for process in self.processes():
            with open(f"/proc/{process}/statm", encoding="ascii") as file:
                pages += int(file.read().split()[1])
        return pages * PAGE / 2**20

    def stop(self):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes():
                # it may have ended meanwhile
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, sign)
            deadline = time.monotonic() + STOP_LIMIT
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.02)
        self.process.wait()
