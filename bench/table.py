"""Slots to Markdown. Figures are medians over the rounds; ratios are medians of each round's ratio,
so that a machine whose speed drifts from round to round does not move them."""

from statistics import median

NGINX = "nginx-plain"
FLOORS = {"proxy": "floor-proxy", "answer": "floor-answer"}
# under those that see each token for the first time
FLOOR_MANY = "floor-verify@many"


def by_name(slots):
    found = {}
    for slot in slots:
        found.setdefault(slot["name"], []).append(slot)
    return found


def middle(slots, key, form):
    values = [slot[key] for slot in slots if key in slot]
    return form.format(median(values)) if values else "–"


def ratio(slots, base, key):
    rounds = {slot["round"]: slot[key] for slot in base}
    shares = [slot[key] / rounds[slot["round"]] for slot in slots if rounds.get(slot["round"])]
    return f"{median(shares):.2f}" if shares else "–"


def markdown(columns, rows):
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def noise(slots, limit):
    """How far the figures can be trusted."""
    foreign = sorted(slot["foreign"] for slot in slots)
    quiet = sum(cores <= limit for cores in foreign)
    return (
        f"{quiet} of {len(foreign)} slots were quiet: others used at most {limit} cores. "
        f"Median {median(foreign):.2f}, worst {foreign[-1]:.2f} cores."
    )


def load(slots):
    names = by_name(slots)
    rows = []
    for name, own in names.items():
        floor = names.get(FLOOR_MANY if name.endswith("@many") else FLOORS[own[0]["job"]], [])
        rows.append([
            name,
            own[0]["checks"],
            middle(own, "rate", "{:.0f}"),
            middle(own, "cpu_us", "{:.1f}"),
            f"{min(slot['cpu_us'] for slot in own):.1f}",
            ratio(own, names.get(NGINX, []), "cpu_us"),
            ratio(own, floor, "cpu_us"),
            middle(own, "p50", "{:.0f}"),
            middle(own, "p99", "{:.0f}"),
            middle(own, "idle_mib", "{:.0f}") + " / " + middle(own, "load_mib", "{:.0f}"),
            middle(own, "cold_ms", "{:.0f}"),
            str(sum(slot["errors"] for slot in own)),
            middle(own, "foreign", "{:.2f}"),
        ])
    columns = ["contender", "checks", "requests/s", "CPU µs/request", "least", "× nginx", "× floor"]
    columns += ["p50 µs", "p99 µs", "MiB idle / load", "cold start ms", "errors", "foreign cores"]
    return markdown(columns, rows)


def half(slots):
    names = by_name(slots)
    envoy = names.get("envoy-jwt", [])
    rows = [
        [
            name,
            own[0]["checks"],
            middle(own, "saturation", "{:.0f}"),
            middle(own, "rate", "{:.0f}"),
            middle(own, "p50", "{:.0f}"),
            middle(own, "p99", "{:.0f}"),
            ratio(own, envoy, "p99"),
            str(sum(slot["errors"] for slot in own)),
            middle(own, "foreign", "{:.2f}"),
        ]
        for name, own in names.items()
    ]
    columns = ["contender", "checks", "requests/s at most", "requests/s asked", "p50 µs", "p99 µs"]
    return markdown([*columns, "p99 × Envoy's", "errors", "foreign cores"], rows)


def idle(slots):
    rows = [
        [
            name,
            str(own[0]["connections"]),
            middle(own, "idle_mib", "{:.1f}"),
            middle(own, "held_mib", "{:.1f}"),
            middle(own, "kib_each", "{:.1f}"),
        ]
        for name, own in by_name(slots).items()
    ]
    return markdown(["contender", "connections", "MiB without", "MiB with", "KiB each"], rows)
