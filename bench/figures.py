"""What is measured, how much of it, and in which order."""

from dataclasses import dataclass

import reads
import writes

# Those that are compared with each other stand side by side.
MEASUREMENTS = [
    writes.track_one,
    writes.pgbench,
    writes.track,
    writes.track_watched,
    writes.pgbench_simple,
    writes.track_own,
    writes.pgbench_own,
    writes.track_when_empty,
    writes.pgbench_when_empty,
    writes.track_shared,
    writes.track_counted,
    writes.fastapi,
    writes.flask,
    writes.batch,
    writes.copy,
    writes.paced,
    reads.pauses,
    writes.track_sqlite,
    writes.loaded,
    reads.health,
    reads.bare_health,
    reads.metrics,
    reads.peer_metrics,
    reads.history,
    reads.insight,
    reads.pages,
    reads.first_answer,
    reads.idle,
]


# With an earlier build of the service, both by turns.
COMPARISON = [
    writes.track,
    writes.track_before,
    writes.track_sqlite,
    writes.track_sqlite_before,
    reads.health,
    reads.health_before,
    reads.bare_health,
]


@dataclass
class Plan:
    """How much is measured."""

    rounds: int
    """How often everything is measured."""
    write_seconds: int
    """How long events are written for, by the service and by whom it is compared with alike."""
    read_seconds: int
    """How long `/health` is asked for."""
    samples: int
    """Single requests that are timed, per round."""
    events: int
    """Events in the large database."""


FULL = Plan(rounds=5, write_seconds=10, read_seconds=5, samples=200, events=10_000_000)
QUICK = Plan(rounds=2, write_seconds=2, read_seconds=1, samples=50, events=300_000)
