"""The spool: what waits outlives the process."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Make, Told
from fake import Fake, response
from service import REPORT, Service, free_port, until
from test_process import Script

from mlops_service_client._spool import Spool
from mlops_service_client._spool_name import Name, Owner, file_name, is_gone, parse_name, this_process

CRASHES = 20 if os.environ.get("CLIENTS_TEST_FULL") else 4


def test_crashes_lose_no_event_that_has_an_id(start: Any, tmp_path: Path) -> None:
    service = start()
    # The id is written once `track` has returned it. What was not yet written then is counted apart.
    code = f"""
c = Client(spool_dir={str(tmp_path / "spool")!r}, on_drop=lambda drop: os._exit(9))
file = os.open({str(tmp_path / "ids")!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
ready()
while True:
    os.write(file, (c.track(R) + "\\n").encode())
    while c.stats().waiting > 3000: time.sleep(.005)
"""
    for _ in range(CRASHES):
        script = Script(code, service.url, "acme").ready()
        time.sleep(random.uniform(0.05, 0.4))
        script.process.kill()
        script.ends(-signal.SIGKILL)
    Script(f"with Client(spool_dir={str(tmp_path / 'spool')!r}) as c: assert c.flush(20)", service.url, "acme").ends(0, 40)
    known = (tmp_path / "ids").read_text().split()
    stored = service.ids()
    unknown = set(stored) - set(known)
    print(f"{len(stored)} stored, {len(unknown)} of them not yet given back when the process was killed")
    assert len(known) > 1000
    assert set(known) <= set(stored) and len(stored) == len(set(stored))
    service.expect(len(stored))
    assert len(unknown) <= CRASHES
    assert os.listdir(tmp_path / "spool") == []


def test_events_of_an_ended_process_are_sent_by_the_next_one(make: Make, shared_service: Service, tmp_path: Path) -> None:
    first = make(f"http://127.0.0.1:{free_port()}", spool_dir=tmp_path)
    for n in range(5):
        first.track(REPORT, business_id="next", session_id=f"Zoë {n}")
    until(lambda: first.stats().failures, "an attempt failed")
    first._end()
    assert first.stats().dropped == 0
    assert [name.endswith("_left.events") for name in os.listdir(tmp_path)] == [True]

    with make(shared_service.url, spool_dir=tmp_path) as second:
        pass
    assert (second.stats().recovered, second.stats().sent) == (5, 5)
    shared_service.expect(5, "next")
    assert os.listdir(tmp_path) == []


def test_recovered_events_come_first(make: Make, start: Any, tmp_path: Path) -> None:
    service = start()
    first = make(f"http://127.0.0.1:{free_port()}", spool_dir=tmp_path)
    ids = [first.track(REPORT) for _ in range(5)]
    first._end()
    second = make(service.url, spool_dir=tmp_path)
    ids += [second.track(REPORT) for _ in range(5)]
    assert second.flush()
    assert service.ids() == ids


def test_what_was_sent_is_not_sent_again(make: Make, tmp_path: Path) -> None:
    with Fake() as fake:
        client = make(fake.url, spool_dir=tmp_path)
        client.track(REPORT)
        client.flush()
        fake._answers = [lambda _: response(503, {}, Retry_After="3600")]
        waiting = client.track(REPORT)
        until(lambda: len(fake.requests) == 2, "it was refused")
        client._end()
        with make(fake.url, spool_dir=tmp_path):
            pass
        assert [event["event_id"] for event in fake.requests[2].events] == [waiting]


def test_an_event_that_is_sent_again_while_later_ones_are_done_with_survives_a_crash(make: Make, tmp_path: Path) -> None:
    rejected = [{"index": 0, "error": "Failed to store metrics in database"}]
    first, copy = tmp_path / "first", tmp_path / "copy"
    with Fake(lambda _: response(200, {"status": "success", "accepted": 4, "duplicates": 0, "rejected": rejected})) as fake:
        fake._answers.append(fake.hang)
        client = make(fake.url, spool_dir=first)
        event_id = [client.track(REPORT) for _ in range(5)][0]
        until(lambda: len(fake.requests) == 2, "it is sent again")
        # As after a crash: what the files say is all there is.
        copy.mkdir()
        for file in first.iterdir():
            (copy / re.sub(r"_[^_]+(\.events.*)$", r"_left\1", file.name)).write_bytes(file.read_bytes())
        client._end()
    with Fake() as fake:
        assert make(fake.url, spool_dir=copy).flush()
        assert [event["event_id"] for event in fake.events] == [event_id]


def test_files_of_a_living_process_are_left_alone(make: Make, tmp_path: Path) -> None:
    with Fake() as fake:
        first = make(f"http://127.0.0.1:{free_port()}", spool_dir=tmp_path)
        first.track(REPORT)
        with make(fake.url, spool_dir=tmp_path) as second:
            pass
        assert second.stats().recovered == 0 and fake.requests == []


def test_a_half_line_and_other_files(make: Make, told: Told, tmp_path: Path) -> None:
    (tmp_path / file_name(Name(1, 1, None))).write_bytes(
        json.dumps({**REPORT, "session_id": "Zoë", "event_id": "x" * 8}, ensure_ascii=False).encode() + b'\nnot json\n[]\n{"business_id":"ac'
    )
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / (file_name(Name(2, 1, None)) + ".settled")).write_text("7")
    with Fake() as fake:
        with make(fake.url, spool_dir=tmp_path):
            pass
        assert [event["session_id"] for event in fake.events] == ["Zoë"]
    assert os.listdir(tmp_path) == ["notes.txt"]
    assert told.errors == []


def test_more_than_fits_is_taken_bit_by_bit(make: Make, tmp_path: Path) -> None:
    for number in range(4):
        lines = [json.dumps({**REPORT, "session_id": f"{number}-{n}"}) + "\n" for n in range(30)]
        (tmp_path / file_name(Name(number, number, None))).write_text("".join(lines))
    with Fake() as fake:
        client = make(fake.url, spool_dir=tmp_path, max_events=140)
        assert client.flush()
        assert client.stats().recovered == client.stats().sent == 120
        assert [event["session_id"] for event in fake.events] == [f"{number}-{n}" for number in range(4) for n in range(30)]
    assert os.listdir(tmp_path) == []


def test_old_events_leave_half_of_the_buffer_for_new_ones(make: Make, told: Told, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / file_name(Name(number, 1, None))).write_text((json.dumps(REPORT) + "\n") * 40)
    client = make(f"http://127.0.0.1:{free_port()}", spool_dir=tmp_path, max_events=100)
    client.track(REPORT)
    until(lambda: client.stats().recovered, "a file is taken over")
    for _ in range(49):
        client.track(REPORT)
    stats = client.stats()
    assert (stats.recovered, stats.waiting, told.drops) == (40, 90, [])


def test_old_events_wait_in_files_if_new_ones_have_taken_the_room(
    make: Make, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / file_name(Name(1, 1, None))).write_text((json.dumps(REPORT) + "\n") * 40)
    recover = Spool.recover

    def recover_slowly(self: Spool, room: Any) -> Any:
        found = recover(self, room)
        while client.stats().waiting < 70:
            client.track(REPORT)
        return found

    monkeypatch.setattr(Spool, "recover", recover_slowly)
    client = make(f"http://127.0.0.1:{free_port()}", spool_dir=tmp_path, max_events=100)
    client.track(REPORT)
    until(lambda: client.stats().failures, "an attempt failed")
    stats = client.stats()
    assert (stats.recovered, stats.waiting, told.drops) == (0, 70, [])


def test_a_disk_that_fails_loses_nothing_that_can_be_sent(make: Make, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with Fake() as fake:
        client = make(fake.url, spool_dir=tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            client.track(REPORT)
        client.track(REPORT)
        assert client.flush()
        assert len(fake.events) == 2
    assert "No space left on device" in str(told.errors[0])


def test_a_forked_child_has_files_of_its_own(tmp_path: Path) -> None:
    code = f"""
c = Client(spool_dir={str(tmp_path)!r})
for _ in range(10): c.track(R)
child = os.fork()
for _ in range(5): c.track(R)
if child: assert os.waitpid(child, 0)[1] == 0
"""
    with Fake() as fake:
        Script(code, fake.url, "acme", "-W", "ignore").ends(0)
        assert len({event["event_id"] for event in fake.events}) == len(fake.events) == 20
    assert os.listdir(tmp_path) == []


def test_only_the_owner_may_read_it(make: Make, tmp_path: Path) -> None:
    directory = tmp_path / "a" / "spool"
    client = make(f"http://127.0.0.1:{free_port()}", spool_dir=directory)
    client.track(REPORT)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()] == [0o600]


def test_names() -> None:
    own = this_process()
    now = time.time()
    assert parse_name(file_name(Name(12, 3, own))) == Name(12, 3, own)
    assert parse_name(file_name(Name(12, 3, None))) == Name(12, 3, None)
    assert parse_name("x.events") is None
    assert is_gone(None, now, own)
    assert not is_gone(own, now, own)
    assert is_gone(own, now - 100, own)
    assert not is_gone(Owner(own.host, os.getppid(), 1, "x"), now, own)
    assert not is_gone(Owner("elsewhere", 1, 1, "x"), now, own)
    # A container that was restarted: the same process id, another process.
    assert is_gone(Owner(own.host, own.pid, own.start - 60, "x"), now, own)
    assert is_gone(Owner(own.host, 2**22 + 1, 1, "x"), now, own)
