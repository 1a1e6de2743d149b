"""The machine: what must be installed and built, and what it is."""

import glob
import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A Debian package, and a file that is there when it is installed.
PACKAGES = {
    "build-essential": "/usr/bin/cc",
    "openssl": "/usr/bin/openssl",
    "postgresql": "/usr/lib/postgresql/*/bin/pgbench",
    "redis-server": "/usr/bin/redis-server",
    "wrk": "/usr/bin/wrk",
}


def say(text):
    """Progress goes to standard error: standard output is the table."""
    print(text, file=sys.stderr, flush=True)


def install_tools():
    """Installs what is missing. Services that the packages bring are not started: the benchmark starts its own."""
    missing = [package for package, file in PACKAGES.items() if not glob.glob(file)]
    if not missing:
        return
    say(f"Installing: {' '.join(missing)}")
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    subprocess.run([*as_root, "apt-get", "update", "-q"], check=True, stdout=sys.stderr)
    subprocess.run([*as_root, *environment, *install], check=True, stdout=sys.stderr)


def build():
    """Builds the service and its peer; gives their paths. MLOPS_BENCH_BIN names a service that is built already."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    peer = target / "examples" / "bare_axum"
    if built := os.environ.get("MLOPS_BENCH_BIN"):
        return Path(built).resolve(), peer
    command = ["cargo", "build", "--release", "--locked", "--bin", "mlops-service", "--example", "bare_axum"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    return target / "mlops-service", peer


def postgres_programs():
    """The folder of the newest Postgres."""
    folders = glob.glob("/usr/lib/postgresql/*/bin")
    return Path(max(folders, key=lambda folder: int(Path(folder).parent.name)))


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def describe():
    """One line on the machine."""
    cpu = field("/proc/cpuinfo", "model name")
    memory = int(field("/proc/meminfo", "MemTotal").split()[0]) / 1024 / 1024
    version = subprocess.check_output([postgres_programs() / "postgres", "--version"], text=True)
    postgres = version.split()[2]
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB; Linux {platform.release()}; PostgreSQL {postgres}"


def field(path, name):
    """The value of a `name: value` line of a file of the kernel."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def remove(folder):
    """Removes a folder of ours with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
