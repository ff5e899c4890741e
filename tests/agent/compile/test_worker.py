"""What is done in another process comes back as if it had been done here, and its end is nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.agent.compile.compile_cache import read_machine
from ordain.agent.compile.executor import ADMIT, COMPILE, run_inline
from ordain.agent.compile.worker import Worker
from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault
from ordain.agent.errors import Failure
from ordain.agent.model import Generation
from ordain.agent.settings import Trust
from ordain.transforms.errors import Refused

LAYER = b"{ordain: v1, kind: Layer, name: a, services: {web: {command: /usr/bin/true}, bad: {command: /x, user: '%'}}}"


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker that ends with the test."""
    made = Worker()
    yield made
    made.dismiss()


def test_a_generation_is_the_same_wherever_it_is_made(worker: Worker, tmp_path: Path) -> None:
    arguments = [("/a.yaml", LAYER)], read_machine(tmp_path), Generation()
    assert worker(COMPILE, *arguments) == run_inline(COMPILE, *arguments)


def test_documents_that_are_refused_are_refused_with_every_problem(worker: Worker, tmp_path: Path) -> None:
    arguments = [("/a.yaml", b"{ordain: v1, kind: Layer, nam: a, b: c}")], read_machine(tmp_path), Generation()
    with pytest.raises(Refused) as refused:
        worker(COMPILE, *arguments)
    with pytest.raises(Refused) as wanted:
        run_inline(COMPILE, *arguments)
    assert refused.value.problems == wanted.value.problems
    assert {"nam", "b"} <= {problem.where.pointer for problem in refused.value.problems}


def test_what_a_source_did_wrong_keeps_its_code_and_its_hint(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not signed") as failed:
        worker(ADMIT, tmp_path, Trust.REQUIRED, Snapshot(texts=(("/a.yaml", LAYER),)))
    assert failed.value.code == SourceFault.UNSIGNED
    assert failed.value.hint


def test_one_that_is_killed_is_named_and_replaced(worker: Worker) -> None:
    with pytest.raises(Failure, match="SIGKILL"):
        worker("os:kill", worker("os:getpid"), signal.SIGKILL)
    assert worker("os:getpid") != os.getpid()


def test_a_bug_ends_the_process_and_not_the_agent(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Failure, match="exit status 1"):
        worker("ordain.agent.compile.compiler:compile_generation", None)
    assert "Traceback" in capfd.readouterr().err  # for the journal


def test_it_stays_until_it_is_dismissed(worker: Worker) -> None:
    first = worker("os:getpid")
    assert worker("os:getpid") == first
    worker.dismiss()
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert worker("os:getpid") != first


AGENT = """
import sys
from pathlib import Path
import ordain.agent.daemon.main
from ordain.agent.compile.compile_cache import read_machine
from ordain.agent.compile.executor import COMPILE, ADMIT
from ordain.agent.model import Generation
from ordain.agent.settings import Trust
from ordain.agent.delivery.protocol import Snapshot
from ordain.agent.compile.worker import Worker

root, layer = Path(sys.argv[1]), b"{ordain: v1, kind: Layer, name: a, services: {web: {command: /usr/bin/true}}}"
worker = Worker()
worker(ADMIT, root, Trust.LOCAL, Snapshot(texts=(("/a.yaml", layer),), own=True))
worker(COMPILE, [("/a.yaml", layer)], read_machine(root), Generation())
worker.dismiss()
heavy = "jsonschema", "jinja2", "lxml", "gi", "aiohttp", "cryptography", "attr", "ordain.transforms.compile"
print(*(name for name in heavy if sys.modules.get(name)))
"""


def test_the_agent_itself_loads_nothing_that_reads_documents(tmp_path: Path) -> None:
    """Neither at its start nor with what its worker answers: it would weigh 8 MB more, for ever."""
    ran = subprocess.run([sys.executable, "-c", AGENT, tmp_path], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"
