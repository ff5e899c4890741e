"""Tests in several processes that are forked when the tests are collected: `pytest --forks 4`.

Each worker of pytest-xdist imports and collects all tests itself, which was a third of the CPU time of the unit suite.

    queue of chunks ─▶ worker: runs the tests of a chunk ─reports▶ this process: the terminal, as without workers
"""

from __future__ import annotations

import gc
import os
import struct
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

import pytest

CHUNK = 10
"""A worker takes so many tests of one module at a time, which share what it has set up; or a whole group."""
_INDEX = struct.Struct("=I")


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in as many processes as ``--forks`` says; without it, leave them to pytest."""
    count: int = session.config.option.forks
    if not count or session.config.option.collectonly or session.testsfailed:
        return None
    session.config.option.forks = 0
    chunks = list(_chunks(session.items))
    queue = _queue(chunks)
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # before the fork: all have the same
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # a collection in a worker would copy the pages that all share
    readers: dict[Connection[Any, Any], int] = {}
    for number in range(count):
        reader, writer = Pipe(duplex=False)
        process = os.fork()
        if process == 0:
            _work(session, number, chunks, queue, writer, [*readers, reader])
        writer.close()
        readers[reader] = process
    os.close(queue)
    try:
        _report(session, readers)
    finally:
        for reader in readers:
            reader.close()  # a worker that is not done ends when it reports
        for process in readers.values():
            os.waitpid(process, 0)
    return True


def _chunks(items: Sequence[pytest.Item]) -> Iterator[list[int]]:
    """Yield the numbers of the tests of each chunk, in the order of ``items``."""
    chunk: list[int] = []
    for number, item in enumerate(items):
        first = items[chunk[0]] if chunk else item
        is_full = len(chunk) >= CHUNK and not (_group(item) and _group(item) == _group(first))
        if chunk and (is_full or first.path != item.path or _is_slow(first)):
            yield chunk
            chunk = []
        chunk.append(number)
    if chunk:
        yield chunk


def _group(item: pytest.Item) -> str:
    """Return the group of the mark ``xdist_group``, whose tests one worker runs; "" if there is none."""
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else ""


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _queue(chunks: Sequence[Sequence[int]]) -> int:
    """Return a pipe with the number of each chunk, from which each worker reads one at a time."""
    source, sink = os.pipe()
    os.set_blocking(sink, False)  # a pipe has 64 KiB; more chunks would wait for ever
    os.write(sink, b"".join(map(_INDEX.pack, range(len(chunks)))))
    os.close(sink)
    return source


def _next_chunk(chunks: Sequence[list[int]], queue: int) -> list[int]:
    """Return the tests of the next chunk; none when all are taken."""
    data = os.read(queue, _INDEX.size)
    return chunks[_INDEX.unpack(data)[0]] if data else []


class _Sender:
    """A plugin of a worker: passes reports and warnings on to the process that has the terminal."""

    def __init__(self, config: pytest.Config, writer: Connection[Any, Any]) -> None:
        self._config = config
        self._writer = writer

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._writer.send(("report", data))

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage, when: str, nodeid: str) -> None:
        place = (warning_message.filename, warning_message.lineno)
        self._writer.send(("warning", (str(warning_message.message), warning_message.category, *place, when, nodeid)))


def _work(
    session: pytest.Session,
    number: int,
    chunks: Sequence[list[int]],
    queue: int,
    writer: Connection[Any, Any],
    others: Sequence[Connection[Any, Any]],
) -> None:
    """Be worker ``number``: run chunks until none is left, and end the process."""
    status = 1
    try:
        for other in others:
            other.close()
        _be_worker(session.config, number, writer)
        items = _next_chunk(chunks, queue)
        while items:
            later = []
            for position, index in enumerate(items):
                if position == len(items) - 1:
                    later = _next_chunk(chunks, queue)
                following = (*items[position + 1 :], *later)
                writer.send(("start", index))
                session.config.hook.pytest_runtest_protocol(
                    item=session.items[index], nextitem=session.items[following[0]] if following else None
                )
                writer.send(("end", index))
            items = later
        status = 0
    except BrokenPipeError:
        pass  # the run was ended
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _be_worker(config: pytest.Config, number: int, writer: Connection[Any, Any]) -> None:
    """Give this process its own output files, temporary directory and name, and no terminal."""
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture()
    name = f"gw{number}"
    os.environ["PYTEST_XDIST_WORKER"] = name  # other plugins know a worker by it
    factory = config._tmp_path_factory  # type: ignore[attr-defined]
    factory._basetemp = factory.getbasetemp() / name
    factory._basetemp.mkdir()
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(_Sender(config, writer))


def _report(session: pytest.Session, readers: dict[Connection[Any, Any], int]) -> None:
    """Pass on what the workers send, until all have ended; report tests without an end as failed."""
    hook = session.config.hook
    if terminal := session.config.pluginmanager.getplugin("terminalreporter"):
        terminal.showfspath = False  # the tests of several modules run at the same time
    unfinished = dict(enumerate(session.items))
    running: dict[Any, int] = {}
    while open_readers := [reader for reader in readers if not reader.closed]:
        for reader in wait(open_readers):
            assert isinstance(reader, Connection)
            try:
                what, value = reader.recv()
            except EOFError:
                reader.close()
                if reader in running:
                    _report_lost(session, unfinished.pop(running[reader]), "the worker ended while it ran this test")
                continue
            if what == "start":
                running[reader] = value
                hook.pytest_runtest_logstart(nodeid=session.items[value].nodeid, location=session.items[value].location)
            elif what == "end":
                del running[reader], unfinished[value]
                hook.pytest_runtest_logfinish(
                    nodeid=session.items[value].nodeid, location=session.items[value].location
                )
            elif what == "warning":
                _pass_on_warning(session.config, *value)
            else:
                report = hook.pytest_report_from_serializable(config=session.config, data=value)
                hook.pytest_runtest_logreport(report=report)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
    for item in unfinished.values():
        _report_lost(session, item, "no worker was left to run this test")


def _report_lost(session: pytest.Session, item: pytest.Item, reason: str) -> None:
    report = pytest.TestReport(item.nodeid, item.location, {}, "failed", reason, "call")
    session.config.hook.pytest_runtest_logreport(report=report)


def _pass_on_warning(
    config: pytest.Config, text: str, category: type[Warning], filename: str, lineno: int, when: str, nodeid: str
) -> None:
    message = warnings.WarningMessage(category(text), category, filename, lineno)
    config.hook.pytest_warning_recorded.call_historic(
        kwargs={"warning_message": message, "nodeid": nodeid, "when": when, "location": None}
    )
