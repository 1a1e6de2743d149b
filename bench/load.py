"""Load from 64 clients: wrk on HTTP, pgbench on Postgres."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

CLIENTS = 64
THREADS = 2
UNIT_MS = {"us": 0.001, "ms": 1, "s": 1_000, "m": 60_000}
HERE = Path(__file__).parent


@dataclass
class Load:
    """What wrk saw. `refused` are answers with an error status, `broken` connections that failed or were silent."""

    requests: int
    rate: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def answered(self):
        """Requests that were answered with success."""
        return self.requests - self.refused


def wrk(port, path, seconds, *script):
    """Asks for `path` for some seconds over connections that stay open; `script` is a file and its arguments."""
    options = [f"-t{THREADS}", f"-c{CLIENTS}", f"-d{seconds}s", "--timeout", "5s", "--latency"]
    file, arguments = script[:1], script[1:]
    options += [part for name in file for part in ("-s", HERE / name)]
    command = ["wrk", *options, f"http://127.0.0.1:{port}{path}", *(("--", *arguments) if arguments else ())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise RuntimeError(f"wrk failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return read_report(done.stdout)


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


def pgbench(postgres, database, seconds):
    """Transactions a second of the lab's insert, each of them committed by itself."""
    clients = ["-n", "-M", "prepared", "-c", CLIENTS, "-j", THREADS, "-T", seconds]
    out = postgres.run("pgbench", *clients, "-f", HERE / "lab_insert.sql", database)
    failed = re.search(r"number of failed transactions: (\d+)", out)
    if failed and int(failed[1]):
        raise RuntimeError(f"pgbench had failures:\n{out}")
    return float(re.search(r"tps = ([\d.]+)", out)[1])
