"""The machine: what must be installed and built, and what it is."""

import contextlib
import glob
import hashlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A Debian package, and a file that is there when it is installed.
PACKAGES = {
    "build-essential": "/usr/bin/cc",
    "openssl": "/usr/bin/openssl",
    "postgresql": "/usr/lib/postgresql/*/bin/pgbench",
    "python3-venv": "/usr/lib/python3*/ensurepip",
    "redis-server": "/usr/bin/redis-server",
    "wrk": "/usr/bin/wrk",
}

# The cargo profile of what is shipped.
PROFILE = "dist"

# What is built beside the service, from bench/.
EXAMPLES = ["bare_axum", "open_loop"]


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


@dataclass
class Programs:
    """Paths of what is run."""

    service: Path
    bare_axum: Path
    open_loop: Path
    python: Path
    """The Python that has the packages of the Python peers."""
    before: Path | None = None
    """An earlier build of the service to compare with."""

    def earlier(self):
        """The same with the earlier build as the service."""
        return replace(self, service=self.before)


def build(before=None):
    """Builds the service and what it is measured with. `before` is an earlier build of the service."""
    service = build_service()
    # On their own: what examples need for themselves would be built into the service too.
    cargo_build(*(part for name in EXAMPLES for part in ("--example", name)))
    examples = [target() / "examples" / name for name in EXAMPLES]
    return Programs(service, *examples, python_of_peers(), before and before.resolve())


def build_service():
    """The service alone, built unless MLOPS_BENCH_BIN names one."""
    built = os.environ.get("MLOPS_BENCH_BIN")
    if built:
        return Path(built).resolve()
    cargo_build("--bin", "mlops-service")
    return target() / "mlops-service"


def cargo_build(*what):
    command = ["cargo", "build", "--profile", PROFILE, "--locked", *what]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)


def target():
    """Where cargo puts what it built."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / PROFILE


def python_of_peers():
    """A Python with the packages of the peers, in a cache folder; it is made anew when the list of packages changed."""
    requirements = Path(__file__).parent / "peers" / "requirements.txt"
    version = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "mlops-service-bench" / version
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        say(f"Installing the Python peers into {folder}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, stdout=sys.stderr)
        install = [python, "-m", "pip", "install", "--quiet", "--requirement", requirements]
        subprocess.run(install, check=True, stdout=sys.stderr)
        complete.touch()
    return python


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


@contextlib.contextmanager
def folder():
    """A folder to work in. It is gone at the end, also if that is by a signal."""
    # A plain kill takes the same orderly way out as Ctrl-C, also where a shell has us ignore Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    path = Path(tempfile.mkdtemp(prefix="mlops-bench-"))
    # Postgres may run as a user of its own, who must get to its folder inside.
    path.chmod(0o711)
    try:
        yield path
    finally:
        remove(path)


def remove(folder):
    """Removes a folder of ours with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
