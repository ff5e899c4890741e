"""The worker process returns the same results and errors as a call in this process, and may die without harm."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

from ordain.agent.compile import worker as worker_module
from ordain.agent.compile.compile_cache import read_machine
from ordain.agent.compile.executor import ADMIT, COMPILE, run_inline
from ordain.agent.compile.worker import Worker
from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault
from ordain.agent.errors import Failure
from ordain.agent.model import Generation
from ordain.agent.settings import Trust
from ordain.transforms import set_budget
from ordain.transforms.errors import Refused, Where

pytestmark = pytest.mark.thorough

LAYER = b"{ordain: v1, kind: Layer, name: a, services: {web: {command: /usr/bin/true}, bad: {command: /x, user: '%'}}}"
MODULES = "{name for name in __import__('sys').modules if name.startswith(('ordain.', 'yaml.'))}"


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


def test_a_prepared_worker_has_loaded_what_a_compile_needs(worker: Worker, tmp_path: Path) -> None:
    worker.prepare()
    loaded = worker("builtins:eval", MODULES)
    documents = ("/a.yaml", b"ordain: v1\nkind: Layer\nname: a\nservices: {web: {command: /usr/bin/true}}\n")
    worker(ADMIT, tmp_path, Trust.LOCAL, Snapshot(texts=(documents,), own=True))
    worker(COMPILE, [documents], read_machine(tmp_path), Generation())
    assert worker("builtins:eval", MODULES) - loaded == set()


def test_a_worker_that_cannot_be_prepared_is_replaced_by_the_next_call(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordain.agent.compile.worker.WARM_UP", "os:abort")
    worker.prepare()
    assert worker("os:getpid") != os.getpid()


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
import pickle
print(pickle.loads(worker._answer("{__name__}:{function}", ())))
print(pickle.loads(worker._answer("{__name__}:work_well", ())))
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


def work_and_ignore_the_end() -> None:
    """Python ignores what a finalizer raises, and the signal can come there."""

    class Odd:
        def __del__(self) -> None:
            while True:
                pass

    Odd()
    Odd()


class Unpicklable:
    """A value that takes more memory to send than to make."""

    def __reduce__(self) -> NoReturn:
        raise MemoryError


def answer_too_much() -> Unpicklable:
    set_budget.current().where = Where(path="a.yaml", line=3)
    return Unpicklable()


@pytest.mark.parametrize(
    ("function", "cpu_sec", "what"),
    [
        ("work_without_end", 1.5, "more than 1.5 s of CPU time"),
        ("take_memory_without_end", 60, "more than 200 MiB of memory"),
        ("answer_too_much", 60, "more than 200 MiB of memory"),
    ],
)
def test_documents_that_take_too_much_time_or_memory_are_refused_with_a_place(
    function: str, cpu_sec: float, what: str
) -> None:
    done = call_with_limits(function, cpu_sec, 200 << 20)

    assert f"a.yaml:3: error: with this, the documents together need {what}" in done.stdout
    assert done.stdout.endswith("[Budget]\nwell\n")


def test_a_finalizer_that_ignores_the_end_of_the_time_is_told_again() -> None:
    done = call_with_limits("work_and_ignore_the_end", 0.2, 200 << 20)

    assert done.stdout.endswith("\nwell\n")


def work_until_the_priority_is_gone() -> tuple[int, int]:
    """Return the nice value at the beginning and in the end, which comes with the limit of CPU time at the latest."""
    first = os.getpriority(os.PRIO_PROCESS, 0)
    while os.getpriority(os.PRIO_PROCESS, 0) == first != 0:
        pass
    return first, os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="root may have a priority")
@pytest.mark.parametrize("nice", [-10, 0])
def test_a_call_that_takes_long_loses_the_priority_of_the_agent_and_the_next_has_it(nice: int) -> None:
    program = f"""
import os, sys
sys.path[:0] = {sys.path!r}
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
from ordain.agent.compile.worker import Worker
os.setpriority(os.PRIO_PROCESS, 0, 0)
os.setpriority(os.PRIO_PROCESS, 0, {nice})
worker = Worker()
print([worker("{__name__}:work_until_the_priority_is_gone") for _ in range(2)])
worker.dismiss()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == f"[({nice}, 0), ({nice}, 0)]\n"


def signal_at(step: int) -> bool:
    """Have the time of a call end at a bytecode of the worker's own functions; return whether it has that many."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename != worker_module.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and signal.getitimer(signal.ITIMER_PROF)[0]:
            count += 1
            if count == step:
                signal.raise_signal(signal.SIGPROF)
        return trace

    sys.settrace(trace)
    try:
        answer = pickle.loads(worker_module._answer(f"{__name__}:work_well", ()))
    finally:
        sys.settrace(None)
    assert answer == "well" or (isinstance(answer, Refused) and "CPU time" in str(answer)), step
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0), step
    return count >= step


def test_a_worker_survives_the_end_of_its_time_at_any_moment() -> None:
    """Also while it puts the answer together, when the time of the call is nearly over."""
    before = signal.signal(signal.SIGPROF, worker_module._end_call)
    try:
        steps = 1
        while signal_at(steps):
            steps += 1
    finally:
        signal.signal(signal.SIGPROF, before)
    assert steps > 10
