"""Load from many clients: wrk and open_loop on HTTP, pgbench on Postgres."""

import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

CLIENTS = 64
THREADS = 2
UNIT_MS = {"us": 0.001, "ms": 1, "s": 1_000, "m": 60_000}
HERE = Path(__file__).parent


@dataclass
class Load:
    """What was seen. `refused` are answers with an error status, `broken` connections that failed or were silent."""

    requests: int
    rate: float
    p99_ms: float
    refused: int
    broken: int = 0

    @property
    def answered(self):
        """Requests that were answered with success."""
        return self.requests - self.refused

    def joined(self, other):
        """The same with the requests of another load beside its own."""
        requests, refused = self.requests + other.requests, self.refused + other.refused
        return replace(self, requests=requests, refused=refused, broken=self.broken + other.broken)


@dataclass
class Paced(Load):
    """The same at a fixed rate. Latencies count from when a request was due."""

    p50_ms: float = 0
    max_ms: float = 0


def wrk(port, path, seconds, script=(), key=None, clients=CLIENTS):
    """Asks for `path` for some seconds over open connections; `script` is a file and what it takes beside the key."""
    options = [f"-t{THREADS}", f"-c{clients}", f"-d{seconds}s", "--timeout", "5s", "--latency"]
    if script:
        file, *arguments = script
        options += ["-s", file, f"http://127.0.0.1:{port}{path}", "--", key, *arguments]
    else:
        options += [f"http://127.0.0.1:{port}{path}"]
    # The scripts find event.lua in the working directory.
    return read_report(run(["wrk", *options], seconds, cwd=HERE))


def open_loop(program, port, key, rate, seconds):
    """Events at a fixed rate, each when it is due; see open_loop.rs."""
    words = run([program, str(port), key, str(rate), str(seconds)], seconds).split()
    seen = dict(zip(words[::2], map(float, words[1::2])))
    requests, refused = int(seen["requests"]), int(seen["refused"])
    reached = requests / seen["seconds"]
    return Paced(requests, reached, seen["p99"], refused, p50_ms=seen["p50"], max_ms=seen["max"])


def run(command, seconds, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, **options)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout


def read_report(report):
    """The numbers of wrk's report. The lines on failures are there only when there were some."""
    percentile = re.search(r"^\s*99%\s+([\d.]+)(us|ms|s|m)\s*$", report, re.MULTILINE)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", report)
    return Load(
        requests=int(re.search(r"(\d+) requests in", report)[1]),
        rate=float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1]),
        p99_ms=float(percentile[1]) * UNIT_MS[percentile[2]],
        refused=int(refused[1]) if refused else 0,
        broken=sum(map(int, broken.groups())) if broken else 0,
    )


def pgbench(postgres, database, seconds, protocol):
    """Transactions a second of the lab's insert, each of them committed by itself."""
    clients = ["-n", "-M", protocol, "-c", CLIENTS, "-j", THREADS, "-T", seconds]
    out = postgres.run("pgbench", *clients, "-f", HERE / "lab_insert.sql", database)
    failed = re.search(r"number of failed transactions: (\d+)", out)
    rate = re.search(r"tps = ([\d.]+)", out)
    # Connecting counts as well: a machine that is too busy may be at it until the time is up.
    if failed and int(failed[1]) or not rate:
        raise RuntimeError(f"pgbench had failures, or not the time for a transaction:\n{out}")
    return float(rate[1])
