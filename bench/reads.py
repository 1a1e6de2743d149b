"""What is read, how fast the service starts, and what it takes of the machine. Each function runs once per round and
gives numbers by name."""

import itertools
import secrets
import statistics
import subprocess
import sys
from pathlib import Path

import load
import machine
import peers
import service
from lab import BUSINESSES

# Starts on a new SQLite file, per round.
STARTS = 5

EVENT = '{"business_id":"business-1","response_time_ms":100,"tokens_used":100}'


def health(lab):
    with lab.embedded(lab.folder / f"health-{secrets.token_hex(4)}", **service.UNLIMITED) as server:
        return {"health rate": rate_of_health(lab, server)}


def health_before(lab):
    """The same with the earlier build."""
    return {f"before {name}": value for name, value in health(lab.earlier()).items()}


def bare_health(lab):
    """The same bytes from axum without anything around it."""
    with lab.bare() as server:
        return {"bare rate": rate_of_health(lab, server)}


def rate_of_health(lab, server):
    load.wrk(server.port, "/health", 1)
    seen = load.wrk(server.port, "/health", lab.plan.read_seconds)
    if seen.refused or seen.broken:
        raise RuntimeError(f"GET /health failed under load: {seen}")
    return seen.rate


def pauses(lab):
    """How late the machine makes whoever does nothing; see pauses.py."""
    command = [sys.executable, "-B", Path(__file__).with_name("pauses.py"), str(lab.plan.read_seconds)]
    late, longest = map(float, subprocess.check_output(command, text=True).split())
    return {"machine late": late, "machine pause": longest}


def metrics(lab):
    """One scrape of 10,000 series, the whole answer."""
    with lab.service("series") as server:
        return scraped(server, lab.plan.samples)


def peer_metrics(lab):
    """The same series from prometheus_client. Its server closes the connection after every answer."""
    with peers.series(lab.programs.python, lab.folder / "peer-series", lab.folder / "series.txt") as server:
        seen = scraped(server, lab.plan.samples // 10)
    return {f"peer {name}": value for name, value in seen.items()}


def scraped(server, samples):
    client = service.Client(server.port)
    body = client.get("/metrics")[1]
    took = [client.timed("/metrics") for _ in range(samples)]
    lines = body.decode().splitlines()
    series = [line for line in lines if line.startswith(("ai_", "appointments_", "human_"))]
    return {"metrics ms": statistics.median(took) * 1e3, "series": len(series), "metrics bytes": len(body)}


def history(lab):
    """Start-up and `/analytics` over few and over many events, in turns, so that both meet the same noise."""
    with lab.service("small") as small, lab.service("large") as large:
        started = {"start small": small.started_in * 1e3, "start large": large.started_in * 1e3}
        clients = {"small": service.Client(small.port), "large": service.Client(large.port)}
        took = {name: [] for name in clients}
        businesses = itertools.cycle(range(BUSINESSES))
        for business in itertools.islice(businesses, lab.plan.samples):
            for name, client in clients.items():
                took[name].append(client.timed(f"/analytics/business-{business}"))
    return started | {f"analytics {name}": statistics.median(times) * 1e3 for name, times in took.items()}


# Every part of the analytics of a business.
ALL = (
    "conversations,series,hours,percentiles,by_model,by_intent,by_response_type,funnel,cost,previous,quality"
)


def insight(lab):
    """All parts of `/analytics` over a year, over few and over many events, and beside a business that has none; the list of 1,000."""
    with lab.service("small") as small, lab.service("large") as large, lab.service("businesses") as many:
        clients = {"small": service.Client(small.port), "large": service.Client(large.port)}
        took = {name: [] for name in (*clients, "none", "list")}
        lister = service.Client(many.port)
        businesses = itertools.cycle(range(BUSINESSES))
        for business in itertools.islice(businesses, max(lab.plan.samples // 4, 2 * BUSINESSES)):
            for name, client in clients.items():
                took[name].append(client.timed(f"/analytics/business-{business}?days=366&include={ALL}"))
            took["none"].append(clients["large"].timed("/analytics/nobody?days=1"))
            took["list"].append(lister.timed("/analytics"))
    numbers = {f"insight {name}": statistics.median(times) * 1e3 for name, times in took.items()}
    return numbers | {"rebuilt rate": lab.rebuilt["large"]}


def pages(lab):
    """The page of a business over a year, over few and over many events, in turns."""
    with lab.service("small") as small, lab.service("large") as large:
        clients = {"small": service.Client(small.port), "large": service.Client(large.port)}
        took = {name: [] for name in clients}
        businesses = itertools.cycle(range(BUSINESSES))
        for business in itertools.islice(businesses, max(lab.plan.samples // 4, 2 * BUSINESSES)):
            for name, client in clients.items():
                took[name].append(client.first_byte(f"/businesses/business-{business}?days=366"))
    return {f"page {name}": statistics.median(times) * 1e3 for name, times in took.items()}


def first_answer(lab):
    """From nothing to the first answer, the SQLite file and its tables made on the way."""
    took = []
    for _ in range(STARTS):
        folder = lab.folder / f"start-{secrets.token_hex(4)}"
        with lab.embedded(folder) as server:
            took.append(server.started_in * 1e3)
        machine.remove(folder)
    return {"first answer": statistics.median(took)}


def idle(lab):
    """What the service has after one request of each kind, with default settings, on SQLite in a fresh folder."""
    with lab.embedded(lab.folder / f"idle-{secrets.token_hex(4)}") as server:
        client = service.Client(server.port)
        for path in ("/", "/health", "/health/detailed", "/metrics", "/health/live", "/analytics/business-1"):
            client.timed(path)
        for path, body in (("/track", EVENT), ("/refresh-metrics", None)):
            if client.send("POST", path, body)[0] != 200:
                raise RuntimeError(f"POST {path} failed")
        return {"resident": server.memory("VmRSS"), "binary": lab.programs.service.stat().st_size}
