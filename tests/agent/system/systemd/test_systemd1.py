"""Failures of systemd1 that a real one cannot be made to show: a fake on a private bus, with both drivers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from dbus_next.message import Message
from dbus_next.signature import Variant as DbusVariant

from ordain.agent.errors import Unavailable
from ordain.agent.model import Verb
from ordain.agent.system.dbus import bus
from ordain.agent.system.dbus.bus import DBUS, DBUS_PATH, SYSTEM_BUS, BusError, Variant, no_connection
from ordain.agent.system.dbus.dbus_next_driver import DbusNext
from ordain.agent.system.dbus.pystemd_driver import Pystemd
from ordain.agent.system.systemd import manager_bus, systemd1
from ordain.agent.system.systemd.systemd1 import PATH, Systemd
from support.machines.private_bus import Answer, FakeSystemd, job_removed, private_bus, queued, refused

Question = Callable[[Systemd], Awaitable[object]]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with private_bus() as address:
        yield address


@pytest.fixture(params=["dbus-next", "pystemd"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(
    address: str, driver: str, answers: dict[str, Answer], question: Question, leaves_at: str = ""
) -> tuple[object, list[str]]:
    """Return the result of the question, and the calls that it made."""

    async def asked() -> object:
        bus = await DbusNext.open(address) if driver == "dbus-next" else Pystemd(address)
        try:
            return await question(await Systemd.open(bus))
        finally:
            bus.close()

    with FakeSystemd(address, answers, leaves_at=leaves_at) as fake:
        result = asyncio.run(asked())
    return result, fake.calls


async def restart(systemd: Systemd) -> str:
    return await systemd.wait(await systemd.queue(Verb.RESTART, "web.service"), 5.0)


def test_the_result_of_a_job_is_received(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [queued(call, 7), job_removed(7, "failed")]}

    assert ask(address, driver, answers, restart)[0] == "failed"


def test_the_result_of_a_job_may_arrive_before_the_reply_that_names_the_job(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [job_removed(7, "done"), queued(call, 7)]}

    assert ask(address, driver, answers, restart)[0] == "done"


def test_the_result_of_another_job_is_ignored(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {
        "RestartUnit": lambda _, call: [job_removed(6, "canceled"), queued(call, 7), job_removed(7, "done")]
    }

    assert ask(address, driver, answers, restart)[0] == "done"


def test_only_the_owner_of_systemd1_reports_the_result_of_a_job(address: str, driver: str) -> None:
    async def restart_while_forged(systemd: Systemd) -> object:
        systemd._awaited += 1  # results are kept while a job is pending
        forger = await DbusNext.open(address)
        try:
            broadcast, addressed = job_removed(7, "failed"), job_removed(7, "failed")
            addressed.destination = _unique_name(systemd)
            await forger.connection.send(broadcast)
            await forger.connection.send(addressed)
            await forger.call(DBUS, DBUS_PATH, DBUS, "GetId")  # the bus has passed on both signals
            return await restart(systemd)
        finally:
            forger.close()

    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [queued(call, 7), job_removed(7, "done")]}

    assert ask(address, driver, answers, restart_while_forged)[0] == "done"


def test_a_new_owner_of_systemd1_is_believed(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [queued(call, 7), job_removed(7, "done")]}

    async def test() -> tuple[str, str]:
        bus = await DbusNext.open(address) if driver == "dbus-next" else Pystemd(address)
        try:
            with FakeSystemd(address, answers):
                systemd = await Systemd.open(bus)
                before = await restart(systemd)
            with FakeSystemd(address, answers):
                return before, await restart(systemd)
        finally:
            bus.close()

    assert asyncio.run(test()) == ("done", "done")


def _unique_name(systemd: Systemd) -> str:
    bus = cast(Any, systemd.bus)._bus
    return str(bus.connection.unique_name if isinstance(bus, DbusNext) else bus._connection.get_unique_name().decode())


def properties(**values: DbusVariant) -> Answer:
    """Return the answer to a read of these properties."""
    return lambda _, call: [Message.new_method_return(call, "v", [values[call.body[1]]])]


def test_a_reload_is_repeated_once_pid_1_has_executed_itself_again(address: str, driver: str) -> None:
    calls = ask(address, driver, {}, lambda systemd: systemd.reload(), leaves_at="Reload")[1]

    assert calls == ["Subscribe", "Reload", "Reload"]


@pytest.mark.parametrize(
    ("job", "invocation", "restarts", "result"),
    [
        ((7, f"{PATH}/job/7"), "aa", 1, "done"),
        ((0, "/"), "bb", 1, ""),
        ((0, "/"), "aa", 2, "done"),
    ],
    ids=["queued", "done", "neither"],
)
def test_a_restart_that_pid_1_has_queued_or_done_before_it_executed_itself_is_not_repeated(
    address: str, driver: str, job: tuple[int, str], invocation: str, restarts: int, result: str
) -> None:
    unit = ["web.service", "", "loaded", "active", "running", "", "/u", 0, "", "/"]
    answers: dict[str, Answer] = {
        "RestartUnit": lambda _, call: [queued(call, 7), job_removed(7, "done")],
        "ListUnitsByNames": lambda _, call: [Message.new_method_return(call, "a(ssssssouso)", [[unit]])],
        "Get": properties(Job=DbusVariant("(uo)", [*job]), InvocationID=DbusVariant("ay", bytes.fromhex(invocation))),
        "GetJob": lambda _, call: [job_removed(7, "done"), queued(call, 7)],
    }

    async def restart_known(systemd: Systemd) -> str:
        return await systemd.wait(await systemd.queue(Verb.RESTART, "web.service", invocation="aa"), 8.0)

    answer, calls = ask(address, driver, answers, restart_known, leaves_at="RestartUnit")

    assert (calls.count("RestartUnit"), answer) == (restarts, result)


def test_an_error_of_pid_1_that_is_not_about_its_connection_is_not_repeated(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"Reload": lambda _, call: [refused(call, "NoSuchUnit")]}

    async def reload(systemd: Systemd) -> str:
        with pytest.raises(BusError):
            await systemd.reload()
        return ""

    assert ask(address, driver, answers, reload)[1].count("Reload") == 1


def test_a_lost_result_is_noticed_because_the_job_no_longer_exists(
    address: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd1, "POLL_SEC", 0.2)
    answers: dict[str, Answer] = {
        "RestartUnit": lambda _, call: [queued(call, 7)],
        "GetJob": lambda _, call: [refused(call, "NoSuchJob")],
    }

    assert ask(address, driver, answers, restart)[0] == ""


def test_the_wait_for_a_job_ends_at_its_deadline(address: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd1, "POLL_SEC", 0.2)
    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [queued(call, 7)]}

    async def impatient(systemd: Systemd) -> str:
        return await systemd.wait(await systemd.queue(Verb.RESTART, "web.service"), 0.5)

    assert ask(address, driver, answers, impatient)[0] == "deadline"


def test_an_error_of_pid_1_is_raised_with_its_message(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [refused(call, "UnitMasked")]}

    with pytest.raises(BusError, match="refused by the fake"):
        ask(address, driver, answers, restart)


def test_a_reload_over_the_rate_limit_is_repeated(address: str, driver: str) -> None:
    def limited(fake: FakeSystemd, call: Message) -> list[Message]:
        first = fake.calls.count("Reload") == 1
        return [refused(call, "LimitsExceeded") if first else Message.new_method_return(call)]

    calls = ask(address, driver, {"Reload": limited}, lambda systemd: systemd.reload())[1]

    assert calls.count("Reload") == 2


def test_a_transient_unit_arrives_with_its_properties(address: str, driver: str) -> None:
    def check(_: FakeSystemd, call: Message) -> list[Message]:
        unit, mode, properties, others = call.body
        seen = {name: (variant.signature, variant.value) for name, variant in properties}
        as_sent = (unit, mode, others) == ("probe.service", "replace", []) and seen == {
            "Type": ("s", "oneshot"),
            "TimeoutStartUSec": ("t", 5),
            "DynamicUser": ("b", True),
            "ExecStart": ("a(sasb)", [["/bin/true", ["/bin/true", "ü x", ""], False]]),
            "Environment": ("as", []),
        }
        return [queued(call, 7), job_removed(7, "done")] if as_sent else [refused(call, f"Not {call.body}")]

    properties = {
        "Type": Variant("s", "oneshot"),
        "TimeoutStartUSec": Variant("t", 5),
        "DynamicUser": Variant("b", True),
        "ExecStart": Variant("a(sasb)", [("/bin/true", ("/bin/true", "ü x", ""), False)]),
        "Environment": Variant("as", []),
    }

    async def start(systemd: Systemd) -> str:
        return await systemd.wait(await systemd.queue_transient("probe.service", properties), 5.0)

    assert ask(address, driver, {"StartTransientUnit": check}, start)[0] == "done"


def test_an_existing_subscription_is_not_an_error(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"Subscribe": lambda _, call: [refused(call, "AlreadySubscribed")]}

    async def nothing(systemd: Systemd) -> None: ...

    assert ask(address, driver, answers, nothing)[1] == ["Subscribe"]


def test_both_drivers_return_plain_values(address: str, driver: str) -> None:
    async def names(systemd: Systemd) -> object:
        return await systemd.bus.call(DBUS, DBUS_PATH, DBUS, "ListNames")

    listed = ask(address, driver, {}, names)[0]

    assert isinstance(listed, list)
    assert {"org.freedesktop.DBus", systemd1.NAME} <= set(listed)


@pytest.mark.thorough
def test_thousands_of_calls_at_once_are_answered(address: str) -> None:
    """Send more calls than the bus can buffer, and more than it allows one connection at once."""

    async def all_of_them(systemd: Systemd) -> int:
        asked = [
            systemd.bus.call(DBUS, DBUS_PATH, DBUS, "NameHasOwner", "s", f"org.example.{'x' * 200}{number}")
            for number in range(5000)
        ]
        return len([owned for owned in await asyncio.gather(*asked) if owned is False])

    assert ask(address, "dbus-next", {}, all_of_them)[0] == 5000


def test_a_missing_bus_is_a_readable_error_and_leaves_no_socket(driver: str) -> None:
    async def opened() -> object:
        nowhere = "unix:path=/nonexistent/bus"
        return await DbusNext.open(nowhere) if driver == "dbus-next" else Pystemd(nowhere)

    with pytest.raises(Unavailable, match="cannot connect to the message bus"):
        asyncio.run(opened())
    gc.collect()  # an open socket is an error in this test


def test_without_the_system_bus_the_command_that_starts_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bus, "RUNS_SYSTEMD", tmp_path)
    assert str(no_connection(SYSTEM_BUS, "refused")) == (
        "cannot connect to the message bus: refused; `systemctl start dbus.socket` starts it, also in rescue mode"
    )
    assert str(no_connection("unix:path=/run/x", "y")) == "cannot connect to the message bus: y"


def test_without_systemd_a_missing_bus_is_explained_by_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bus, "RUNS_SYSTEMD", tmp_path / "missing")

    assert "systemd does not run here" in str(no_connection(SYSTEM_BUS, "refused"))


def test_a_call_without_an_answer_times_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use only dbus-next: for pystemd, libsystemd has a timeout of its own."""
    monkeypatch.setattr(manager_bus, "ANSWER_SEC", 0.3)
    answers: dict[str, Answer] = {"GetJob": lambda _, call: []}

    async def impatient(systemd: Systemd) -> None:
        await systemd.bus.call(systemd1.NAME, systemd1.PATH, systemd1.MANAGER, "GetJob", "u", 1, timeout_sec=0.3)

    with pytest.raises(Unavailable, match="did not answer GetJob"):
        ask(address, "dbus-next", answers, impatient)


def test_an_error_of_the_bus_is_one_line() -> None:
    """dbus-next adds a traceback to the message."""
    error = BusError("com.dubstepdish.dbus.next.ServiceError", "it raised an error: x.\nFile y, line 1\n")

    assert str(error) == "it raised an error: x. [com.dubstepdish.dbus.next.ServiceError]"
    assert error.message.endswith("line 1\n")
