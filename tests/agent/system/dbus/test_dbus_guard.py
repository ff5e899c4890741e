"""The guard of dbus-next: odd, large and many messages of any user of the bus get a clean error, or none."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import itertools
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageFlag, MessageType
from dbus_next.message import Message
from dbus_next.signature import SignatureTree, Variant

from ordain.agent.daemon.clients.client import BUS_NAME, OBJECT_PATH
from ordain.agent.daemon.clients.document_file import DocumentFile, write_documents
from ordain.agent.daemon.dbus_service import AgentInterface, serve
from ordain.agent.daemon.status.status_publisher import StatusPublisher
from ordain.agent.errors import Denied
from ordain.agent.status import Status
from ordain.agent.system.dbus import dbus_guard
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.dbus.call_limits import CALLS_PER_SEC, IN_FLIGHT, CallLimits
from ordain.agent.system.dbus.dbus_guard import HELD_MAX, SIGNATURES_MAX, GuardedMessageBus, _Frame
from ordain.agent.system.dbus.dbus_next_driver import DbusNext
from ordain.agent.system.dbus.polkit import Question
from support.machines.private_bus import private_bus

PROPERTIES, PEER = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.Peer"
LIMITS_EXCEEDED = "org.freedesktop.DBus.Error.LimitsExceeded"
ROOT, SOMEBODY, SOMEBODY_ELSE = 0, 65534, 1000
ODD: tuple[tuple[str, list[Any]], ...] = (
    ("", []),
    ("s", [""]),
    ("s", ["%n \n\x1b[31m"]),
    ("ss", ["", ""]),
    ("ss", [BUS_NAME, "Nothing"]),
    ("ssv", [BUS_NAME, "State", Variant("s", "paused")]),
    ("ssv", [BUS_NAME, "Nothing", Variant("av", [])]),
    ("u", [4294967295]),
    ("i", [-1]),
    ("ay", [b"\0\xff"]),
    ("av", [[Variant("a{sv}", {"x": Variant("d", float("nan"))})]]),
    ("a(ss)", [[["", ""]]]),
    ("a(ss)a{sv}", [[], {"confirm": Variant("s", "abc")}]),
    ("a(ss)a{sv}", [[], {"\n": Variant("u", 1)}]),
    ("sa{sv}", ["x", {"unmask": Variant("i", -1)}]),
    ("h", [0]),
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with private_bus() as address:
        yield address


class DenyAll:
    """The authority over a caller who is not root, and is allowed nothing."""

    async def is_root(self, sender: str) -> bool:
        return False

    async def demand(self, sender: str, question: Question) -> None:
        raise Denied("no")


class Users:
    """The users of connections; all are `SOMEBODY` but those in ``others``. The bus answers while ``answering``."""

    def __init__(self) -> None:
        self.others: dict[str, int] = {}
        self.asked: list[str] = []
        self.answering = asyncio.Event()
        self.answering.set()

    async def user_of(self, sender: str) -> int:
        self.asked.append(sender)
        await self.answering.wait()
        return self.others.get(sender, SOMEBODY)


class Client:
    """The client of an agent that counts how often it is asked."""

    def __init__(self) -> None:
        self.users = Users()
        self.asked = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def status(self) -> Status:
        self.asked += 1
        await self.answer.wait()
        return Status(agent=True)

    async def explain(self, about: str) -> object:
        raise Denied(about)

    async def confirm(self, **_: object) -> None:
        raise AssertionError("nobody may call it")

    pause = resume = follow = confirm


def agent_and_caller(address: str, test: Callable[[MessageBus, GuardedMessageBus, Client], Awaitable[None]]) -> None:
    async def run() -> None:
        client = Client()
        agent = await GuardedMessageBus(address, limits=CallLimits(client.users.user_of)).connect()
        caller = await MessageBus(bus_address=address).connect()
        status = StatusPublisher(cast(Any, None), Status(agent=True))
        await serve(agent, AgentInterface(cast(Any, client), status, cast(Any, DenyAll())))
        try:
            await test(caller, agent, client)
        finally:
            agent.close()
            caller.disconnect()
            caller._sock.close()

    asyncio.run(run())


def call(member: str, signature: str = "", *body: Any, interface: str = BUS_NAME, **more: Any) -> Message:
    return Message(
        destination=BUS_NAME,
        path=OBJECT_PATH,
        interface=interface,
        member=member,
        signature=signature,
        body=list(body),
        **more,
    )


async def answer(bus: MessageBus, message: Message) -> Message:
    return cast(Message, await asyncio.wait_for(bus.call(message), 5.0))


def descriptors_of(path: Path) -> int:
    return sum(link.exists() and link.samefile(path) for link in Path("/proc/self/fd").iterdir())


def members() -> list[tuple[str, str]]:
    interface = AgentInterface(
        cast(Any, None), StatusPublisher(cast(Any, None), Status(agent=True)), cast(Any, SimpleNamespace())
    )
    ours = [(BUS_NAME, method.name) for method in interface.introspect().methods]
    standard = {PROPERTIES: ("Get", "Set", "GetAll"), "org.freedesktop.DBus.Peer": ("Ping", "GetMachineId")}
    others = {"org.freedesktop.DBus.Introspectable": ("Introspect",), "org.freedesktop.DBus.ObjectManager": ("X",)}
    return [*ours, *((name, member) for name, some in {**standard, **others}.items() for member in some)]


@pytest.mark.parametrize(("interface", "member"), members())
def test_odd_calls_of_every_member_get_a_clean_answer(
    address: str, caplog: pytest.LogCaptureFixture, interface: str, member: str
) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        for signature, body in ODD:
            reply = await answer(caller, call(member, signature, *body, interface=interface))
            assert "Traceback" not in str(reply.body)
            assert 'File "' not in str(reply.body)
            assert "internal" not in str(reply.body).lower()

    agent_and_caller(address, test)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_machine_id_is_answered(address: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machine-id").write_text("0123\n")
    monkeypatch.setattr(dbus_guard, "MACHINE_ID", tmp_path / "machine-id")

    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        reply = await answer(caller, call("GetMachineId", interface="org.freedesktop.DBus.Peer"))
        assert reply.body == ["0123"]

    agent_and_caller(address, test)


def test_a_call_that_only_reads_and_wants_no_reply_is_dropped(address: str) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        for _ in range(10):
            await caller.send(call("Status", flags=MessageFlag.NO_REPLY_EXPECTED))
        await answer(caller, call("Ping", interface="org.freedesktop.DBus.Peer"))
        assert client.asked == 0

    agent_and_caller(address, test)


@asynccontextmanager
async def connections(address: str, count: int) -> AsyncIterator[list[MessageBus]]:
    """Connect to the bus ``count`` times."""
    buses = [await MessageBus(bus_address=address).connect() for _ in range(count)]
    try:
        yield buses
    finally:
        for bus in buses:
            bus.disconnect()
            bus._sock.close()


def test_a_user_has_a_limit_of_calls_over_all_connections_and_others_do_not_feel_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All calls come in the same second, also on a busy host.
    monkeypatch.setattr(dbus_guard, "time", SimpleNamespace(monotonic=lambda: 1000.0))

    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        get = call("Get", "ss", BUS_NAME, "State", interface=PROPERTIES)
        async with connections(address, 12) as buses:
            root, other, *many = buses
            client.users.others = {str(root.unique_name): ROOT, str(other.unique_name): SOMEBODY_ELSE}
            replies = [await answer(many[n % len(many)], get) for n in range(CALLS_PER_SEC + 20)]
            names = [reply.error_name for reply in replies if reply.message_type is MessageType.ERROR]
            assert names == [LIMITS_EXCEEDED] * 20
            for bus in (root, other):
                assert (await answer(bus, call("Status"))).message_type is MessageType.METHOD_RETURN
            for _ in range(CALLS_PER_SEC + 1):
                assert (await answer(root, get)).message_type is MessageType.METHOD_RETURN
            assert len(client.users.asked) == len(buses)  # the bus is asked once for each

    agent_and_caller(address, test)


def test_calls_wait_in_their_order_until_the_bus_says_whose_they_are(address: str) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        client.users.answering.clear()
        first = [asyncio.ensure_future(answer(caller, call("Explain", "s", f"{n}"))) for n in range(IN_FLIGHT)]
        refused = await asyncio.ensure_future(answer(caller, call("Explain", "s", "one more")))  # sent after these
        assert refused.error_name == LIMITS_EXCEEDED
        async with connections(address, HELD_MAX) as buses:
            client.users.others = {str(bus.unique_name): 1000 + n for n, bus in enumerate(buses)}
            waiting = [asyncio.ensure_future(answer(bus, call("Ping", interface=PEER))) for bus in buses]
            refused_ones = [await task for task in itertools.islice(asyncio.as_completed(waiting), IN_FLIGHT)]
            assert {reply.error_name for reply in refused_ones} == {LIMITS_EXCEEDED}
            client.users.answering.set()
            replies = await asyncio.gather(*waiting)
            assert sum(reply.message_type is MessageType.METHOD_RETURN for reply in replies) == HELD_MAX - IN_FLIGHT
        assert [(await task).body[0].partition("\n")[0] for task in first] == [f"{n}" for n in range(IN_FLIGHT)]
        assert not agent._held

    agent_and_caller(address, test)


def test_calls_of_a_connection_that_has_gone_are_dropped(address: str) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        async def user_of(sender: str) -> int:
            raise Denied("the caller has disconnected")

        assert agent._limits
        agent._limits._user_of = user_of
        reply = await answer(caller, call("Status"))
        assert (reply.error_name, client.asked) == (LIMITS_EXCEEDED, 0)
        assert "the caller has disconnected" in reply.body[0]
        assert not agent._held

    agent_and_caller(address, test)


def test_signatures_are_not_kept_for_ever(address: str) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        options = {f"x{n}": Variant(f"a({'su' * (n % 40 + 1)}{'y' * (n // 40 + 1)})", []) for n in range(1000)}
        SignatureTree._cache.clear()
        await answer(caller, call("Apply", "a(ss)a{sv}", [], options))
        assert len(SignatureTree._cache) <= SIGNATURES_MAX + 5

    agent_and_caller(address, test)


def test_the_body_of_an_unknown_signature_is_not_decoded(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        bodies: list[str] = []
        decode = _Frame.body

        def record(frame: _Frame, head: Message) -> list[Any]:
            bodies.append(head.signature)
            return decode(frame, head)

        monkeypatch.setattr(_Frame, "body", record)
        reply = await answer(caller, call("Status", "av", [Variant("s", "x")]))
        assert reply.error_name == "org.freedesktop.DBus.Error.UnknownMethod"
        assert "av" not in bodies

    agent_and_caller(address, test)


def test_a_large_call_is_refused_and_not_kept(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        kept: list[int] = []
        receive = agent._receive

        def record(frame: _Frame) -> None:
            kept.append(len(frame.buf))
            receive(frame)

        monkeypatch.setattr(agent, "_receive", record)
        reply = await answer(caller, call("Plan", "a(ss)", [["a", "x" * (3 << 20)]]))
        assert reply.error_name == LIMITS_EXCEEDED
        assert "ApplyFile" in reply.body[0]
        assert max(kept) < 1000
        assert (await answer(caller, call("Status"))).message_type is MessageType.METHOD_RETURN

    agent_and_caller(address, test)


def test_a_user_has_a_limit_of_calls_without_an_answer(address: str) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        client.answer.clear()
        async with connections(address, IN_FLIGHT + 2) as (refused, other, *many):
            client.users.others = {str(other.unique_name): SOMEBODY_ELSE}
            waiting = [asyncio.ensure_future(answer(bus, call("Status"))) for bus in (*many, other)]
            await asyncio.wait(waiting, timeout=0.3)
            reply = await answer(refused, call("Status"))
            assert reply.error_name == LIMITS_EXCEEDED
            assert not any(task.done() for task in waiting)
            client.answer.set()
            await asyncio.wait(waiting)
        assert {reply.message_type for reply in await asyncio.gather(*waiting)} == {MessageType.METHOD_RETURN}
        assert (await answer(caller, call("Status"))).message_type is MessageType.METHOD_RETURN
        assert client.asked <= 3  # one that ran, one for all who asked meanwhile, one for the last

    agent_and_caller(address, test)


def test_descriptors_of_calls_are_closed(address: str, tmp_path: Path) -> None:
    passed = tmp_path / "passed"

    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        gc.disable()  # they are closed at once
        sender = await DbusNext.open(address)
        descriptor = os.open(passed, os.O_RDONLY | os.O_CREAT)
        try:
            for member, signature, body in (
                ("PlanFile", "a(st)h", ([], 0)),
                ("PlanFile", "a(st)h", ([], 7)),
                ("Apply", "a(ss)a{sv}", ([], {"x": Variant("h", 0)})),
                ("Nothing", "h", (0,)),
            ):
                with pytest.raises(BusError):
                    await sender.call(
                        BUS_NAME, OBJECT_PATH, BUS_NAME, member, signature, *body, descriptors=[descriptor] * 3
                    )
            await answer(caller, call("Status"))
            assert descriptors_of(passed) == 1
        finally:
            gc.enable()
            os.close(descriptor)
            sender.close()

    agent_and_caller(address, test)


def test_calls_in_flight_keep_no_descriptors_that_they_do_not_use(address: str, tmp_path: Path) -> None:
    """With 16 each, the calls in flight of all users would use up the 1,024 descriptors of a service."""
    passed = tmp_path / "passed"

    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        client.answer.clear()
        sender = await DbusNext.open(address)
        descriptor = os.open(passed, os.O_RDONLY | os.O_CREAT)
        try:
            waiting = [
                asyncio.ensure_future(
                    sender.call(BUS_NAME, OBJECT_PATH, BUS_NAME, "Status", descriptors=[descriptor] * 16)
                )
                for _ in range(IN_FLIGHT)
            ]
            assert agent._limits
            async with asyncio.timeout(20):
                while agent._limits.in_flight.total() < IN_FLIGHT:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            assert descriptors_of(passed) == 1
            client.answer.set()
            await asyncio.gather(*waiting)
        finally:
            os.close(descriptor)
            sender.close()

    agent_and_caller(address, test)


def test_large_files_of_users_are_read_one_after_the_other(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    running = [0, 0]

    def sha256(file: DocumentFile) -> str:
        running[0] += 1
        running[1] = max(running)
        time.sleep(0.05)
        running[0] -= 1
        return "x"

    monkeypatch.setattr(DocumentFile, "sha256", sha256)

    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        sender = await DbusNext.open(address)
        sizes, file = write_documents([("a", b"x")])
        with file:
            answers = await asyncio.gather(
                *(
                    sender.call(
                        BUS_NAME, OBJECT_PATH, BUS_NAME, "PlanFile", "a(st)h", sizes, 0, descriptors=[file.fileno()]
                    )
                    for _ in range(4)
                ),
                return_exceptions=True,
            )
        sender.close()
        assert [str(answer) for answer in answers] == ["no [org.ordain.Error.Denied]"] * 4
        assert running == [0, 1]

    agent_and_caller(address, test)


def test_unknown_header_fields_and_types_are_ignored() -> None:
    message = call("Status", serial=7)
    data = bytearray(message._marshall())
    at = data.index(b"\x03\x01s\0")  # the field MEMBER
    extra = b"\xc8\x01s\0\x01\0\0\0x\0\0\0\0\0\0\0"
    data[at:at] = extra
    data[12:16] = (int.from_bytes(data[12:16], "little") + len(extra)).to_bytes(4, "little")

    frame = _Frame(io.BytesIO(bytes(data)))
    assert frame.is_complete()
    assert cast(Message, frame.head()).member == "Status"

    data[1] = 5
    frame = _Frame(io.BytesIO(bytes(data)))
    assert frame.is_complete()
    assert frame.head() is None


def test_a_message_that_cannot_be_decoded_does_not_end_the_connection(address: str) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        data = bytearray(call("Explain", "s", "abcd", serial=9)._marshall())
        data[-9:-5] = (1 << 30).to_bytes(4, "little")
        frame = _Frame(io.BytesIO(bytes(data)))
        assert frame.is_complete()
        agent._receive(frame)
        assert (await answer(caller, call("Status"))).message_type is MessageType.METHOD_RETURN

    agent_and_caller(address, test)


def test_calls_that_cannot_be_decoded_do_not_count_as_unanswered(address: str) -> None:
    """A bus does not check the number of a descriptor in a call, and dbus-broker does not check bodies at all."""

    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        for _ in range(IN_FLIGHT + 1):
            reply = await answer(caller, call("PlanFile", "a(st)h", [], 7))
            assert reply.error_name == "org.freedesktop.DBus.Error.InvalidArgs"
        assert agent._limits
        assert agent._limits.in_flight.total() == 0
        assert (await answer(caller, call("Status"))).message_type is MessageType.METHOD_RETURN

    agent_and_caller(address, test)


@pytest.mark.parametrize("size", [3, 200, 1 << 30])
def test_a_wrong_length_in_a_body_does_not_reach_into_the_next_message(size: int) -> None:
    first = bytearray(call("Explain", "s", "abcd", serial=9)._marshall())
    first[-9:-5] = size.to_bytes(4, "little")
    stream = io.BytesIO(bytes(first) + call("Status", serial=10)._marshall())

    frame = _Frame(stream)
    assert frame.is_complete()
    with contextlib.suppress(Exception):
        frame.body(cast(Message, frame.head()))

    following = _Frame(stream)
    assert following.is_complete()
    assert cast(Message, following.head()).member == "Status"


def test_a_call_without_the_body_of_its_signature_cannot_be_decoded(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(caller: MessageBus, agent: GuardedMessageBus, client: Client) -> None:
        data = bytearray(call("Unhold", "s", "", serial=9)._marshall())
        data[4:8] = bytes(4)
        frame = _Frame(io.BytesIO(bytes(data[:-5])))
        assert frame.is_complete()
        agent._receive(frame)
        assert (await answer(caller, call("Status"))).message_type is MessageType.METHOD_RETURN

    agent_and_caller(address, test)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
