"""PID 1 at its own socket: calls, signals, and a re-execution in the middle, with a fake and a bus beside it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from dbus_next.message import Message
from dbus_next.signature import Variant

from ordain.agent.errors import Unavailable
from ordain.agent.model import Verb
from ordain.agent.system.dbus.bus import DBUS, DBUS_PATH
from ordain.agent.system.dbus.dbus_next_driver import DbusNext
from ordain.agent.system.systemd import manager_socket
from ordain.agent.system.systemd.manager_socket import ManagerSocket
from ordain.agent.system.systemd.systemd1 import MANAGER, NAME, PATH, UNIT, Systemd, unit_path
from support.machines.private_bus import PROPERTIES, job_removed, private_bus, queued
from support.machines.private_socket import FakeManager, fake_manager

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the fake expects root")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with private_bus() as address:
        yield address


def restarted(call: Message) -> Sequence[Message]:
    if call.member == "RestartUnit":
        return [job_removed(6, "failed"), queued(call, 7), job_removed(7, "done")]
    return [Message.new_method_return(call)]


def with_pid_1(
    address: str,
    tmp_path: Path,
    test: Callable[[Systemd, FakeManager], Awaitable[None]],
    answers: Callable[[Message], Sequence[Message]] = restarted,
) -> None:
    async def run() -> None:
        async with fake_manager(tmp_path / "private", answers) as fake:
            bus = await ManagerSocket.open(await DbusNext.open(address), f"unix:path={tmp_path}/private")
            try:
                await asyncio.wait_for(test(await Systemd.open(bus), fake), 30)
            finally:
                bus.close()

    asyncio.run(run())


async def restart(systemd: Systemd) -> str:
    return await systemd.wait(await systemd.queue(Verb.RESTART, "web.service"), 5.0)


def test_calls_and_results_of_jobs_pass_no_bus(address: str, tmp_path: Path) -> None:
    async def test(systemd: Systemd, fake: FakeManager) -> None:
        assert await restart(systemd) == "done"  # nobody owns systemd1 on the bus
        assert fake.calls == ["Subscribe", "RestartUnit"]

    with_pid_1(address, tmp_path, test)


def test_the_bus_is_asked_for_everything_else(address: str, tmp_path: Path) -> None:
    async def test(systemd: Systemd, fake: FakeManager) -> None:
        assert await systemd.bus.call(DBUS, DBUS_PATH, DBUS, "NameHasOwner", "s", DBUS)
        assert fake.calls == ["Subscribe"]

    with_pid_1(address, tmp_path, test)


def test_a_signal_of_another_process_on_the_bus_does_not_count(address: str, tmp_path: Path) -> None:
    async def test(systemd: Systemd, fake: FakeManager) -> None:
        bus = systemd.bus._bus._bus  # type: ignore[attr-defined]
        forger = await DbusNext.open(address)
        forged = job_removed(7, "failed")
        forged.destination = bus.connection.unique_name
        await forger.connection.request_name(NAME)  # even one that has the name
        await forger.connection.send(forged)
        await forger.call(DBUS, DBUS_PATH, DBUS, "GetId")
        try:
            assert await restart(systemd) == "done"
        finally:
            forger.close()

    with_pid_1(address, tmp_path, test)


def test_only_signals_that_somebody_listens_for_are_decoded(address: str, tmp_path: Path) -> None:
    async def test(systemd: Systemd, fake: FakeManager) -> None:
        changed: list[str] = []
        reloads: list[bool] = []
        await systemd.watch(
            reloads=lambda: reloads.append(True), reloaded=lambda: reloads.append(False), changed=changed.append
        )
        decoded: list[str] = []
        connection = systemd.bus._bus._socket.connection  # type: ignore[attr-defined]
        connection.add_message_handler(lambda message: decoded.append(str(message.member)))
        path = unit_path("web.service")
        for interface in (f"{NAME}.Service", UNIT):
            fake.send(Message.new_signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, {}, []]))
        fake.send(Message.new_signal(PATH, MANAGER, "UnitNew", "so", ["web.service", path]))
        fake.send(Message.new_signal(PATH, MANAGER, "Reloading", "b", [True]))
        await restart(systemd)
        assert (changed, reloads) == (["web.service"], [True])
        assert set(decoded) == {"PropertiesChanged", "Reloading", "JobRemoved", "None"}
        assert decoded.count("PropertiesChanged") == 1

    with_pid_1(address, tmp_path, test)


def test_a_re_execution_is_waited_for_and_counts_as_a_reload(address: str, tmp_path: Path) -> None:
    left = asyncio.Event()

    def leaving(call: Message) -> Sequence[Message]:
        if call.member == "Reload" and not left.is_set():
            left.set()
            return []
        return [Message.new_method_return(call)]

    async def test(systemd: Systemd, fake: FakeManager) -> None:
        reloaded = asyncio.Event()
        await systemd.watch(reloads=lambda: None, reloaded=reloaded.set, changed=lambda _: None)
        # The name on the bus has an owner again before the socket is there.
        owner = await DbusNext.open(address)
        await owner.connection.request_name(NAME)
        reload = asyncio.ensure_future(systemd.reload())
        await left.wait()
        await fake.leave()
        await asyncio.sleep(0.3)
        assert not reload.done()
        await fake.listen()
        await reload
        await reloaded.wait()
        assert fake.calls == ["Subscribe", "Reload", "Reload"]
        fake.send(Message.new_signal(PATH, MANAGER, "Reloading", "b", [False]))
        reloaded.clear()
        await reloaded.wait()  # the listeners are at the new connection
        owner.close()

    with_pid_1(address, tmp_path, test, leaving)


def test_without_the_socket_pid_1_is_called_over_the_bus(address: str, tmp_path: Path) -> None:
    async def test() -> None:
        bus = await DbusNext.open(address)
        try:
            assert await ManagerSocket.open(bus, f"unix:path={tmp_path}/private") is bus
        finally:
            bus.close()

    asyncio.run(test())


def test_a_pid_1_that_does_not_return_is_unavailable(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_socket, "RETURN_SEC", 0.2)

    async def test(systemd: Systemd, fake: FakeManager) -> None:
        socket = systemd.bus._bus  # type: ignore[attr-defined]
        await fake.leave()
        await socket._socket.wait_for_disconnect()
        with pytest.raises(Unavailable, match="PID 1 has not listened"):
            await socket.call(NAME, PATH, MANAGER, "Reload")

    with_pid_1(address, tmp_path, test)


def test_a_peer_that_ends_the_authentication_is_an_error(tmp_path: Path) -> None:
    async def test() -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_unix_server(refuse, tmp_path / "private")
        with pytest.raises(Unavailable):
            await asyncio.wait_for(DbusNext.open_peer(f"unix:path={tmp_path}/private"), 5)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(DbusNext.open(f"unix:path={tmp_path}/private"), 5)
        server.close()

    asyncio.run(test())


def test_a_property_is_read_with_its_type(address: str, tmp_path: Path) -> None:
    def answers(call: Message) -> Sequence[Message]:
        body = [Variant("s", "stopping")] if call.member == "Get" else []
        return [Message.new_method_return(call, "v" if body else "", body)]

    async def test(systemd: Systemd, fake: FakeManager) -> None:
        assert await systemd.stopping()

    with_pid_1(address, tmp_path, test, answers)
