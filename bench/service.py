"""Servers as processes, the service among them; and an HTTP client that times what it asks."""

import http.client
import signal
import socket
import subprocess
import time

import machine

START_LIMIT = 30
STOP_LIMIT = 15

# What stands in the way of a load test: the quotas, and the log line per start.
UNLIMITED = {
    "RATE_LIMIT_HEALTH": "off",
    "RATE_LIMIT_HEALTH_DETAILED": "off",
    "RATE_LIMIT_TRACK": "off",
    "RATE_LIMIT_ANALYTICS": "off",
    "RATE_LIMIT_REFRESH_METRICS": "off",
    "RATE_LIMIT_PAGES": "off",
    "RATE_LIMIT_DEFAULT": "off",
    "FLOOD_LIMIT_PER_SECOND": "off",
    "RUST_LOG": "warn",
}

# A quota that is counted, and that no load uses up.
COUNTED = {"RATE_LIMIT_TRACK": "4000000000/day"}


class Server:
    """A process that listens on a port. Use as a context manager: it runs inside, and answers `probe` with 200."""

    def __init__(self, command, port, folder, probe, settings):
        self.command, self.port, self.folder, self.probe = command, port, folder, probe
        # Nothing of the caller's environment, and no .env file, decides what is measured.
        self.settings = {"PATH": "/usr/bin:/bin", **settings}
        self.process = None
        self.started_in = None

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        begun = time.perf_counter()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.settings, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise
        self.started_in = time.perf_counter() - begun
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_until_up(self):
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.answers():
                    return
            except OSError:
                time.sleep(0.001)
        command, log = " ".join(map(str, self.command)), (self.folder / "log").read_text()
        raise RuntimeError(f"{command} does not start:\n{log[-2000:]}")

    def answers(self):
        return Client(self.port).get(self.probe)[0] == 200

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def memory(self, name):
        """Bytes in main memory that the process has now (`VmRSS`), or had at the most (`VmHWM`)."""
        return int(machine.field(f"/proc/{self.process.pid}/status", name).split()[0]) * 1024


def service(binary, folder, **settings):
    """The service with these settings beside its defaults."""
    port = machine.free_port()
    settings = {"SERVICE_HOST": "127.0.0.1", "SERVICE_PORT": str(port), **settings}
    return Server([binary], port, folder, "/health/ready", settings)


def migrate(binary, folder, **settings):
    """Brings the tables of a database up to date."""
    run(binary, "migrate", folder, settings)


def rebuild(binary, folder, **settings):
    """Builds facts about conversations from the events in a database. Returns how long that took, in seconds."""
    begun = time.perf_counter()
    run(binary, "rebuild", folder, settings)
    return time.perf_counter() - begun


def run(binary, command, folder, settings):
    folder.mkdir(exist_ok=True)
    done = subprocess.run([binary, command], env=settings, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}")


class Redis(Server):
    """Speaks no HTTP: it is up when it accepts a connection."""

    def answers(self):
        socket.create_connection(("127.0.0.1", self.port)).close()
        return True


def redis(folder):
    """A Redis that keeps nothing on disk."""
    port = machine.free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    return Redis(command, port, folder, None, {})


class Client:
    """A connection that is kept open."""

    def __init__(self, port, key=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_LIMIT)
        self.headers = {"X-API-Key": key} if key else {}

    def get(self, path):
        """Status and body of an answer."""
        return self.send("GET", path)

    def send(self, method, path, body=None):
        """Status and body of an answer to a request with a JSON body, or none."""
        headers = self.headers | ({"Content-Type": "application/json"} if body else {})
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        return response.status, response.read()

    def timed(self, path):
        """Seconds that a request and its whole answer take."""
        begun = time.perf_counter()
        status, body = self.get(path)
        took = time.perf_counter() - begun
        if status != 200:
            raise RuntimeError(f"GET {path} is answered {status}: {body[:200]!r}")
        return took

    def first_byte(self, path):
        """Seconds until the head of an answer is there, packed as browsers ask for it."""
        begun = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers | {"Accept-Encoding": "gzip, br"})
        response = self.connection.getresponse()
        took = time.perf_counter() - begun
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"GET {path} is answered {response.status}: {body[:200]!r}")
        return took

    def sign_in(self, key):
        """Begins a session, so that pages can be asked for."""
        origin = f"http://127.0.0.1:{self.connection.port}"
        headers = {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded"}
        self.connection.request("POST", "/session", f"key={key}", headers)
        response = self.connection.getresponse()
        response.read()
        if response.status != 303:
            raise RuntimeError(f"POST /session is answered {response.status}")
        self.headers["Cookie"] = response.headers["Set-Cookie"].split(";")[0]
