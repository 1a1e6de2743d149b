"""The examples, as the README says how to run them; one of them is what the README shows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from service import KEY, REPORT, Service, free_port, until

PACKAGE = Path(__file__).resolve().parents[1]
EXAMPLES = PACKAGE / "examples"


def environment(service: Service) -> dict[str, str]:
    return {**os.environ, "MLOPS_SERVICE_URL": service.url, "MLOPS_API_KEY": KEY}


def serve_and_chat(command: list[str], port: int, service: Service) -> None:
    server = subprocess.Popen([sys.executable, "-m", *command], cwd=EXAMPLES, env=environment(service), stderr=subprocess.DEVNULL)
    try:

        def chat() -> Any:
            body = json.dumps({"message": "Hello"}).encode()
            url = f"http://127.0.0.1:{port}/chat"
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=5) as got:
                    return json.load(got)
            except OSError:
                return None

        until(chat, "the app answers")
        assert chat() == {"answer": "You said: Hello"}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=20)
    service.expect(2)


def test_flask(start: Any) -> None:
    port = free_port()
    serve_and_chat(["flask", "--app", "flask_app", "run", "--port", str(port)], port, start())


def test_flask_under_gunicorn(start: Any) -> None:
    port = free_port()
    serve_and_chat(["gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}", "flask_app:app"], port, start())


def test_fastapi(start: Any) -> None:
    port = free_port()
    serve_and_chat(["uvicorn", "fastapi_app:app", "--port", str(port)], port, start())


def test_script(start: Any, tmp_path: Path) -> None:
    service = start()
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps({**REPORT, "tokens_used": n}) + "\n" for n in (1, -1, 2)))
    command = [sys.executable, str(EXAMPLES / "script.py"), "answers.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(service), capture_output=True, text=True, check=True)
    assert done.stdout == "2 sent, 0 known already, 1 refused, 0 wait\n"
    assert done.stderr.endswith(": Invalid value for field: tokens_used\n")
    service.expect(2)


def test_the_readmes_example_is_one_that_runs_here_and_it_names_the_others() -> None:
    readme = (PACKAGE / "README.md").read_text()
    assert re.findall(r"```python\n(.*?)```", readme, re.DOTALL) == [(EXAMPLES / "flask_app.py").read_text()]
    assert all(f"examples/{file.name}" in readme for file in EXAMPLES.glob("*.py") if file.name != "flask_app.py")


def test_readme_fits_one_screen() -> None:
    assert len((PACKAGE / "README.md").read_text().splitlines()) <= 60
