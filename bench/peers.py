"""Those that the service is compared with: their programs are beside this file and in the folder peers."""

import json
import re
import subprocess
from pathlib import Path

import machine
import service

HERE = Path(__file__).parent
SCRIPTS = HERE / "peers"

# Processes of a Python peer, for two cores, and connections that each has to Postgres.
WORKERS, POOL_SIZE = 2, 8
THREADS = 8

GUNICORN = ["--worker-class", "gthread", "--threads", THREADS, "--keep-alive", 75, "--no-control-socket"]
UVICORN = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]


class Workers(service.Server):
    """A Python peer. It is up when each of its processes has answered."""

    def __init__(self, command, port, folder, settings):
        super().__init__(list(map(str, command)), port, folder, "/health", settings)
        self.seen = set()

    def answers(self):
        status, body = service.Client(self.port).get(self.probe)
        self.seen.add(json.loads(body)["worker"])
        return status == 200 and len(self.seen) == WORKERS


def flask(python, folder, settings):
    """Flask under gunicorn, with threads."""
    port = machine.free_port()
    command = [python, "-m", "gunicorn", "--workers", WORKERS, "--bind", f"127.0.0.1:{port}", *GUNICORN]
    return Workers([*command, "flask_service:app"], port, folder, environment(folder) | settings)


def fastapi(python, folder, settings):
    """FastAPI under uvicorn."""
    port = machine.free_port()
    command = [python, "-m", "uvicorn", "--workers", WORKERS, "--host", "127.0.0.1", "--port", port, *UVICORN]
    return Workers([*command, "fastapi_service:app"], port, folder, environment(folder) | settings)


def environment(folder):
    """Where a peer finds its code and keeps its counters. Nothing is written into the checkout."""
    counters = folder / "counters"
    counters.mkdir(parents=True)
    return {
        "PYTHONPATH": str(SCRIPTS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PROMETHEUS_MULTIPROC_DIR": str(counters),
        "POOL_SIZE": str(POOL_SIZE),
    }


def series(python, folder, file):
    """prometheus_client with the series of a file, from the server that it brings."""
    port = machine.free_port()
    return service.Server([python, SCRIPTS / "series_service.py", str(port), file], port, folder, "/metrics", {})


def bare_axum(program, folder):
    """The bare axum handler of `GET /health`."""
    port = machine.free_port()
    return service.Server([program, str(port)], port, folder, "/health", {})


def copy(python, url, rows, chunk, clients):
    """Rows a second that `COPY` brings in, a chunk at a time from each of the clients."""
    command = [python, "-B", SCRIPTS / "copy_rows.py", url, rows, chunk, clients]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"COPY failed:\n{done.stderr[-2000:]}")
    return float(re.search(r"rows a second: ([\d.]+)", done.stdout)[1])
