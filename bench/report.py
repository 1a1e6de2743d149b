"""The one table that comes out."""

import statistics
from dataclasses import dataclass

MB = 1_000_000

# Events a second on the embedded SQLite.
SQLITE = 10_000

SIMPLE = "pgbench, single-row insert, simple protocol"

COUNTED = "`POST /track`, its quota counted"


@dataclass
class Row:
    """A line of the table. Without a target it is for information."""

    figure: str
    measured: str
    compared_with: str = "–"
    ratio: str = "–"
    target: str = "–"
    met: bool | None = None

    def cells(self):
        verdict = {True: "yes", False: "NO", None: "–"}[self.met]
        return [self.figure, self.measured, self.compared_with, self.ratio, self.target, verdict]


HEADER = ["figure", "measured", "compared with", "ratio", "target", "met"]


class Samples:
    """The numbers of all rounds, by name."""

    def __init__(self):
        self.values = {}

    def add(self, numbers):
        for name, value in numbers.items():
            self.values.setdefault(name, []).append(value)

    def median(self, name):
        return statistics.median(self.values[name])

    def ratio(self, name, peer):
        """The median of the rounds' ratios: a machine that is slower in one round than in another slows both down."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.values[name], self.values[peer]))

    def total(self, name):
        return sum(self.values[name])

    def text(self, name, unit, scale=1, digits=0):
        """The median with the least and the most of the rounds."""
        scaled = [value / scale for value in self.values[name]]
        shown = [f"{value:,.{digits}f}" for value in (statistics.median(scaled), min(scaled), max(scaled))]
        return f"{shown[0]} {unit} ({shown[1]}–{shown[2]})"


def rows(samples, plan, small):
    """The figures in the order of their targets."""
    return [
        *track(samples, "one track", "pgbench rate", "`POST /track`, durable, one business"),
        *track(samples, "track", "pgbench rate", "`POST /track`, durable, 20 businesses"),
        at_least(samples, "– against pgbench as it comes", "track rate", "simple pgbench rate", SIMPLE, 2),
        *track(samples, "empty track", "empty pgbench rate", "`POST /track`, durable, new and empty table"),
        *track(samples, "own track", "own pgbench rate", "`POST /track`, durable, without the lab's indexes", None),
        python_peers(samples),
        *watched(samples),
        *batch(samples),
        *paced(samples),
        *sqlite(samples),
        at_least(samples, f"{COUNTED} in Redis", "shared track rate", "counted track rate", "counted in memory", 0.5),
        at_least(samples, "`GET /health`", "health rate", "bare rate", "bare axum", 0.5),
        metrics(samples),
        at_most_twice(samples, f"`GET /analytics/{{id}}` over {plan.events:,} events", "analytics", small),
        *insight(samples, plan, small),
        page(samples, plan),
        at_most_twice(samples, f"start to first 200 of `/health/ready`, {plan.events:,} events", "start", small),
        below(samples, "start to first answer, new SQLite file", "first answer", "ms", 100),
        below(samples, "resident memory, idle, SQLite", "resident", "MB", 25, MB),
        below(samples, "resident memory at most, full load, 10,000 series", "loaded", "MB", 80, MB),
        below(samples, "release binary", "binary", "MB", 20, MB),
    ]


def comparison(samples):
    """The figures beside those of an earlier build."""
    track, health = "`POST /track`, durable, 20 businesses", "`GET /health`"
    return [
        at_least(samples, track, "track rate", "track before rate", "before", 0.95),
        kept(samples, "track"),
        at_least(samples, "`POST /track`, SQLite", "sqlite track rate", "before sqlite track rate", "before", 0.95),
        kept(samples, "sqlite track"),
        at_least(samples, health, "health rate", "before health rate", "before", None),
        at_least(samples, health, "health rate", "bare rate", "bare axum", 0.5),
    ]


def track(samples, name, peer, figure, target=2):
    return [
        at_least(samples, figure, f"{name} rate", peer, "pgbench, single-row insert, prepared", target),
        Row("– its 99th percentile", samples.text(f"{name} p99", "ms", digits=2)),
        Row("– events per commit", samples.text(f"{name} batch", "events", digits=1)),
        kept(samples, name),
    ]


def kept(samples, name):
    answered, stored = samples.total(f"{name} answered"), samples.total(f"{name} rows")
    lost, faults = samples.total(f"{name} lost"), samples.total(f"{name} faults")
    text = f"{answered:,} answered 200, {stored:,} rows, {faults:,} other answers"
    return Row("– what was answered is stored", text, target="all, nothing refused", met=lost == 0 and faults == 0)


def python_peers(samples):
    """Against the better of the two; the other one is shown too."""
    names = {"FastAPI": "fastapi rate", "Flask": "flask rate"}
    worse, better = sorted(names, key=lambda name: samples.median(names[name]))
    text = f"{worse}: {samples.text(names[worse], '/s')}; {better}"
    return at_least(samples, f"{COUNTED} in memory", "counted track rate", names[better], text, 10)


def watched(samples):
    """Pages must not slow events down."""
    figure, peer = "`POST /track` while ten owners reload a page", "without them"
    return [
        at_least(samples, figure, "watched track rate", "track rate", peer, 0.9),
        Row("– pages that they get", samples.text("watched track pages", "/s", digits=1)),
        kept(samples, "watched track"),
    ]


def batch(samples):
    figure = "`POST /track/batch`, 500 events each"
    if "batch rate" not in samples.values:
        compared = f"COPY of the same rows: {samples.text('copy rate', 'rows/s')}"
        return [Row(figure, "not measured: this service has no such route", compared)]
    return [
        at_least(samples, figure, "batch rate", "copy rate", "COPY of the same rows", 0.4, "events/s"),
        kept(samples, "batch"),
    ]


def paced(samples):
    rate = samples.text("paced half", "/s")
    return [
        below(samples, f"99th percentile of `POST /track` at half its maximum, {rate}", "paced late", "ms", 5),
        Row("– its median", samples.text("paced p50", "ms", digits=2)),
        Row("– its maximum", samples.text("paced max", "ms", digits=2)),
        Row("– as late is who does nothing on this machine", samples.text("machine late", "ms", digits=2)),
        Row("– its longest pause", samples.text("machine pause", "ms", digits=2)),
        kept(samples, "paced"),
    ]


def sqlite(samples):
    ratio = samples.median("sqlite track rate") / SQLITE
    measured = samples.text("sqlite track rate", "/s")
    return [
        Row("`POST /track`, SQLite", measured, f"{SQLITE:,} /s", f"{ratio:.2f}", f"≥ {SQLITE:,} /s", ratio >= 1),
        kept(samples, "sqlite track"),
    ]


def metrics(samples):
    series, size = int(samples.median("series")), samples.median("metrics bytes")
    if series != samples.median("peer series"):
        raise RuntimeError(f"prometheus_client shows {samples.median('peer series')} series instead of {series}")
    ratio = samples.ratio("peer metrics ms", "metrics ms")
    figure = f"`GET /metrics`, {series:,} series, {size / MB:.2f} MB"
    measured = samples.text("metrics ms", "ms", digits=2)
    compared = f"prometheus_client: {samples.text('peer metrics ms', 'ms', digits=2)}"
    return Row(figure, measured, compared, f"{ratio:.2f}", "≥ 20 times faster", ratio >= 20)


def at_least(samples, figure, name, peer, peer_text, target, unit="/s"):
    """A rate against that of a peer. Without a target the ratio is for information."""
    ratio = samples.ratio(name, peer)
    compared = f"{peer_text}: {samples.text(peer, unit)}"
    verdict = (f"≥ {target}", ratio >= target) if target else ("–", None)
    return Row(figure, samples.text(name, unit), compared, f"{ratio:.2f}", *verdict)


def at_most_twice(samples, figure, name, small):
    ratio = samples.ratio(f"{name} large", f"{name} small")
    compared = f"over {small:,}: {samples.text(f'{name} small', 'ms', digits=2)}"
    return Row(figure, samples.text(f"{name} large", "ms", digits=2), compared, f"{ratio:.2f}", "≤ 2", ratio <= 2)


def insight(samples, plan, small):
    """Analytics with all their parts, the list of businesses, and building facts from older events."""
    large, little = samples.median("insight large"), samples.ratio("insight large", "insight small")
    limit = 5 * samples.median("insight none") + 10
    figure = f"`GET /analytics/{{id}}`, all parts, 366 days, {plan.events:,} events"
    measured, none = samples.text("insight large", "ms", digits=2), samples.text("insight none", "ms", digits=2)
    few = f"over {small:,}: {samples.text('insight small', 'ms', digits=2)}"
    rate = samples.median("rebuilt rate")
    return [
        Row(figure, measured, few, f"{little:.2f}", "≤ 1.5", little <= 1.5),
        Row("– beside the sums of a business without events", measured, none, f"{large / limit:.2f}",
            "≤ 5 times + 10 ms", large <= limit),
        below(samples, "`GET /analytics`, 1,000 businesses, 30 days", "insight list", "ms", 50),
        Row("rebuilding facts from older events", f"{rate:,.0f} events/s", "50,000 /s", f"{rate / 50_000:.2f}",
            "≥ 50,000 /s", rate >= 50_000),
    ]


def page(samples, plan):
    """The median of a year; what it takes over few events is of no interest where it stays below the limit."""
    figure = f"first byte of `/businesses/{{id}}`, 366 days, {plan.events:,} events"
    return below(samples, figure, "page large", "ms", 50)


def below(samples, figure, name, unit, limit, scale=1):
    ratio = samples.median(name) / scale / limit
    measured = samples.text(name, unit, scale, 2)
    return Row(figure, measured, f"{limit} {unit}", f"{ratio:.2f}", f"≤ {limit} {unit}", ratio <= 1)


def table(all_rows):
    """Aligned Markdown."""
    lines = [HEADER, *(row.cells() for row in all_rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(line, widths)] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)
