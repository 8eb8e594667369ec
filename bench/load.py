"""What is done to a contender: as many requests as it takes, a fixed rate, silent connections."""

import os
import re
import socket
import statistics
import subprocess
from dataclasses import dataclass

from contenders import BENCH, HERE


@dataclass
class Load:
    """Latencies in microseconds; errors are other statuses than 200, and broken connections."""

    requests: int
    rate: float
    p50: float
    p99: float
    errors: int


def saturate(running, seconds, connections, tokens, cores):
    """wrk, one thread, each connection asking again as soon as it is answered."""
    run = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s"]
        + ["-s", HERE / "load.lua", running.url()],
        env=os.environ | {"TOKENS": str(tokens)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    found = re.search(r"^result (.*)$", run.stdout, re.MULTILINE)
    if not found:
        raise SystemExit(f"wrk: {run.stdout}{run.stderr}")
    requests, duration, statuses, broken, p50, p99 = map(int, found[1].split())
    return Load(requests, requests / duration * 1e6, p50, p99, statuses + broken)


def at_rate(running, seconds, connections, rate, token, cores):
    """h2load over HTTP/1.1, its connections asking at fixed moments."""
    log = BENCH / "run" / "h2load.log"
    log.unlink(missing_ok=True)
    each = max(1, round(rate / connections))
    subprocess.run(
        ["h2load", "--h1", "-t1", f"-c{connections}", f"-D{seconds}", f"--rps={each}"]
        + [f"--log-file={log}", "-H", f"authorization: Bearer {token}", running.url()],
        capture_output=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    # start, status, microseconds
    rows = [line.split() for line in log.read_text().splitlines()]
    took = [int(row[2]) for row in rows]
    cuts = statistics.quantiles(took, n=100)
    errors = sum(row[1] != "200" for row in rows)
    return Load(len(rows), len(rows) / seconds, cuts[49], cuts[98], errors)


def hold(running, count, token):
    """Opens connections, has one request answered on each, and keeps them."""
    head = f"GET {running.contender.path} HTTP/1.1\r\nHost: bench\r\n"
    request = f"{head}Authorization: Bearer {token}\r\n\r\n".encode()
    held = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", running.port), 5)
        held.append(connection)
        connection.sendall(request)
        answer = read_one(connection)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{running.contender.name}: connection {len(held)}: {answer[:80]!r}")
    return held


def read_one(connection):
    """One whole answer, with a Content-Length or without a body."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = connection.recv(65536)
        if not more:
            return answer
        answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    missing = (int(length[1]) if length else 0) - len(body)
    while missing > 0:
        more = connection.recv(missing)
        if not more:
            return b""
        missing -= len(more)
    return answer
