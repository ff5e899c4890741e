"""systemd1 when it fails in ways a real one cannot be made to: a stand-in on a private bus, both drivers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest
from dbus_next.message import Message

from ordain.agent.errors import Unavailable
from ordain.agent.model import Verb
from ordain.agent.system import systemd1
from ordain.agent.system.bus import DBUS, DBUS_PATH, BusError, Variant
from ordain.agent.system.bus_dbus_next import DbusNext
from ordain.agent.system.bus_pystemd import Pystemd
from ordain.agent.system.systemd1 import Systemd
from support.private_bus import Answer, StandIn, job_removed, private_bus, queued, refused

Question = Callable[[Systemd], Awaitable[object]]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with private_bus() as address:
        yield address


@pytest.fixture(params=["dbus-next", "pystemd"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(address: str, driver: str, answers: dict[str, Answer], question: Question) -> tuple[object, list[str]]:
    """What the question comes to, and the calls it made."""

    async def asked() -> object:
        bus = await DbusNext.open(address) if driver == "dbus-next" else Pystemd(address)
        try:
            return await question(await Systemd.open(bus))
        finally:
            bus.close()

    with StandIn(address, answers) as stand_in:
        result = asyncio.run(asked())
    return result, stand_in.calls


async def restart(systemd: Systemd) -> str:
    return await systemd.wait(await systemd.queue(Verb.RESTART, "web.service"), 5.0)


def test_the_end_of_a_job_is_heard(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [queued(call, 7), job_removed(7, "failed")]}

    assert ask(address, driver, answers, restart)[0] == "failed"


def test_the_end_of_a_job_may_be_heard_before_its_name(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [job_removed(7, "done"), queued(call, 7)]}

    assert ask(address, driver, answers, restart)[0] == "done"


def test_a_job_of_someone_else_is_not_taken_for_ours(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {
        "RestartUnit": lambda _, call: [job_removed(6, "canceled"), queued(call, 7), job_removed(7, "done")]
    }

    assert ask(address, driver, answers, restart)[0] == "done"


def test_a_lost_end_is_noticed_by_asking(address: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd1, "POLL_SEC", 0.2)
    answers: dict[str, Answer] = {
        "RestartUnit": lambda _, call: [queued(call, 7)],
        "GetJob": lambda _, call: [refused(call, "NoSuchJob")],
    }

    assert ask(address, driver, answers, restart)[0] == ""


def test_no_job_is_waited_for_without_end(address: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd1, "POLL_SEC", 0.2)
    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [queued(call, 7)]}

    async def impatient(systemd: Systemd) -> str:
        return await systemd.wait(await systemd.queue(Verb.RESTART, "web.service"), 0.5)

    assert ask(address, driver, answers, impatient)[0] == "deadline"


def test_a_refusal_of_pid_1_is_an_error_with_its_words(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"RestartUnit": lambda _, call: [refused(call, "UnitMasked")]}

    with pytest.raises(BusError, match="as the test wants it"):
        ask(address, driver, answers, restart)


def test_the_rate_limit_of_reloads_is_waited_out(address: str, driver: str) -> None:
    def limited(stand_in: StandIn, call: Message) -> list[Message]:
        first = stand_in.calls.count("Reload") == 1
        return [refused(call, "LimitsExceeded") if first else Message.new_method_return(call)]

    calls = ask(address, driver, {"Reload": limited}, lambda systemd: systemd.reload())[1]

    assert calls.count("Reload") == 2


def test_a_transient_unit_arrives_as_it_is_meant(address: str, driver: str) -> None:
    def look(_: StandIn, call: Message) -> list[Message]:
        unit, mode, properties, others = call.body
        seen = {name: (variant.signature, variant.value) for name, variant in properties}
        meant = (unit, mode, others) == ("probe.service", "replace", []) and seen == {
            "Type": ("s", "oneshot"),
            "TimeoutStartUSec": ("t", 5),
            "DynamicUser": ("b", True),
            "ExecStart": ("a(sasb)", [["/bin/true", ["/bin/true", "ü x", ""], False]]),
            "Environment": ("as", []),
        }
        return [queued(call, 7), job_removed(7, "done")] if meant else [refused(call, f"Not {call.body}")]

    properties = {
        "Type": Variant("s", "oneshot"),
        "TimeoutStartUSec": Variant("t", 5),
        "DynamicUser": Variant("b", True),
        "ExecStart": Variant("a(sasb)", [("/bin/true", ("/bin/true", "ü x", ""), False)]),
        "Environment": Variant("as", []),
    }

    async def start(systemd: Systemd) -> str:
        return await systemd.wait(await systemd.queue_transient("probe.service", properties), 5.0)

    assert ask(address, driver, {"StartTransientUnit": look}, start)[0] == "done"


def test_a_subscription_of_before_is_no_error(address: str, driver: str) -> None:
    answers: dict[str, Answer] = {"Subscribe": lambda _, call: [refused(call, "AlreadySubscribed")]}

    async def nothing(systemd: Systemd) -> None: ...

    assert ask(address, driver, answers, nothing)[1] == ["Subscribe"]


def test_values_are_plain_with_either_driver(address: str, driver: str) -> None:
    async def names(systemd: Systemd) -> object:
        return await systemd.bus.call(DBUS, DBUS_PATH, DBUS, "ListNames")

    found = ask(address, driver, {}, names)[0]

    assert isinstance(found, list)
    assert {"org.freedesktop.DBus", systemd1.NAME} <= set(found)


def test_thousands_of_calls_at_once_are_answered(address: str) -> None:
    """More than the bus has room for, and more than it lets one connection ask at once."""

    async def all_of_them(systemd: Systemd) -> int:
        asked = [
            systemd.bus.call(DBUS, DBUS_PATH, DBUS, "NameHasOwner", "s", f"org.example.{'x' * 200}{number}")
            for number in range(5000)
        ]
        return len([owned for owned in await asyncio.gather(*asked) if owned is False])

    assert ask(address, "dbus-next", {}, all_of_them)[0] == 5000


# dbus-next leaves the socket open that it could not connect; it is collected before the test ends.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_bus_is_told_in_words(driver: str) -> None:
    async def opened() -> object:
        nowhere = "unix:path=/nonexistent/bus"
        return await DbusNext.open(nowhere) if driver == "dbus-next" else Pystemd(nowhere)

    with pytest.raises(Unavailable, match="no message bus"):
        asyncio.run(opened())
    gc.collect()


def test_a_call_without_an_answer_ends(address: str) -> None:
    """With sd-bus it is libsystemd that sees to it."""
    answers: dict[str, Answer] = {"GetJob": lambda _, call: []}

    async def impatient(systemd: Systemd) -> None:
        await systemd.bus.call(systemd1.NAME, systemd1.PATH, systemd1.MANAGER, "GetJob", "u", 1, timeout_sec=0.3)

    with pytest.raises(Unavailable, match="did not answer GetJob"):
        ask(address, "dbus-next", answers, impatient)
