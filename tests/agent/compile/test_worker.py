"""The worker process returns the same results and errors as a call in this process, and may die without harm."""

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
from ordain.transforms import set_budget
from ordain.transforms.errors import Refused, Where

LAYER = b"{ordain: v1, kind: Layer, name: a, services: {web: {command: /usr/bin/true}, bad: {command: /x, user: '%'}}}"


@pytest.fixture
def worker() -> Iterator[Worker]:
    """Return a worker that ends with the test."""
    made = Worker()
    yield made
    made.dismiss()


def test_a_worker_compiles_the_same_generation_as_this_process(worker: Worker, tmp_path: Path) -> None:
    arguments = [("/a.yaml", LAYER)], read_machine(tmp_path), Generation()
    assert worker(COMPILE, *arguments) == run_inline(COMPILE, *arguments)


def test_refused_documents_come_back_with_every_problem(worker: Worker, tmp_path: Path) -> None:
    arguments = [("/a.yaml", b"{ordain: v1, kind: Layer, nam: a, b: c}")], read_machine(tmp_path), Generation()
    with pytest.raises(Refused) as refused:
        worker(COMPILE, *arguments)
    with pytest.raises(Refused) as wanted:
        run_inline(COMPILE, *arguments)
    assert refused.value.problems == wanted.value.problems
    assert {"nam", "b"} <= {problem.where.pointer for problem in refused.value.problems}


def test_a_source_error_keeps_its_code_and_its_hint(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not signed") as failed:
        worker(ADMIT, tmp_path, Trust.REQUIRED, Snapshot(texts=(("/a.yaml", LAYER),)))
    assert failed.value.code == SourceFault.UNSIGNED
    assert failed.value.hint


def test_a_killed_worker_is_reported_and_replaced(worker: Worker) -> None:
    with pytest.raises(Failure, match="SIGKILL"):
        worker("os:kill", worker("os:getpid"), signal.SIGKILL)
    assert worker("os:getpid") != os.getpid()


def test_a_bug_in_the_compiler_ends_only_the_worker(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Failure, match="exit status 1"):
        worker("ordain.agent.compile.compiler:compile_generation", None)
    assert "Traceback" in capfd.readouterr().err  # for the journal


def test_a_worker_stays_until_it_is_dismissed(worker: Worker) -> None:
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


def test_the_agent_loads_no_library_that_reads_documents(tmp_path: Path) -> None:
    """Neither at its start nor for an answer of its worker: it would need 8 MB more as long as it runs."""
    ran = subprocess.run([sys.executable, "-c", AGENT, tmp_path], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"


def call_with_limits(function: str, cpu_sec: float, memory: int) -> subprocess.CompletedProcess[str]:
    """Call a function of this module as the worker does, with other limits, and print the problem of its refusal."""
    program = f"""
import signal, sys
sys.path[:0] = {sys.path!r}
from ordain.agent.compile import worker
worker.CPU_SEC, worker.MEMORY = {cpu_sec}, {memory}
worker.limit_memory()
signal.signal(signal.SIGPROF, worker._end_call)
print(worker._answer("{__name__}:{function}", ()))
print(worker._answer("{__name__}:work_well", ()))
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)


def work_well() -> str:
    return "well"


def work_without_end() -> None:
    set_budget.current().where = Where(path="a.yaml", line=3)
    while True:
        try:
            while True:
                pass
        except Exception:
            pass


def take_memory_without_end() -> None:
    set_budget.current().where = Where(path="a.yaml", line=3)
    memory = []
    while True:
        memory.append(bytearray(10 << 20))


@pytest.mark.parametrize(
    ("function", "cpu_sec", "what"),
    [
        ("work_without_end", 0.3, "more than 0.3 s of CPU time"),
        ("take_memory_without_end", 60, "more than 200 MiB of memory"),
    ],
)
def test_documents_that_take_too_much_time_or_memory_are_refused_with_a_place(
    function: str, cpu_sec: float, what: str
) -> None:
    done = call_with_limits(function, cpu_sec, 200 << 20)

    assert f"a.yaml:3: error: with this, the documents together need {what}" in done.stdout
    assert done.stdout.endswith("[Budget]\nwell\n")
