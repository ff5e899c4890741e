"""org.freedesktop.systemd1 as we use it, over either bus (org.freedesktop.systemd1(5))."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ordain.agent.errors import Unavailable
from ordain.agent.model import UnitState, Verb
from ordain.agent.system.bus import Bus, BusError, Signal, Variant, get, pipelined

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
RELOAD_TIMEOUT_SEC = 180.0
"""PID 1 gives all generators 90 s, and there may be a reload of someone else's before ours."""
POLL_SEC = 5.0
"""How often to look whether a job still exists: a JobRemoved can be lost (systemd PR 8803)."""
METHODS = {
    Verb.START: "StartUnit",
    Verb.STOP: "StopUnit",
    Verb.RESTART: "RestartUnit",
    Verb.RELOAD: "ReloadUnit",
}
AT_ONCE = 16
"""Units whose properties are asked for together; the bus has `bus_dbus_next.IN_FLIGHT` calls on the way at most."""
_COMMON = {
    "unit_file_state": "UnitFileState",
    "fragment_path": "FragmentPath",
    "drop_in_paths": "DropInPaths",
    "condition_result": "ConditionResult",
    "can_reload": "CanReload",
    "triggered_by": "TriggeredBy",
    "invocation_id": "InvocationID",
}
_BY_TYPE: Mapping[str, Mapping[str, str]] = {
    "service": {
        "result": "Result",
        "main_pid": "MainPID",
        "n_restarts": "NRestarts",
        "start_timeout_usec": "TimeoutStartUSec",
        "stop_timeout_usec": "TimeoutStopUSec",
    },
    "socket": {"result": "Result", "start_timeout_usec": "TimeoutUSec", "stop_timeout_usec": "TimeoutUSec"},
    "mount": {"result": "Result", "start_timeout_usec": "TimeoutUSec", "stop_timeout_usec": "TimeoutUSec"},
    "swap": {"result": "Result", "start_timeout_usec": "TimeoutUSec", "stop_timeout_usec": "TimeoutUSec"},
    "automount": {"result": "Result"},
    "timer": {"result": "Result"},
    "path": {"result": "Result"},
}
_ENDED: Mapping[str, Mapping[str, str]] = {
    "unit": {
        "active_exit_usec": "ActiveExitTimestampMonotonic",
        "inactive_enter_usec": "InactiveEnterTimestamp",
        "condition_usec": "ConditionTimestampMonotonic",
    },
    "service": {
        "exec_main_code": "ExecMainCode",
        "exec_main_status": "ExecMainStatus",
        "main_exit_usec": "ExecMainExitTimestampMonotonic",
    },
}
"""Of what does not run, along with all fields: how it came to its end."""
FIELDS = frozenset(_COMMON) | frozenset(field for fields in _BY_TYPE.values() for field in fields)
"""Everything of `UnitState` that list_units does not tell."""
INVOCATION_ID = frozenset({"invocation_id"})
"""The one field that tells a process from its successor."""
_READ: Mapping[str, Callable[[Any], Any]] = {
    "drop_in_paths": tuple,
    "triggered_by": tuple,
    "invocation_id": lambda value: bytes(value).hex(),
}


class Systemd:
    """PID 1 on a bus. `open` makes one that hears of jobs."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._results: dict[str, asyncio.Future[str]] = {}
        self._awaited = 0

    @classmethod
    async def open(cls, bus: Bus) -> Systemd:
        """Subscribe to PID 1's signals, which it sends only to those who did."""
        systemd = cls(bus)
        await bus.listen(NAME, PATH, MANAGER, "JobRemoved", systemd._job_removed)
        try:
            await systemd._manager("Subscribe")
        except BusError as error:
            if "AlreadySubscribed" not in error.error:
                raise
        return systemd

    async def _manager(self, member: str, signature: str = "", *body: Any, timeout_sec: float = 25.0) -> Any:
        return await self.bus.call(NAME, PATH, MANAGER, member, signature, *body, timeout_sec=timeout_sec)

    async def list_units(self, names: Iterable[str]) -> dict[str, UnitState]:
        """Load, active and sub state of units by name, in one call.

        ListUnitsByNames loads what is not loaded, as LoadUnit does, so that a unit file on disk is seen; one
        that exists nowhere comes back as not-found.
        """
        wanted = sorted(set(names))
        if not wanted:
            return {}
        rows = await self._manager("ListUnitsByNames", "as", wanted)
        # An alias is answered under the name of its unit; the rows keep the order of the request.
        return {
            asked: UnitState(name=asked, load_state=row[2], active_state=row[3], sub_state=row[4])
            for asked, row in zip(wanted, rows, strict=True)
        }

    async def inspect(self, names: Iterable[str], fields: frozenset[str] = FIELDS) -> dict[str, UnitState]:
        """Units with what list_units tells and ``fields`` of `UnitState`: named properties, asked for all at once.

        GetAll costs PID 1 ten times as much (docs/design/systemd.md, fact 34).
        """
        units = await self.list_units(names)
        found = await pipelined((self._inspect(state, fields) for state in units.values()), AT_ONCE)
        return {state.name: state for state in found}

    async def _inspect(self, state: UnitState, fields: frozenset[str]) -> UnitState:
        if state.load_state == "not-found" and state.active_state == "inactive":
            return state
        kind = state.name.rpartition(".")[2]
        wanted = [(UNIT, field, name) for field, name in _COMMON.items() if field in fields]
        wanted += [(_interface(kind), field, name) for field, name in _BY_TYPE.get(kind, {}).items() if field in fields]
        if fields == FIELDS and state.active_state in ("inactive", "failed"):
            wanted += [(UNIT, field, name) for field, name in _ENDED["unit"].items()]
            wanted += [(_interface(kind), field, name) for field, name in _ENDED.get(kind, {}).items()]
        path = unit_path(state.name)
        values = await asyncio.gather(*(get(self.bus, NAME, path, where, name) for where, _, name in wanted))
        found = {field: _READ.get(field, _same)(value) for (_, field, _), value in zip(wanted, values, strict=True)}
        if found.pop("condition_usec", None) == 0:  # ConditionResult= is "no" until it was looked at
            found["condition_result"] = True
        return dataclasses.replace(state, **found)

    async def property(self, unit: str, name: str) -> Any:
        """One property of a unit's own type, such as ``Type`` of a service."""
        return await get(self.bus, NAME, unit_path(unit), _interface(unit.rpartition(".")[2]), name)

    async def triggers(self, unit: str) -> tuple[str, ...]:
        """The units that a socket, timer, path or automount starts; none for a unit of another type."""
        return tuple(await get(self.bus, NAME, unit_path(unit), UNIT, "Triggers"))

    async def unit_of(self, pid: int) -> str:
        """The unit a process belongs to, "" if it is gone or in none."""
        try:
            return unit_name(str(await self._manager("GetUnitByPID", "u", pid)))
        except BusError:
            return ""

    async def unread(self, unit: str, paths: Sequence[str]) -> bool:
        """Whether PID 1 has not read all of ``paths``, an admin's files of the unit, highest first, as they are now.

        NeedDaemonReload= alone does not tell: it looks in directories that were there at the last reload. Of two
        drop-ins of one name PID 1 reads one.
        """
        if await get(self.bus, NAME, unit_path(unit), UNIT, "NeedDaemonReload"):
            return True
        state = (await self.inspect([unit], frozenset({"fragment_path", "drop_in_paths"})))[unit]
        drop_ins = [path for path in paths if ".d/" in path]
        fragments = [path for path in paths if path not in drop_ins]
        read = {path.rpartition("/")[2] for path in state.drop_in_paths}
        return fragments[:1] not in ([], [state.fragment_path]) or any(
            path.rpartition("/")[2] not in read for path in drop_ins
        )

    async def has_job(self, unit: str) -> bool:
        """Whether a job for ``unit`` is queued or runs."""
        number, _ = await get(self.bus, NAME, unit_path(unit), UNIT, "Job")
        return bool(number)

    async def job_type(self, unit: str) -> str:
        """The type of the job that is queued or runs for ``unit``, such as ``stop``; "" if there is none."""
        try:
            number, path = await get(self.bus, NAME, unit_path(unit), UNIT, "Job")
            return str(await get(self.bus, NAME, path, f"{NAME}.Job", "JobType")) if number else ""
        except BusError:  # it ended meanwhile
            return ""

    async def queue(self, verb: Verb, unit: str) -> str:
        """Queue a job and return its path; `wait` must be called with it.

        Mode ``replace``, as systemctl has it: with ``fail``, one stop job that happens to be queued for any
        member would refuse the whole transaction. A shutdown is irreversible and wins in either mode.
        """
        self._awaited += 1
        try:
            return str(await self._manager(METHODS[verb], "ss", unit, "replace"))
        except Unavailable:
            self._done_waiting()
            raise

    async def occupy(self) -> None:
        """Have PID 1 look at a few unit files for nothing: 5 to 30 ms, in which other calls arrive."""
        with contextlib.suppress(BusError):
            await self._manager("ListUnitFilesByPatterns", "asas", ["-"], ["systemd-s*"])

    async def queue_transient(self, unit: str, properties: Mapping[str, Variant]) -> str:
        """Make and start a unit that is gone once it has run; its job's path, as `queue`."""
        self._awaited += 1
        try:
            listed = list(properties.items())
            return str(await self._manager("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "replace", listed, []))
        except Unavailable:
            self._done_waiting()
            raise

    async def kill(self, unit: str, signal: int) -> None:
        """Send a signal to every process of a unit."""
        await self._manager("KillUnit", "ssi", unit, "all", signal)

    async def stopping(self) -> bool:
        """Whether the machine is on its way down."""
        return bool(await get(self.bus, NAME, PATH, MANAGER, "SystemState") == "stopping")

    async def wait(self, job: str, timeout_sec: float) -> str:
        """The result of a job as systemd spells it; "" if it was lost, ``"deadline"`` if it still runs.

        The job object may be gone before anyone can look at it, so the signal is matched by the job's path.
        """
        deadline = time.monotonic() + timeout_sec
        future = self._future(job)
        try:
            while (left := deadline - time.monotonic()) > 0:
                try:
                    return await self.bus.wait(future, min(left, POLL_SEC))
                except TimeoutError:
                    if not await self._exists(job):
                        return future.result() if future.done() else ""
            return "deadline"
        finally:
            self._done_waiting()

    async def _exists(self, job: str) -> bool:
        try:
            await self._manager("GetJob", "u", int(job.rpartition("/")[2]))
        except BusError:
            return False
        return True

    def _future(self, job: str) -> asyncio.Future[str]:
        return self._results.setdefault(job, asyncio.get_running_loop().create_future())

    def _job_removed(self, signal: Signal) -> None:
        _, job, _, result = signal.body
        # The signal may overtake the reply that names the job, so while any job of ours is out all are kept.
        if self._awaited and not (future := self._future(job)).done():
            future.set_result(result)

    def _done_waiting(self) -> None:
        self._awaited -= 1
        if not self._awaited:
            self._results.clear()

    async def start(self, unit: str) -> None:
        """Queue a start that nobody waits for."""
        await self._manager("StartUnit", "ss", unit, "replace")

    async def restart(self, unit: str) -> None:
        """Queue a restart, or a start, that nobody waits for."""
        await self._manager("RestartUnit", "ss", unit, "replace")

    async def reload(self) -> None:
        """Have PID 1 run the generators and read all units again; returns when it has.

        One rate limit holds for all callers; over it, this tries again for half a minute.
        """
        for delay in (1.0, 2.0, 4.0, 8.0, 16.0, 0.0):
            try:
                await self._manager("Reload", timeout_sec=RELOAD_TIMEOUT_SEC)
                return
            except BusError as error:
                if "LimitsExceeded" not in error.error or not delay:
                    raise
                await asyncio.sleep(delay)

    async def reset_failed(self, unit: str) -> None:
        """Clear the failed state and the start limit of one unit."""
        await self._manager("ResetFailedUnit", "s", unit)

    async def watch(self, *, reloaded: Callable[[], None], changed: Callable[[str], None]) -> None:
        """Have ``reloaded`` called after a reload by anyone, ``changed`` with a unit that changed state."""

        def reloading(signal: Signal) -> None:
            if not signal.body[0]:
                reloaded()

        def properties(signal: Signal) -> None:
            if signal.body[0] == UNIT:
                changed(unit_name(signal.path))

        await self.bus.listen(NAME, PATH, MANAGER, "Reloading", reloading)
        await self.bus.listen(NAME, PATH, MANAGER, "UnitFilesChanged", lambda _: reloaded())
        # Of all units, but once for each change: PID 1 tells of the interface of a unit's own type, too.
        await self.bus.listen(
            NAME, f"{PATH}/unit/", "org.freedesktop.DBus.Properties", "PropertiesChanged", properties, first=UNIT
        )


def _same(value: Any) -> Any:
    return value


def _interface(kind: str) -> str:
    return f"{NAME}.{kind.capitalize()}"


def unit_path(unit: str) -> str:
    """The object path of a unit: every byte but letters and digits as ``_XX`` (sd_bus_path_encode(3)).

    >>> unit_path("getty@1.service")
    '/org/freedesktop/systemd1/unit/getty_401_2eservice'
    """
    escaped = "".join(
        char if char.isascii() and char.isalnum() and (at or not char.isdigit()) else f"_{ord(char):02x}"
        for at, char in enumerate(unit)
    )
    return f"{PATH}/unit/{escaped}"


def unit_name(path: str) -> str:
    """The unit of an object path.

    >>> unit_name(unit_path("getty@1.service"))
    'getty@1.service'
    """
    first, *rest = path.rpartition("/")[2].split("_")
    return first + "".join(chr(int(part[:2], 16)) + part[2:] for part in rest)
