"""What `python -m build` makes, in an empty virtual environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from service import KEY, Service

PACKAGE = Path(__file__).resolve().parents[1]
USER = """
from mlops_service_client import AsyncClient, Client, Drop, Refusal, Report, SendError, Stats

report: Report = {"business_id": "package", "response_time_ms": 1, "tokens_used": 2}

def on_drop(drop: Drop) -> None: ...
def on_error(error: Exception) -> None: assert isinstance(error, SendError)
def on_reject(event: dict[str, object], refusal: Refusal) -> None: ...

with Client(URL, api_key=KEY, on_drop=on_drop, on_error=on_error, on_reject=on_reject) as client:
    event_id: str = client.track(report)
    flushed: bool = client.flush(timeout=5)
stats: Stats = client.stats()
print(stats.sent)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("package")
    source = directory / "source"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns(".venv", "*.egg-info", ".*_cache", "build", "dist"))
    # With the setuptools that is installed here: another environment for each of the two archives takes half a minute.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory / "dist"), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return directory / "dist"


def test_contents(built: Path) -> None:
    (wheel,) = built.glob("mlops_service_client-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
    modules = {f"mlops_service_client/{file.name}" for file in (PACKAGE / "src/mlops_service_client").iterdir() if file.is_file()}
    assert modules <= set(names) and "mlops_service_client/py.typed" in names
    assert all(name.startswith(("mlops_service_client/", "mlops_service_client-")) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: MIT" in metadata and "Requires-Dist" not in metadata and "Requires-Python: >=3.9" in metadata
    (archive_of_source,) = built.glob("mlops_service_client-*.tar.gz")
    with tarfile.open(archive_of_source) as source:
        contents = {name.partition("/")[2] for name in source.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "CHANGELOG.md"} <= contents


def test_an_empty_environment_installs_and_uses_it(built: Path, tmp_path: Path, shared_service: Service) -> None:
    venv.create(tmp_path / "empty", symlinks=True, with_pip=False)
    python = tmp_path / "empty/bin/python"
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-index", str(wheel)], check=True)
    script = tmp_path / "user.py"
    script.write_text(f"URL = {shared_service.url!r}\nKEY = {KEY!r}\n{USER}")
    done = subprocess.run([python, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
    # Its types are seen by whoever uses it.
    check = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--python-executable", str(python)]
    # With what the check of the types has read already.
    check += ["--cache-dir", str(PACKAGE / ".mypy_cache"), str(script)]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_licence_is_the_projects() -> None:
    assert (PACKAGE / "LICENSE").read_text() == (PACKAGE.parents[1] / "LICENSE").read_text()
