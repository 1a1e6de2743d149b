"""Events that are written, by the service and by whom it is compared with. Each function runs once per round and gives
numbers by name."""

import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import load
import machine
import peers
import service
from lab import BEFORE, BUSINESSES

# Events in a batch, and how many clients send batches or copy rows at a time.
BATCH, BATCH_CLIENTS = 500, 4

# Rows for COPY, for every second that others write. It may be faster or slower than that.
COPIED_A_SECOND = 40_000

# Who reloads a page while events are written, which, and after how many seconds: the quota of a reader allows two pages a second.
READERS, PAGE, RELOAD_PAUSE = 10, "/businesses/business-1?days=30", 0.5

# Between two scrapes of /metrics while events are written.
SCRAPE_PAUSE = 0.25

# Seconds until the rollups are settled that events at the full rate left pending.
SETTLED_AFTER = 2


@dataclass
class Sender:
    """How events are sent, and how many there may be on their way when the time is up."""

    send: Callable
    """Sends events to a server with a key, and gives what it saw."""
    events: int = 1
    """Events in a request."""
    clients: int = load.CLIENTS


def track(lab):
    """`POST /track` on a table with events in it, as nearly always."""
    return prefixed("track", into(lab, "track_used", events(lab)))


def track_before(lab):
    """The same with the earlier build."""
    return prefixed("track before", into(lab.earlier(), BEFORE, events(lab)))


def track_one(lab):
    """The same for a single business, whose events add up in few rows."""
    return prefixed("one track", into(lab, "track_used", events(lab, businesses=1)))


def track_own(lab):
    """The same on a table that the service made itself."""
    return prefixed("own track", into(lab, "own", events(lab)))


def track_when_empty(lab):
    """The same in the first seconds of a new installation, before Postgres knows how its tables grow."""
    return prefixed("empty track", into(lab, "track_empty", events(lab)))


def track_counted(lab):
    """With a quota, counted in memory."""
    return prefixed("counted track", into(lab, "track_used", events(lab), **service.COUNTED))


def track_watched(lab):
    """The same while owners reload the page of a business, as often as they may."""
    looked = []

    def send(server, key):
        done = threading.Event()
        with ThreadPoolExecutor(READERS) as pool:
            readers = [pool.submit(reload, server, key, done) for _ in range(READERS)]
            try:
                seen = events(lab).send(server, key)
            finally:
                done.set()
            looked.append(sum(reader.result() for reader in readers))
        return seen

    numbers = into(lab, "track_used", Sender(send))
    return prefixed("watched track", numbers | {"pages": looked[0] / lab.plan.write_seconds})


def reload(server, key, done):
    """Returns how many pages were read until `done`."""
    client, pages = service.Client(server.port), 0
    client.sign_in(key)
    while not done.wait(RELOAD_PAUSE):
        client.timed(PAGE)
        pages += 1
    return pages


def track_shared(lab):
    """With a quota, counted in Redis."""
    with service.redis(lab.folder / "redis") as redis:
        settings = service.COUNTED | {"REDIS_URL": f"redis://127.0.0.1:{redis.port}"}
        return prefixed("shared track", into(lab, "track_used", events(lab), **settings))


def events(lab, businesses=BUSINESSES, seconds=None):
    """As many events as the server takes, one in a request."""
    script, seconds = ("track.lua", str(businesses)), seconds or lab.plan.write_seconds
    return Sender(lambda server, key: load.wrk(server.port, "/track", seconds, script, key))


def paced(lab):
    """At half the rate that the server was just seen to take, each event when it is due."""
    numbers = {}

    def send(server, key):
        highest = events(lab).send(server, key)
        time.sleep(SETTLED_AFTER)
        half = load.open_loop(lab.programs.open_loop, server.port, key, highest.rate / 2, lab.plan.write_seconds)
        numbers.update(half=highest.rate / 2, p50=half.p50_ms, late=half.p99_ms, max=half.max_ms)
        return highest.joined(half)

    seen = into(lab, "track_used", Sender(send))
    return prefixed("paced", seen | numbers)


def batch(lab):
    """`POST /track/batch`. Nothing where the service has no such route."""
    with lab.service("small") as server:
        status, _ = service.Client(server.port).send("POST", "/track/batch", '{"events":[]}')
    if status == 404:
        machine.say("  Skipped: POST /track/batch is answered 404, so this service has no batches")
        return {}
    script = ("batch.lua", str(BUSINESSES), str(BATCH))

    def send(server, key):
        return load.wrk(server.port, "/track/batch", lab.plan.write_seconds, script, key, clients=BATCH_CLIENTS)

    seen = into(lab, "track_used", Sender(send, BATCH, BATCH_CLIENTS))
    return prefixed("batch", seen | {"rate": seen["rate"] * BATCH})


def into(lab, source, sender, **settings):
    """With a key, on a fresh copy of a database."""
    key, database = secrets.token_hex(32), lab.fresh(source)
    before, commits = lab.postgres.count("ai_metrics", database), lab.postgres.commits(database)
    with lab.service(database, MLOPS_API_KEY=key, **settings) as server:
        seen = sender.send(server, key)
    rows = lab.postgres.count("ai_metrics", database) - before
    commits = lab.postgres.commits(database) - commits
    return kept(seen, rows, sender) | {"batch": rows / commits}


def kept(seen, rows, sender):
    """What was answered must be in the table, and at most what was on its way more."""
    answered, on_their_way = seen.answered * sender.events, sender.clients * sender.events
    lost = max(0, answered - rows, rows - answered - on_their_way)
    faults = seen.refused + seen.broken
    return {"rate": seen.rate, "p99": seen.p99_ms, "answered": answered, "rows": rows, "faults": faults, "lost": lost}


def track_sqlite(lab):
    """On the embedded SQLite, in a new file."""
    key, folder = secrets.token_hex(32), lab.folder / f"embedded-{secrets.token_hex(4)}"
    sender = events(lab)
    with lab.embedded(folder, MLOPS_API_KEY=key, **service.UNLIMITED) as server:
        seen = sender.send(server, key)
    with sqlite3.connect(folder / "data" / "mlops.db") as database:
        rows = database.execute("select count(*) from ai_metrics").fetchone()[0]
    machine.remove(folder)
    return prefixed("sqlite track", kept(seen, rows, sender))


def track_sqlite_before(lab):
    """The same with the earlier build."""
    return {f"before {name}": value for name, value in track_sqlite(lab.earlier()).items()}


def loaded(lab):
    """The most memory that the service has while it takes all the events it can and is scraped, with 10,000 series."""
    key, database = secrets.token_hex(32), lab.fresh("series")
    with lab.service(database, MLOPS_API_KEY=key) as server, ThreadPoolExecutor(1) as pool:
        client, load_done = service.Client(server.port), pool.submit(events(lab).send, server, key)
        while not load_done.done():
            client.timed("/metrics")
            time.sleep(SCRAPE_PAUSE)
        if load_done.result().refused:
            raise RuntimeError(f"events were refused: {load_done.result()}")
        return {"loaded": server.memory("VmHWM")}


def pgbench(lab):
    """The lab's insert, one row a transaction, on the lab's table with as many events in it."""
    return {"pgbench rate": pgbench_into(lab, "lab_used")}


def pgbench_simple(lab):
    """The same as pgbench does it unless told otherwise: Postgres parses and plans each insert anew."""
    return {"simple pgbench rate": pgbench_into(lab, "lab_used", "simple")}


def pgbench_own(lab):
    """The same without the lab's indexes."""
    return {"own pgbench rate": pgbench_into(lab, "lab_own")}


def pgbench_when_empty(lab):
    return {"empty pgbench rate": pgbench_into(lab, "lab_empty")}


def pgbench_into(lab, database, protocol="prepared"):
    return load.pgbench(lab.postgres, lab.fresh(database), lab.plan.write_seconds, protocol)


def copy(lab):
    """`COPY` of rows like those of a batch into the tables that the batches go to, each batch committed by itself."""
    url = lab.postgres.url(lab.fresh("track_used"))
    rows = COPIED_A_SECOND * lab.plan.write_seconds
    return {"copy rate": peers.copy(lab.programs.python, url, rows, BATCH, BATCH_CLIENTS)}


def flask(lab):
    return {"flask rate": peer_into(lab, peers.flask)}


def fastapi(lab):
    return {"fastapi rate": peer_into(lab, peers.fastapi)}


def peer_into(lab, peer):
    """A peer on the lab's table, with the quota that `track_counted` has."""
    key, database = secrets.token_hex(32), lab.fresh("lab_used")
    before = lab.postgres.count("ai_metrics", database)
    settings = service.COUNTED | {"MLOPS_API_KEY": key, "DATABASE_URL": lab.postgres.url(database)}
    with peer(lab.programs.python, lab.folder / f"peer-{secrets.token_hex(4)}", settings) as server:
        warmed = events(lab, seconds=1).send(server, key)
        seen = events(lab).send(server, key)
    rows = lab.postgres.count("ai_metrics", database) - before
    if seen.refused or rows < warmed.answered + seen.answered:
        raise RuntimeError(f"{peer.__name__} does not store all: {rows} rows of {warmed}, {seen}")
    return seen.rate


def prefixed(name, numbers):
    return {f"{name} {key}": value for key, value in numbers.items()}
