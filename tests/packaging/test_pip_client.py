"""The client in an environment of pip, without Debian's modules, without systemd and without rights."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from rig import debian_roots, pip_client
from support.runner.shared_by_workers import folder_of_run, shared

pytestmark = [pytest.mark.thorough, pytest.mark.slow]

TREE = Path(__file__).parents[2]
LAYER = "ordain: v1\nkind: Layer\nname: web\nservices: {web: {command: /usr/bin/true, after: [time-sync]}}\n"


@contextmanager
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the path of ordainctl in a new environment."""
    yield str(pip_client.client(tmp_path_factory.mktemp("client")))


@pytest.fixture(scope="module")
def ordainctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not os.access(debian_roots.CACHE.parent, os.W_OK):
        pytest.skip(f"needs to write {debian_roots.CACHE}, where the libraries from PyPI are kept")
    try:
        with shared(folder_of_run(tmp_path_factory), "client", lambda: installed(tmp_path_factory)) as path:
            yield Path(path)
    except pip_client.NoIndex as error:
        pytest.skip(f"needs a package index: {error}")


@pytest.fixture
def web(tmp_path: Path) -> Path:
    (tmp_path / "web.yaml").write_text(LAYER)
    return tmp_path / "web.yaml"


def run(ordainctl: Path, *words: str | Path, status: int = 0) -> str:
    """Run a command with an empty environment, as on a Linux where systemd is not PID 1; return what it prints."""
    done = subprocess.run(
        ["unshare", "--mount", "--", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh", ordainctl, *words],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def _may_hide_run() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root, to hide the systemd and the bus of this machine from the client")


def test_the_environment_has_no_pystemd_and_nothing_of_debian(ordainctl: Path) -> None:
    program = "import importlib.util, sys; print(importlib.util.find_spec('pystemd'), *sys.path)"
    python = ordainctl.with_name("python")

    shown = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True, env={}).stdout

    assert shown.startswith("None ")
    assert "dist-packages" not in shown


def test_it_validates_documents_and_names_a_mistake(ordainctl: Path, tmp_path: Path, web: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("ordain: v1\nkind: Layer\nname: wrong\nservices: {web: {comand: /usr/bin/true}}\n")

    assert "valid" in run(ordainctl, "validate", web)
    assert f"{wrong}:4:" in run(ordainctl, "validate", wrong, status=1)


def test_it_renders_the_same_units_as_this_tree(ordainctl: Path, web: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["render", "--os", "rhel-9", str(web)]

    shown = run(ordainctl, *words)

    assert main(words) == 0
    assert shown == capsys.readouterr().out


def test_it_creates_a_release(ordainctl: Path, tmp_path: Path, web: Path) -> None:
    run(ordainctl, "release", "create", "--number", "1", "--output", tmp_path / "release.json", web)

    manifest = json.loads((tmp_path / "release.json").read_text())
    assert [Path(name).name for name in manifest["documents"]] == ["web.yaml"]


def test_it_renders_a_run_for_slurm(ordainctl: Path) -> None:
    assert "#SBATCH" in run(ordainctl, "run", "render", "--on", "slurm", TREE / "examples/runs/nightly-statistics.yaml")


def test_it_queries_documents(ordainctl: Path, web: Path) -> None:
    assert "web.yaml" in run(ordainctl, "query", "documents", "services/web", "--file", web)


def test_it_serves_documents(ordainctl: Path, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(LAYER)
    command = [str(ordainctl), "serve", str(tmp_path), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env={"PATH": "/usr/bin:/bin"}, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            url = next(match[0] for line in server.stderr if (match := re.search(r"http://127[.0-9]+:\d+", line)))
            with urllib.request.urlopen(f"{url}/web1.yaml") as answer:
                body = answer.read().decode()
        finally:
            server.terminate()

    assert "kind: Layer" in body


@pytest.mark.parametrize("words", [["status"], ["plan"], ["boot-chart"], ["apply"]], ids=" ".join)
def test_a_command_about_a_machine_says_that_systemd_does_not_run(ordainctl: Path, words: list[str]) -> None:
    shown = run(ordainctl, *words, status=1)

    assert "systemd does not run here" in shown
    assert "Traceback" not in shown
