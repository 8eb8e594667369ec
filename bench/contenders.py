"""Who is measured, how each is started, and what it checks."""

import glob
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parent / "target"
BENCH = TARGET / "bench"
ENVOY = "envoy/lib/python*/site-packages/envoy/_bin/envoy"
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Contender:
    """One program with one job. `@NAME@` in arguments and in the config file is filled per start."""

    name: str
    # what it establishes about a request: "nothing", "signature", or "policy": signature, algorithm,
    # issuer, expiry, client, kind of token, group
    checks: str
    program: str
    arguments: tuple[str, ...]
    # a file of contenders/
    config: str = ""
    path: str = "/"
    # "proxy" carries the request to the origin, "answer" answers it itself
    job: str = "proxy"


FLOOR = ("@ADDRESS@", "@WORKERS@")

EVERY = (
    Contender("nginx-plain", "nothing", "nginx", ("-p", "@RUN@", "-c", "@CONFIG@"), "nginx-plain.conf"),
    Contender("haproxy-plain", "nothing", "haproxy", ("-db", "-f", "@CONFIG@"), "haproxy-plain.cfg"),
    Contender(
        "caddy-plain",
        "nothing",
        "caddy",
        ("run", "--config", "@CONFIG@", "--adapter", "caddyfile"),
        "caddy-plain.Caddyfile",
    ),
    Contender("haproxy-jwt", "policy", "haproxy", ("-db", "-f", "@CONFIG@"), "haproxy-jwt.cfg"),
    Contender(
        "envoy-jwt",
        "policy",
        "envoy",
        ("-c", "@CONFIG@", "--concurrency", "@WORKERS@", "--log-level", "error", "--disable-hot-restart"),
        "envoy-jwt.yaml",
    ),
    Contender("floor-proxy", "nothing", "floor", ("proxy", *FLOOR, "per-core", "@ORIGIN@")),
    Contender(
        "floor-verify",
        "signature",
        "floor",
        ("verify", *FLOOR, "per-core", "@ORIGIN@", "@DATA@/key.pub.pem"),
    ),
    Contender("floor-proxy-multi", "nothing", "floor", ("proxy", *FLOOR, "multi", "@ORIGIN@")),
    Contender("gatepost", "policy", "gatepost", ("serve", "--config", "@CONFIG@"), "gatepost.toml"),
    Contender("floor-answer", "nothing", "floor", ("answer", *FLOOR, "per-core"), job="answer"),
    Contender("floor-answer-multi", "nothing", "floor", ("answer", *FLOOR, "multi"), job="answer"),
    Contender(
        "gatepost-decision",
        "policy",
        "gatepost",
        ("serve", "--config", "@CONFIG@"),
        "gatepost-decision.toml",
        path="/auth/envoy/orders",
        job="answer",
    ),
)

ORIGIN = Contender("origin", "nothing", "nginx", ("-p", "@RUN@", "-c", "@CONFIG@"), "origin.conf")

# What a run measures unless it is told: `@many` gives every request a token of its own.
USUAL = (
    "nginx-plain,haproxy-plain,caddy-plain,haproxy-jwt,haproxy-jwt@many,envoy-jwt,"
    "floor-proxy,gatepost,floor-verify@many,gatepost@many,floor-answer,gatepost-decision"
)


@dataclass(frozen=True)
class Entry:
    """A contender under a kind of load; `name` is what was asked for and what the table says."""

    name: str
    contender: Contender
    many: bool


def entries(names):
    known = {contender.name: contender for contender in EVERY}
    found = []
    for name in names.split(","):
        plain, _, suffix = name.partition("@")
        if plain not in known or suffix not in ("", "many"):
            raise SystemExit(f"no contender {name!r}; there are: {', '.join(known)}, each also @many")
        found.append(Entry(name, known[plain], bool(suffix)))
    return found


def programs(gatepost):
    """Where each program is; one that is not installed is not in it."""
    found = {name: shutil.which(name, path=SYSTEM) for name in ("nginx", "haproxy", "caddy")}
    wheel = glob.glob(str(BENCH / ENVOY))
    found["envoy"] = wheel[0] if wheel else shutil.which("envoy")
    found["floor"] = str(BENCH / "floor/release/floor")
    found["gatepost"] = str(Path(gatepost).resolve())
    return {name: path for name, path in found.items() if path and Path(path).exists()}


def fill(text, values):
    return re.sub(r"@([A-Z]+)@", lambda place: str(values[place[1]]), text)
