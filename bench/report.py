"""The one table that comes out."""

import statistics
from dataclasses import dataclass

MB = 1_000_000


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
        *track(samples, "empty track", "empty pgbench rate", "`POST /track`, durable, new and empty table"),
        *shared(samples),
        at_least(samples, "`GET /health`", "health rate", "bare rate", "bare axum", 0.6),
        *metrics(samples),
        at_most_twice(samples, f"`GET /analytics/{{id}}` over {plan.events:,} events", "analytics", small),
        at_most_twice(samples, f"start to first 200 of `/health/ready`, {plan.events:,} events", "start", small),
        below(samples, "idle resident memory, SQLite", "resident", "MB", 30, MB),
        below(samples, "release binary", "binary", "MB", 20, MB),
    ]


def track(samples, name, peer, figure):
    answered, stored = samples.total(f"{name} answered"), samples.total(f"{name} rows")
    lost, faults = samples.total(f"{name} lost"), samples.total(f"{name} faults")
    kept = f"{answered:,} answered 200, {stored:,} rows, {faults:,} other answers"
    return [
        at_least(samples, figure, f"{name} rate", peer, "pgbench, single-row insert", 1.5),
        Row("– its 99th percentile", samples.text(f"{name} p99", "ms", digits=2)),
        Row("– events per commit", samples.text(f"{name} batch", "events", digits=1)),
        Row("– what was answered is stored", kept, target="all, nothing refused", met=lost == 0 and faults == 0),
    ]


def shared(samples):
    figure, peer = "`POST /track`, its quota counted in Redis", "counted track rate"
    return [at_least(samples, figure, "shared track rate", peer, "counted in memory", 0.5)]


def metrics(samples):
    series, size = int(samples.median("series")), samples.median("metrics bytes")
    return [below(samples, f"`GET /metrics`, {series:,} series, {size / MB:.2f} MB", "metrics ms", "ms", 10)]


def at_least(samples, figure, name, peer, peer_text, target):
    ratio = samples.median(name) / samples.median(peer)
    compared = f"{peer_text}: {samples.text(peer, '/s')}"
    return Row(figure, samples.text(name, "/s"), compared, f"{ratio:.2f}", f"≥ {target}", ratio >= target)


def at_most_twice(samples, figure, name, small):
    ratio = samples.median(f"{name} large") / samples.median(f"{name} small")
    compared = f"over {small:,}: {samples.text(f'{name} small', 'ms', digits=2)}"
    return Row(figure, samples.text(f"{name} large", "ms", digits=2), compared, f"{ratio:.2f}", "≤ 2", ratio <= 2)


def below(samples, figure, name, unit, limit, scale=1):
    ratio = samples.median(name) / scale / limit
    measured = samples.text(name, unit, scale, 2)
    return Row(figure, measured, f"{limit} {unit}", f"{ratio:.2f}", f"< {limit} {unit}", ratio < 1)


def table(all_rows):
    """Aligned Markdown."""
    lines = [HEADER, *(row.cells() for row in all_rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(line, widths)] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)
