"""Reads and compiles documents in a process of its own, whose memory goes with it; effect.

    Worker ─function, arguments─▶ python3 -m ordain.agent.compile.worker ─result, or what it raised─▶ Worker

The libraries that read documents weigh more than all that an agent needs while it waits, and what a thousand services
leave in a heap stays there. And what documents do to a compiler, by malice or by a bug of ours, ends in its process.
The pipe carries pickles: both ends are this very program, and nobody else can write to it.
"""

from __future__ import annotations

import contextlib
import gc
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from ordain.agent.compile.executor import run_inline
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.errors import Failure
from ordain.transforms.errors import Refused

LONGEST_SEC = 600
"""For one compile; a thousand services take one second."""
_END_SEC = 5.0


class Worker:
    """An `Executor`. The process starts when it is needed, and stays until it is dismissed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __call__(self, function: str, /, *arguments: object) -> Any:
        """See `Executor`. Blocks; callers in several threads take turns."""
        with self._lock:
            answer = self._ask((function, arguments))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def dismiss(self) -> None:
        """End the process, unless it has something to do."""
        if self._lock.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._lock.release()

    def _ask(self, question: object) -> object:
        if self._process is None:
            command = [sys.executable, "-P", "-m", "ordain.agent.compile.worker"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        assert self._process.stdout
        try:
            pickle.dump(question, self._process.stdin)
            self._process.stdin.flush()
            answer: object = pickle.load(self._process.stdout)
            return answer
        except (OSError, EOFError, pickle.UnpicklingError):
            status = self._end()
            how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            raise Failure(f"what reads the documents has ended ({how}); the journal may tell more") from None

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin
        assert process.stdout
        with contextlib.suppress(OSError):  # what it did not take any more
            process.stdin.close()
        process.stdout.close()
        try:
            return process.wait(_END_SEC)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def main() -> int:
    """Answer what is asked on standard input until there is no more. Returns the exit status."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0")  # rather us than the agent
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return 0
        signal.alarm(LONGEST_SEC)
        gc.disable()  # nearly all that is made stays until the answer; what does not goes after it
        try:
            answer: object = run_inline(function, *arguments)
        except (Refused, SourceError, Failure) as error:
            answer = error
        signal.alarm(0)
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
