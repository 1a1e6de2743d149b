"""What happens to events when the process ends or forks. Each test runs a script of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake import Fake
from service import KEY, Service, until

HEAD = """
import asyncio, os, signal, sys, threading, time
from mlops_service_client import AsyncClient, Client
R = {"business_id": os.environ["BUSINESS"], "response_time_ms": 1, "tokens_used": 1}
def ready(): print("ready", flush=True)
"""


@pytest.fixture
def business(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    return name


class Script:
    def __init__(self, code: str, url: str, business: str, *options: str) -> None:
        environment = {**os.environ, "MLOPS_SERVICE_URL": url, "MLOPS_API_KEY": KEY, "BUSINESS": business}
        self.process = subprocess.Popen(
            [sys.executable, *options, "-c", HEAD + code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ready(self) -> Script:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()
        return self

    def ends(self, status: int, seconds: float = 20) -> str:
        out, error = self.process.communicate(timeout=seconds)
        assert self.process.returncode == status, error
        assert error == ""
        return out


def run(code: str, service: Service, business: str, *options: str, status: int = 0) -> str:
    return Script(code, service.url, business, *options).ends(status)


def test_exit_flushes(shared_service: Service, business: str) -> None:
    run("c = Client()\nfor _ in range(2500): c.track(R)", shared_service, business)
    shared_service.expect(2500, business)


def test_exit_flushes_what_others_track_at_exit(shared_service: Service, business: str) -> None:
    run("import atexit\nc = Client()\natexit.register(lambda: c.track(R))", shared_service, business)
    shared_service.expect(1, business)


def test_flush_while_the_process_exits(shared_service: Service, business: str) -> None:
    code = "import atexit\nc = Client()\natexit.register(lambda: print(c.track(R) and c.flush()))"
    assert run(code, shared_service, business) == "True\n"
    shared_service.expect(1, business)


def test_exit_flushes_a_client_that_nobody_holds(shared_service: Service, business: str) -> None:
    run("def f():\n    Client().track(R)\nf()", shared_service, business)
    shared_service.expect(1, business)


def test_exit_by_an_exception_flushes(shared_service: Service, business: str) -> None:
    run("c = Client()\nc.track(R)\nsys.exit(3)", shared_service, business, status=3)
    shared_service.expect(1, business)


def test_exit_without_a_service_is_silent_and_in_time(business: str) -> None:
    with Fake() as fake:
        fake._answers = [fake.hang] * 9
        began = time.monotonic()
        code = "import logging\nlogging.basicConfig(level=0)\nc = Client(on_drop=lambda d: print(d.reason, d.events))\nc.track(R)"
        assert Script(code, fake.url, business).ends(0) == "exit 1\n"
        assert time.monotonic() - began < 10


def test_a_loop_that_ends_loses_nothing(shared_service: Service, business: str) -> None:
    code = """
c = AsyncClient()
async def main():
    for _ in range(1500): c.track(R)
    await asyncio.sleep(0)
asyncio.run(main())
async def again():
    c.track(R)
asyncio.run(again())
c.track(R)
"""
    run(code, shared_service, business, "-W", "default")
    shared_service.expect(1502, business)


def test_a_loop_that_ends_in_the_middle_of_an_attempt(business: str) -> None:
    with Fake() as fake:
        fake._answers = [fake.hang]
        code = "c = AsyncClient()\nasync def main():\n    c.track(R)\n    await asyncio.sleep(1.5)\nasyncio.run(main())"
        began = time.monotonic()
        Script(code, fake.url, business, "-W", "default").ends(0)
        assert time.monotonic() - began < 8
        first, second = fake.requests
        assert first.events == second.events


WAIT = "\nready()\ntime.sleep(30)"
ASYNC_WAIT = "async def main():\n    c.track(R)\n    ready()\n    await asyncio.sleep(30)\nc = AsyncClient()\nasyncio.run(main())"


@pytest.mark.parametrize("code", ["c = Client()\nc.track(R)" + WAIT, ASYNC_WAIT], ids=["sync", "async"])
def test_sigterm_flushes_and_ends_as_it_would(code: str, shared_service: Service, business: str) -> None:
    script = Script(code, shared_service.url, business).ready()
    script.process.send_signal(signal.SIGTERM)
    script.ends(-signal.SIGTERM)
    shared_service.expect(1, business)


def test_sigterm_in_the_middle_of_track(shared_service: Service, business: str) -> None:
    """The handler interrupts code that holds the client's lock, again and again."""
    code = """
c = Client(on_error=print)
ready()
n = 0
try:
    while True: n += bool(c.track(R)); c.stats().waiting > 9000 and time.sleep(.01)
finally: pass
"""
    for round_ in range(1, 6):
        script = Script(code, shared_service.url, f"{business}-{round_}").ready()
        time.sleep(0.05 * round_)
        began = time.monotonic()
        script.process.send_signal(signal.SIGTERM)
        script.ends(-signal.SIGTERM)
        assert time.monotonic() - began < 5
        assert shared_service.counted(f"{business}-{round_}") > 0


def test_a_second_sigterm_ends_at_once(business: str) -> None:
    with Fake() as fake:
        fake._answers = [fake.hang] * 9
        script = Script("c = Client()\nc.track(R)" + WAIT, fake.url, business).ready()
        script.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        began = time.monotonic()
        script.process.send_signal(signal.SIGTERM)
        script.ends(-signal.SIGTERM)
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("before", [True, False])
def test_a_handler_of_the_process_is_left_alone(before: bool, shared_service: Service, business: str) -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    make = "c = Client()\n"
    code = (own + make if before else make + own) + "c.track(R)\nprint(signal.getsignal(signal.SIGTERM).__name__)" + WAIT
    script = Script(code, shared_service.url, business)
    assert script.process.stdout is not None
    assert script.process.stdout.readline() == "<lambda>\n"
    script.ready().process.send_signal(signal.SIGTERM)
    # It ends as its handler says, and flushes as it exits.
    script.ends(7)
    shared_service.expect(1, business)


def test_a_process_that_ignores_sigterm_goes_on(shared_service: Service, business: str) -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nc = Client()\nready()\ntime.sleep(.5)\nc.track(R)"
    script = Script(code, shared_service.url, business).ready()
    script.process.send_signal(signal.SIGTERM)
    script.ends(0)
    shared_service.expect(1, business)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_handler_that_calls_the_one_before_and_goes_on(kind: str, shared_service: Service, business: str) -> None:
    code = """
def install():
    before = signal.getsignal(signal.SIGTERM)
    def handler(n, f): before(n, f); print("called", c.stats().sent, flush=True)
    signal.signal(signal.SIGTERM, handler)
"""
    code += {
        "sync": "c = Client()\ninstall()\nc.track(R)\nready()\ntime.sleep(.7)\nc.track(R)\ntime.sleep(2)\nprint(c.stats().sent)",
        "async": """
c = AsyncClient()
install()
async def main():
    c.track(R); ready(); await asyncio.sleep(.7); c.track(R); await asyncio.sleep(2); print(c.stats().sent)
asyncio.run(main())""",
    }[kind]
    script = Script(code, shared_service.url, business).ready()
    time.sleep(0.2)
    script.process.send_signal(signal.SIGTERM)
    # It was sent by the handler, and afterwards the client sends by itself again.
    assert script.ends(0) == "called 1\n2\n"
    shared_service.expect(2, business)


def test_the_first_process_of_a_container_goes_on(shared_service: Service, business: str) -> None:
    """Without a handler, SIGTERM does nothing there."""
    code = """
from mlops_service_client import _lifecycle
_lifecycle._is_first_process = lambda: True
c = Client()
c.track(R)
ready()
time.sleep(.7)
c.track(R)
"""
    script = Script(code, shared_service.url, business).ready()
    time.sleep(0.1)
    script.process.send_signal(signal.SIGTERM)
    script.ends(0)
    shared_service.expect(2, business)


def test_a_client_of_another_thread_takes_no_signal(shared_service: Service, business: str) -> None:
    code = """
t = threading.Thread(target=lambda: Client().track(R)); t.start(); t.join()
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""
    assert run(code, shared_service, business) == "True\n"


FORK = """
made = {"sync": Client, "async": AsyncClient}[os.environ["KIND"]]()
ids = [made.track(R) for _ in range(300)]
%s
sys.stdout.flush()
child = os.fork()
mine = [made.track(R) for _ in range(100)]
ids += mine
if child: os.waitpid(child, 0)
print("\\n".join(ids if child else mine))
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("moment", ["", "time.sleep(1.2)", "time.sleep(1.02)"], ids=["before", "after", "while"])
def test_a_fork_sends_nothing_twice(kind: str, moment: str, monkeypatch: pytest.MonkeyPatch, business: str) -> None:
    monkeypatch.setenv("KIND", kind)
    with Fake() as fake:
        ids = Script(FORK % moment, fake.url, business, "-W", "ignore").ends(0).split()
        assert len(ids) == len(set(ids)) == 500
        # Not even as duplicates, which the service would not count.
        assert sorted(event["event_id"] for event in fake.events) == sorted(ids)


def test_a_child_has_a_working_sender(shared_service: Service, business: str) -> None:
    code = """
c = Client()
c.track(R); c.flush()
if os.fork() == 0:
    c.track(R)
    assert c.stats().tracked == 1
    time.sleep(1.6)
    assert c.stats().sent == 1
    os._exit(0)
assert os.wait()[1] == 0
c.track(R)
"""
    run(code, shared_service, business, "-W", "ignore")
    shared_service.expect(3, business)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing(method: str, shared_service: Service, business: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        HEAD
        + f"""
import multiprocessing
c = Client()
def work(_=None): c.track(R); Client().track(R); return 1
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    p = context.Process(target=work); p.start(); p.join()
    with context.Pool(2) as pool:
        pool.map(work, range(2)); pool.close(); pool.join()
    c.track(R)
"""
    )
    environment = {**os.environ, "MLOPS_SERVICE_URL": shared_service.url, "MLOPS_API_KEY": KEY, "BUSINESS": business}
    subprocess.run([sys.executable, "-W", "ignore", tmp_path / "script.py"], env=environment, check=True, timeout=30)
    shared_service.expect(7, business)


@pytest.mark.parametrize("preload", [True, False])
def test_gunicorn(preload: bool, shared_service: Service, business: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        HEAD
        + """
client = Client()
client.track(R)
def app(environ, start_response):
    event_id = client.track(R)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [event_id.encode()]
"""
    )
    socket_path = tmp_path / "socket"
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"unix:{socket_path}", "--chdir", str(tmp_path), "app:app"]
    environment = {**os.environ, "MLOPS_SERVICE_URL": shared_service.url, "MLOPS_API_KEY": KEY, "BUSINESS": business}
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command + ["--preload"] * preload, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: (tmp_path / "log").read_text().count("Booting worker") == 2, "both workers run")
        until(socket_path.exists, "it listens")
        # Without preload the workers load the app after they say so.
        time.sleep(1)
        ids = [_get(socket_path) for _ in range(40)]
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 0, (tmp_path / "log").read_text()
    assert len(set(ids)) == 40
    # The event of the import: one of the master, or one of each worker.
    shared_service.expect(40 + (1 if preload else 2), business)


def _get(path: Path) -> str:
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        content = b""
        while chunk := sock.recv(4096):
            content += chunk
    return content.decode().rpartition("\r\n\r\n")[2]
