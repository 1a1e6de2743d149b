"""The measurements. Each one is a method of `Bench` that runs once per round and gives numbers by name."""

import itertools
import json
import secrets
import statistics
from dataclasses import dataclass

import load
import service
from load import CLIENTS

# Businesses in events.sql, and of whom events are reported.
BUSINESSES = 20

# Events in the small database, and in a database that is written into.
SMALL, USED = 5_000, 100_000


@dataclass
class Plan:
    """How much is measured."""

    rounds: int
    """How often everything is measured."""
    write_seconds: int
    """How long events are written for, by the service and by pgbench alike."""
    read_seconds: int
    """How long `/health` is asked for."""
    samples: int
    """Single requests that are timed, per round."""
    events: int
    """Events in the large database."""


FULL = Plan(rounds=5, write_seconds=10, read_seconds=5, samples=200, events=5_000_000)
QUICK = Plan(rounds=3, write_seconds=4, read_seconds=3, samples=100, events=500_000)


class Bench:
    """What the measurements share: programs, the Postgres server, and a folder for what they write."""

    def __init__(self, plan, binary, peer, postgres, folder):
        self.plan, self.binary, self.peer, self.postgres, self.folder = plan, binary, peer, postgres, folder

    def measurements(self):
        """All of them, those that are compared with each other side by side."""
        writes = [self.track_one, self.track, self.pgbench, self.track_when_empty, self.pgbench_when_empty]
        writes += [self.track_counted, self.track_shared]
        return [*writes, self.health, self.bare_health, self.metrics, self.history, self.memory]

    def prepare(self):
        """Creates the databases. Each has the lab's table first and ours beside it, except pgbench's own."""
        for database in ("lab_empty", "lab_used"):
            self.postgres.create_database(database)
        for database in ("track_empty", "track_used", "series", "small", "large"):
            self.postgres.create_database(database)
            service.migrate(self.binary, self.folder / "migrate", DATABASE_URL=self.postgres.url(database))
        self.postgres.run_file("lab_used", "events.sql", events=USED)
        for database, events in (("track_used", USED), ("small", SMALL), ("large", self.plan.events)):
            self.fill(database, events)
        self.postgres.run_file("series", "series.sql")
        self.compare_health()

    def fill(self, database, events):
        """Events that the service has counted: they have ids, and rollups."""
        column = "alter table ai_metrics alter column event_id"
        self.postgres.ask(f"{column} set default gen_random_uuid()", database)
        self.postgres.run_file(database, "events.sql", events=events)
        self.postgres.ask(f"{column} drop default", database)
        self.postgres.run_file(database, "rollups.sql")

    def service(self, database, **settings):
        """The service on one of the databases."""
        settings = service.UNLIMITED | {"DATABASE_URL": self.postgres.url(database)} | settings
        return service.service(self.binary, self.folder / "service", **settings)

    def fresh(self, database):
        """A copy of a database to write into, so that whoever writes begins alike, with nothing left to write out."""
        self.postgres.copy_database(database, "written")
        self.postgres.settle()
        return "written"

    def track(self):
        """`POST /track` on a table with events in it, as nearly always."""
        return prefixed("track", self.track_into("track_used", BUSINESSES))

    def track_one(self):
        """The same for a single business, whose events add up in few rows."""
        return prefixed("one track", self.track_into("track_used", 1))

    def track_when_empty(self):
        """The same in the first seconds of a new installation, before Postgres knows how its tables grow."""
        return prefixed("empty track", self.track_into("track_empty", BUSINESSES))

    def track_counted(self):
        """With a quota, counted in memory."""
        return prefixed("counted track", self.track_into("track_used", BUSINESSES, **service.COUNTED))

    def track_shared(self):
        """With a quota, counted in Redis."""
        with service.redis(self.folder / "redis") as redis:
            settings = service.COUNTED | {"REDIS_URL": f"redis://127.0.0.1:{redis.port}"}
            return prefixed("shared track", self.track_into("track_used", BUSINESSES, **settings))

    def track_into(self, database, businesses, **settings):
        """With a key. What was answered must be in the table, and at most what was on its way more."""
        key, database = secrets.token_hex(32), self.fresh(database)
        before, commits = self.postgres.count("ai_metrics", database), self.postgres.commits(database)
        with self.service(database, MLOPS_API_KEY=key, **settings) as server:
            seen = load.wrk(server.port, "/track", self.plan.write_seconds, "track.lua", key, str(businesses))
        rows = self.postgres.count("ai_metrics", database) - before
        commits = self.postgres.commits(database) - commits
        lost = max(0, seen.answered - rows, rows - seen.answered - CLIENTS)
        faults = seen.refused + seen.broken
        kept = {"answered": seen.answered, "rows": rows, "faults": faults, "lost": lost, "batch": rows / commits}
        return {"rate": seen.rate, "p99": seen.p99_ms} | kept

    def pgbench(self):
        """The lab's insert, one row a transaction, on the lab's table with as many events in it."""
        return {"pgbench rate": self.pgbench_into("lab_used")}

    def pgbench_when_empty(self):
        return {"empty pgbench rate": self.pgbench_into("lab_empty")}

    def pgbench_into(self, database):
        return load.pgbench(self.postgres, self.fresh(database), self.plan.write_seconds)

    def compare_health(self):
        """The peer must answer what the service answers, but for the time in it."""
        with self.health_server() as server, self.bare_server() as bare:
            bodies = [json.loads(service.Client(s.port).get("/health")[1]) | {"timestamp": ""} for s in (server, bare)]
        if bodies[0] != bodies[1]:
            raise RuntimeError(f"bare_axum.rs no longer answers what GET /health does: {bodies}")

    def health_server(self):
        """The service as it comes: no key, SQLite."""
        return service.service(self.binary, self.folder / "sqlite", **service.UNLIMITED)

    def bare_server(self):
        return service.bare_axum(self.peer, self.folder / "peer")

    def health(self):
        with self.health_server() as server:
            return {"health rate": self.rate_of_health(server)}

    def bare_health(self):
        """The same bytes from axum without anything around it."""
        with self.bare_server() as server:
            return {"bare rate": self.rate_of_health(server)}

    def rate_of_health(self, server):
        load.wrk(server.port, "/health", 1)
        seen = load.wrk(server.port, "/health", self.plan.read_seconds)
        if seen.refused or seen.broken:
            raise RuntimeError(f"GET /health failed under load: {seen}")
        return seen.rate

    def metrics(self):
        """One scrape of 10,000 series, the whole answer over a connection that is open already."""
        with self.service("series") as server:
            client = service.Client(server.port)
            body = client.get("/metrics")[1]
            took = [client.timed("/metrics") for _ in range(self.plan.samples)]
        lines = body.decode().splitlines()
        series = [line for line in lines if line.startswith(("ai_", "appointments_", "human_"))]
        return {"metrics ms": statistics.median(took) * 1e3, "series": len(series), "metrics bytes": len(body)}

    def history(self):
        """Start-up and `/analytics` over few and over many events, in turns, so that both meet the same noise."""
        with self.service("small") as small, self.service("large") as large:
            started = {"start small": small.started_in * 1e3, "start large": large.started_in * 1e3}
            clients = {"small": service.Client(small.port), "large": service.Client(large.port)}
            took = {name: [] for name in clients}
            businesses = itertools.cycle(range(BUSINESSES))
            for business in itertools.islice(businesses, self.plan.samples):
                for name, client in clients.items():
                    took[name].append(client.timed(f"/analytics/business-{business}"))
        return started | {f"analytics {name}": statistics.median(times) * 1e3 for name, times in took.items()}

    def memory(self):
        """What the service has after one request of each kind, with default settings, on SQLite in a fresh folder."""
        folder = self.folder / f"idle-{secrets.token_hex(4)}"
        event = {"business_id": "business-1", "response_time_ms": 100, "tokens_used": 100}
        with service.service(self.binary, folder) as server:
            client = service.Client(server.port)
            for path in ("/", "/health", "/health/detailed", "/metrics", "/health/live", "/analytics/business-1"):
                client.timed(path)
            for path, body in (("/track", json.dumps(event)), ("/refresh-metrics", None)):
                if client.send("POST", path, body)[0] != 200:
                    raise RuntimeError(f"POST {path} failed")
            return {"resident": server.resident_bytes(), "binary": self.binary.stat().st_size}


def prefixed(name, numbers):
    return {f"{name} {key}": value for key, value in numbers.items()}
