"""A private message bus, and a fake systemd1 on it that can fail in ways that a real one cannot be made to."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageType
from dbus_next.message import Message

from ordain.agent.system.systemd.systemd1 import MANAGER, NAME, PATH

PROPERTIES = "org.freedesktop.DBus.Properties"
AWAY_SEC = 0.3
Answer = Callable[["FakeSystemd", Message], list[Message]]


@contextmanager
def private_bus() -> Iterator[str]:
    """Run a dbus-daemon, and yield its address."""
    command = ["dbus-daemon", "--session", "--nofork", "--print-address=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as daemon:
        try:
            assert daemon.stdout is not None
            yield daemon.stdout.readline().strip().partition(",guid=")[0]
        finally:
            daemon.terminate()


class FakeSystemd:
    """A process that answers calls to the manager of systemd1 by ``answers``; ``calls`` is complete after the exit.

    It leaves the bus at the first call of ``leaves_at``, as at a re-execution, and returns `AWAY_SEC` later.

    It is a separate process because a caller with pystemd holds the interpreter while it waits.
    """

    def __init__(self, address: str, answers: dict[str, Answer], *, leaves_at: str = "") -> None:
        self.address = address
        self.answers = answers
        self.calls: list[str] = []
        self._leaves_at = leaves_at
        fork = multiprocessing.get_context("fork")
        self._pipe, self._end = fork.Pipe()
        self._process = fork.Process(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> FakeSystemd:
        self._process.start()
        assert self._pipe.poll(10)
        self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send("enough")
        self.calls = self._pipe.recv()
        self._process.join(10)

    async def _serve(self) -> None:
        enough = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._end.fileno(), enough.set)
        await self._join()
        self._end.send("ready")
        await enough.wait()
        self._end.send(self.calls)

    async def _join(self, after_sec: float = 0.0) -> None:
        await asyncio.sleep(after_sec)
        bus = await MessageBus(bus_address=self.address).connect()
        bus.add_message_handler(lambda message: self._answer(bus, message))
        await bus.request_name(NAME)

    def _answer(self, bus: MessageBus, message: Message) -> bool:
        if message.message_type is not MessageType.METHOD_CALL or message.interface not in (MANAGER, PROPERTIES):
            return False
        member = str(message.member)
        self.calls.append(member)
        if member == self._leaves_at:
            self._leaves_at = ""
            bus.disconnect()  # type: ignore[no-untyped-call]
            self._returning = asyncio.ensure_future(self._join(AWAY_SEC))
            return True
        answer = self.answers.get(member, _done)
        for reply in answer(self, message):
            bus.send(reply)
        return True


def job_removed(number: int, result: str) -> Message:
    job = f"{PATH}/job/{number}"
    return Message.new_signal(PATH, MANAGER, "JobRemoved", "uoss", [number, job, "web.service", result])


def queued(call: Message, number: int) -> Message:
    return Message.new_method_return(call, "o", [f"{PATH}/job/{number}"])


def refused(call: Message, name: str) -> Message:
    return Message.new_error(call, f"{NAME}.{name}", "refused by the fake")


def _done(_: FakeSystemd, call: Message) -> list[Message]:
    return [Message.new_method_return(call)]
