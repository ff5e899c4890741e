"""A process that reads and compiles documents for the agent, and frees all memory when it ends.

    Worker ──function, arguments──▶ python3 -m ordain.agent.compile.worker ──result or exception──▶ Worker

The libraries that read documents need more memory than everything else that an idle agent has loaded, and the heap
stays as large as a compile of a thousand services has made it. If a document makes the compiler crash or hang, only the
worker is affected. The pipe carries pickles: both ends are this program, and nobody else can write to it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ordain.agent.compile.executor import WARM_UP, run_inline
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.errors import Failure
from ordain.agent.system.priority import NORMAL, leave_session, set_nice
from ordain.transforms import set_budget
from ordain.transforms.errors import Refused

LONGEST_SEC = 600
"""The time that one call may take, whatever it waits for; a compile of a thousand services takes one second."""
HURRY_SEC = 2.0
"""The CPU time for which a call has the priority of the agent: documents that take long must not slow down services."""
CPU_SEC = 120
"""The CPU time of one call."""
MEMORY = 1 << 30
"""The private memory of the worker, in bytes (RLIMIT_DATA)."""
_AGAIN_SEC = 1
"""CPU time after which a call that has not ended is told again: Python ignores exceptions in finalizers."""
_END_SEC = 5.0


class Worker:
    """An `Executor` with a process of its own, from `prepare` or the first call to `dismiss`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __call__(self, function: str, /, *arguments: object) -> Any:
        """Call the function in the worker, see `Executor`. This blocks; callers in several threads take turns."""
        with self._lock:
            answer = self._send((function, arguments))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def prepare(self) -> None:
        """Start the process and have it load what a compile needs, unless it runs. A fault is that of the next call."""
        if self._process is None:
            with contextlib.suppress(Failure, Refused, SourceError):
                self(WARM_UP)

    def dismiss(self) -> None:
        """End the process, unless it is at work."""
        if self._lock.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._lock.release()

    def _send(self, call: object) -> object:
        """Return the answer of the worker, which may be an exception. Raises `Failure` if the worker ends."""
        if self._process is None:
            command = [sys.executable, "-P", "-m", "ordain.agent.compile.worker"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        assert self._process.stdout
        try:
            pickle.dump(call, self._process.stdin)
            self._process.stdin.flush()
            answer: object = pickle.load(self._process.stdout)
            return answer
        except (OSError, EOFError, pickle.UnpicklingError):
            status = self._end()
            reason = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            raise Failure(f"the compiler process ended unexpectedly ({reason}); see the journal") from None

    def _end(self) -> int:
        """End the process; return its status, negative for a signal."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin
        assert process.stdout
        with contextlib.suppress(OSError):  # close() flushes, and the process may not read any more
            process.stdin.close()
        process.stdout.close()
        try:
            return process.wait(_END_SEC)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def main() -> int:
    """Answer calls from standard input until it is closed; return the exit status."""
    with contextlib.suppress(OSError):
        # The kernel must kill the worker before the agent, and before any service.
        Path("/proc/self/oom_score_adj").write_text("500")
    leave_session()
    priority = os.getpriority(os.PRIO_PROCESS, 0)  # of the agent when it started this process; at boot it has none
    signal.signal(signal.SIGVTALRM, lambda *_: set_nice(NORMAL))
    limit_memory()
    signal.signal(signal.SIGPROF, _end_call)
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return 0
        signal.alarm(LONGEST_SEC)
        if priority < NORMAL:
            set_nice(priority)
            signal.setitimer(signal.ITIMER_VIRTUAL, HURRY_SEC)
        gc.disable()  # a compile keeps nearly all of its objects until the answer, so collecting on the way is a waste
        answer = _answer(function, arguments)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.alarm(0)
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
        gc.enable()


def limit_memory() -> None:
    """Let allocations of this process beyond `MEMORY` fail."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _answer(function: str, arguments: Sequence[object]) -> bytes:
    """Return the result of the function or its error, as a pickle; a set of documents that needs too much is refused.

    The signal may come at any moment until the timer is stopped, also between the result and that.
    """
    with set_budget.one_set() as budget:
        try:
            try:
                signal.setitimer(signal.ITIMER_PROF, CPU_SEC, _AGAIN_SEC)
                return pickle.dumps(_outcome(function, arguments))
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
        except KeyboardInterrupt:  # from `_end_call`
            needed = f"more than {CPU_SEC} s of CPU time"
        except MemoryError:
            needed = f"more than {MEMORY >> 20:,} MiB of memory"
        signal.setitimer(signal.ITIMER_PROF, 0)
        return pickle.dumps(set_budget.exceeded(budget.where, needed))


def _outcome(function: str, arguments: Sequence[object]) -> object:
    """Return the result of the function, or the error that it reports."""
    try:
        return run_inline(function, *arguments)
    except (Refused, SourceError, Failure) as error:
        return error


def _end_call(_: int, __: FrameType | None) -> NoReturn:
    """End the call that has used `CPU_SEC`.

    The exception is not an `Exception`, so that no code in between takes it for an error of its own.
    """
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
