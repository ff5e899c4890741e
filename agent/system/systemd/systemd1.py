"""The part of org.freedesktop.systemd1(5) that we use, over either implementation of the bus."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ordain.agent.errors import Unavailable
from ordain.agent.model import UnitState, Verb
from ordain.agent.system.dbus.bus import Bus, BusError, Signal, Variant, get, pipelined
from ordain.agent.system.systemd.manager_bus import ManagerBus, is_away
from ordain.transforms.lazy_patterns import lazy_pattern

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
POLL_SEC = 5.0
"""The interval between checks that a job still exists, because a JobRemoved can be lost (systemd PR 8803)."""
METHODS = {
    Verb.START: "StartUnit",
    Verb.STOP: "StopUnit",
    Verb.RESTART: "RestartUnit",
    Verb.RELOAD: "ReloadUnit",
}
NOT_REPEATED = frozenset({*METHODS.values(), "StartTransientUnit", "KillUnit"})
"""The methods whose call is not repeated if PID 1 re-executes meanwhile: each would have its effect twice."""
PROPAGATES_TO = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf")
LOST = ""
"""The path of a job that has ended, so that only the state of its unit tells its result."""
AT_ONCE = 16
"""The number of units whose properties are requested at once; `dbus_next_driver.IN_FLIGHT` limits the calls."""
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
"""Additional properties of units that do not run: they show how a unit ended."""
FIELDS = frozenset(_COMMON) | frozenset(field for fields in _BY_TYPE.values() for field in fields)
"""The fields of `UnitState` that list_units does not fill."""
_UNIT_NAME = lazy_pattern(
    r"[A-Za-z0-9:_.\\-][A-Za-z0-9:_.\\@-]*"
    r"\.(?:service|socket|target|device|mount|automount|swap|timer|path|slice|scope)"
)
INVOCATION_ID = frozenset({"invocation_id"})
"""The one field that tells a process from its successor."""
TIMEOUTS = frozenset({"start_timeout_usec", "stop_timeout_usec"})
"""The fields that tell how long a job may take."""
_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "drop_in_paths": tuple,
    "triggered_by": tuple,
    "invocation_id": lambda value: bytes(value).hex(),
}


class Systemd:
    """PID 1 on a bus; one made by `open` can wait for jobs."""

    def __init__(self, bus: Bus) -> None:
        self.bus: Bus = ManagerBus(bus, NAME, not_repeated=NOT_REPEATED)
        self._results: dict[str, asyncio.Future[str]] = {}
        self._awaited = 0

    @classmethod
    async def open(cls, bus: Bus) -> Systemd:
        """Subscribe to the signals of PID 1, which it sends only to subscribers."""
        systemd = cls(bus)
        await bus.listen(NAME, PATH, MANAGER, "JobRemoved", systemd._job_removed)
        try:
            await systemd._manager("Subscribe")
        except BusError as error:
            if "AlreadySubscribed" not in error.error:
                raise
        return systemd

    async def _manager(self, member: str, signature: str = "", *body: Any) -> Any:
        return await self.bus.call(NAME, PATH, MANAGER, member, signature, *body)

    async def list_units(self, names: Iterable[str]) -> dict[str, UnitState]:
        """Return the load, active and sub state of units by name, with one call.

        ListUnitsByNames loads units that are not loaded, as LoadUnit does, so it also finds a unit file on disk. A unit
        that does not exist is returned as not-found. So is an invalid name, for which PID 1 returns no row.
        """
        requested = sorted(set(names))
        states = {
            name: UnitState(name=name, load_state="not-found", active_state="inactive", sub_state="dead")
            for name in requested
        }
        valid = [name for name in requested if is_unit_name(name)]
        rows = await self._manager("ListUnitsByNames", "as", valid) if valid else []
        # The row of an alias has the name of its unit, but the rows are in the order of the request.
        for name, row in zip(valid, rows, strict=True):
            states[name] = UnitState(name=name, load_state=row[2], active_state=row[3], sub_state=row[4])
        return states

    async def inspect(self, names: Iterable[str], fields: frozenset[str] = FIELDS) -> dict[str, UnitState]:
        """Return units with ``fields`` of `UnitState` in addition to those of list_units.

        Each property is one call, and all calls are pending at once: GetAll costs PID 1 ten times as much
        (docs/design/systemd.md, fact 34).
        """
        units = await self.list_units(names)
        states = await pipelined((self._inspect(state, fields) for state in units.values()), AT_ONCE)
        return {state.name: state for state in states}

    async def _inspect(self, state: UnitState, fields: frozenset[str]) -> UnitState:
        if state.load_state == "not-found" and state.active_state == "inactive":
            return state
        kind = state.name.rpartition(".")[2]
        properties = [(UNIT, field, name) for field, name in _COMMON.items() if field in fields]
        properties += [
            (_interface(kind), field, name) for field, name in _BY_TYPE.get(kind, {}).items() if field in fields
        ]
        if fields == FIELDS and state.active_state in ("inactive", "failed"):
            properties += [(UNIT, field, name) for field, name in _ENDED["unit"].items()]
            properties += [(_interface(kind), field, name) for field, name in _ENDED.get(kind, {}).items()]
        else:
            ended = _ENDED.get(kind, {}).items()
            properties += [(_interface(kind), field, name) for field, name in ended if field in fields]
        path = unit_path(state.name)
        values = await asyncio.gather(
            *(get(self.bus, NAME, path, interface, name) for interface, _, name in properties)
        )
        converted = {
            field: _CONVERT.get(field, _same)(value) for (_, field, _), value in zip(properties, values, strict=True)
        }
        if converted.pop("condition_usec", None) == 0:  # ConditionResult= is "no" until the conditions are checked
            converted["condition_result"] = True
        return dataclasses.replace(state, **converted)

    async def property(self, unit: str, name: str) -> Any:
        """Return a property of the interface of the unit's type, such as ``Type`` of a service."""
        return await get(self.bus, NAME, unit_path(unit), _interface(unit.rpartition(".")[2]), name)

    async def triggers(self, unit: str) -> tuple[str, ...]:
        """Return the units that a socket, timer, path or automount starts; none for other types."""
        return tuple(await get(self.bus, NAME, unit_path(unit), UNIT, "Triggers"))

    async def dependents(self, unit: str) -> tuple[str, ...]:
        """Return the units that PID 1 stops and restarts together with ``unit`` (src/core/unit-dependency-atom.c)."""
        path = unit_path(unit)
        units_of_each = await asyncio.gather(*(get(self.bus, NAME, path, UNIT, name) for name in PROPAGATES_TO))
        return tuple(sorted({name for names in units_of_each for name in names}))

    async def relations(self, unit: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the units that ``unit`` is related to, by the names of dependencies (properties of a unit)."""
        path = unit_path(unit)
        units_of_each = await asyncio.gather(*(get(self.bus, NAME, path, UNIT, name) for name in names))
        return {name: tuple(sorted(units)) for name, units in zip(names, units_of_each, strict=True) if units}

    async def version(self) -> int:
        """Return the version of PID 1, such as 257; 0 if it has another form."""
        words = re.match("[0-9]+", str(await get(self.bus, NAME, PATH, MANAGER, "Version")))
        return int(words[0]) if words else 0

    async def units_read_usec(self) -> tuple[int, int]:
        """Return when PID 1 last began to read all unit files again, in microseconds: CLOCK_REALTIME, _MONOTONIC.

        Both are 0 before the first reload. Raises `BusError` for a PID 1 before systemd 250, which does not tell it.
        """
        names = ("UnitsLoadTimestamp", "UnitsLoadTimestampMonotonic")
        realtime, monotonic = [int(await get(self.bus, NAME, PATH, MANAGER, name)) for name in names]
        return realtime, monotonic

    async def reloaded(self) -> None:
        """Return when PID 1 is not in a reload: it does nothing else meanwhile, and answers no call."""
        await self.version()

    async def unit_of(self, pid: int) -> str:
        """Return the unit of a process, ``""`` if the process has ended or has no unit."""
        try:
            return unit_name(str(await self._manager("GetUnitByPID", "u", pid)))
        except BusError:
            return ""

    async def unread(self, unit: str, paths: Sequence[str]) -> bool:
        """Return whether PID 1 has yet to read some of ``paths``, files of an administrator for the unit.

        The paths are in order of precedence, highest first. NeedDaemonReload= alone is not enough: it covers only
        directories that existed at the last reload. PID 1 reads only the first of two drop-ins with the same name.
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
        """Return whether a job for ``unit`` is queued or running."""
        return await self._job(unit) != LOST

    async def job_type(self, unit: str) -> str:
        """Return the type of the queued or running job for ``unit``, such as ``stop``; ``""`` if there is no job."""
        try:
            path = await self._job(unit)
            return str(await get(self.bus, NAME, path, f"{NAME}.Job", "JobType")) if path else ""
        except BusError:  # the job has ended in the meantime
            return ""

    async def _job(self, unit: str) -> str:
        """Return the path of the queued or running job for ``unit``, `LOST` if there is none."""
        number, path = await get(self.bus, NAME, unit_path(unit), UNIT, "Job")
        return str(path) if number else LOST

    async def queue(self, verb: Verb, unit: str, *, invocation: str = "") -> str:
        """Queue a job and return its path, with which `wait` must be called.

        If PID 1 re-executes meanwhile, the job is queued again unless PID 1 has it, or has done it: then the
        InvocationID of the unit is not ``invocation`` any more.

        The mode is ``replace``, as in systemctl: with ``fail``, one queued stop job for any unit of the transaction
        would make PID 1 refuse it. The jobs of a shutdown cannot be replaced in either mode.
        """
        self._awaited += 1
        try:
            try:
                return str(await self._manager(METHODS[verb], "ss", unit, "replace"))
            except BusError as error:
                if not is_away(error):
                    raise
            if path := await self._job(unit):
                return path
            if verb is Verb.START or (verb is Verb.RESTART and invocation):
                now = (await self.inspect([unit], INVOCATION_ID))[unit].invocation_id
                if now not in ("", invocation):
                    return LOST
            return str(await self._manager(METHODS[verb], "ss", unit, "replace"))
        except Unavailable:
            self._done_waiting()
            raise

    async def adopt(self, unit: str) -> str:
        """Return the path of the job that PID 1 has for ``unit``, with which `wait` must be called; `LOST` if none."""
        self._awaited += 1
        try:
            return await self._job(unit)
        except Unavailable:
            self._done_waiting()
            raise

    def disown(self) -> None:
        """Do not wait for a job after all."""
        self._done_waiting()

    async def occupy(self) -> None:
        """Keep PID 1 busy for 5 to 30 ms, so that it reads the next calls together; the result is not used."""
        with contextlib.suppress(BusError):
            await self._manager("ListUnitFilesByPatterns", "asas", ["-"], ["systemd-s*"])

    async def queue_transient(self, unit: str, properties: Mapping[str, Variant]) -> str:
        """Make and start a unit that disappears once it has run; return the path of its job, as `queue` does."""
        self._awaited += 1
        arguments = (unit, "replace", list(properties.items()), ())
        try:
            try:
                return str(await self._manager("StartTransientUnit", "ssa(sv)a(sa(sv))", *arguments))
            except BusError as error:
                if not is_away(error):
                    raise
            if (path := await self._job(unit)) or (await self.list_units([unit]))[unit].running:
                return path
            return str(await self._manager("StartTransientUnit", "ssa(sv)a(sa(sv))", *arguments))
        except Unavailable:
            self._done_waiting()
            raise

    async def kill(self, unit: str, signal: int) -> None:
        """Send a signal to every process of a unit."""
        await self._manager("KillUnit", "ssi", unit, "all", signal)

    async def stopping(self) -> bool:
        """Return whether the machine is shutting down."""
        return bool(await get(self.bus, NAME, PATH, MANAGER, "SystemState") == "stopping")

    async def boot_complete(self) -> bool:
        """Return whether all jobs of the boot have ended, and the machine is not shutting down."""
        finished = await get(self.bus, NAME, PATH, MANAGER, "FinishTimestampMonotonic")
        return bool(finished) and not await self.stopping()

    async def wait(self, job: str, timeout_sec: float) -> str:
        """Return the result of a job in systemd's spelling.

        It is ``""`` if the result was lost, and ``"deadline"`` if the job still runs after ``timeout_sec``. The job
        object may disappear before it can be read, so the result is that of the signal with the job's path.
        """
        if job == LOST:
            self._done_waiting()
            return ""
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
        # The signal can arrive before the reply that names the job. So all results are kept while a job is pending.
        if self._awaited and not (future := self._future(job)).done():
            future.set_result(result)

    def _done_waiting(self) -> None:
        self._awaited -= 1
        if not self._awaited:
            self._results.clear()

    async def start(self, unit: str) -> None:
        """Queue a start without waiting for it."""
        await self._manager("StartUnit", "ss", unit, "replace")

    async def restart(self, unit: str) -> None:
        """Queue a restart, or a start, without waiting for it."""
        await self._manager("RestartUnit", "ss", unit, "replace")

    async def reload(self) -> None:
        """Have PID 1 run the generators and load all units again, and wait until it has.

        All callers share one rate limit of PID 1. If it is exceeded, the call is repeated for half a minute.
        """
        for delay in (1.0, 2.0, 4.0, 8.0, 16.0, 0.0):
            try:
                await self._manager("Reload")
                return
            except BusError as error:
                if "LimitsExceeded" not in error.error or not delay:
                    raise
                await asyncio.sleep(delay)

    async def reset_failed(self, unit: str) -> None:
        """Clear the failed state and the start limit of one unit."""
        await self._manager("ResetFailedUnit", "s", unit)

    async def watch(
        self, *, reloads: Callable[[], None], reloaded: Callable[[], None], changed: Callable[[str], None]
    ) -> None:
        """Have ``reloads`` and ``reloaded`` called before and after each reload by anybody, and ``changed`` for units.

        ``changed`` is called with each unit that changes its state.
        """

        def reloading(signal: Signal) -> None:
            (reloads if signal.body[0] else reloaded)()

        def properties(signal: Signal) -> None:
            if signal.body[0] == UNIT:
                changed(unit_name(signal.path))

        await self.bus.listen(NAME, PATH, MANAGER, "Reloading", reloading)
        await self.bus.listen(NAME, PATH, MANAGER, "UnitFilesChanged", lambda _: reloaded())
        # PID 1 sends a second signal for the interface of the unit's type; ``first`` leaves that one out.
        await self.bus.listen(
            NAME, f"{PATH}/unit/", "org.freedesktop.DBus.Properties", "PropertiesChanged", properties, first=UNIT
        )


def _same(value: Any) -> Any:
    return value


def _interface(kind: str) -> str:
    return f"{NAME}.{kind.capitalize()}"


def is_unit_name(name: str) -> bool:
    """Return whether PID 1 accepts ``name`` (unit_name_is_valid of systemd).

    >>> [is_unit_name(name) for name in ("a@b.service", "-.mount", "", "a b.service", "@.service", "a.conf")]
    [True, True, False, False, False, False]
    """
    return len(name) < 256 and _UNIT_NAME.fullmatch(name) is not None


def unit_path(unit: str) -> str:
    """Return the object path of a unit: letters and digits stay, other bytes become ``_XX`` (sd_bus_path_encode(3)).

    >>> unit_path("getty@1.service")
    '/org/freedesktop/systemd1/unit/getty_401_2eservice'
    """
    escaped = "".join(
        char if char.isascii() and char.isalnum() and (at or not char.isdigit()) else f"_{ord(char):02x}"
        for at, char in enumerate(unit)
    )
    return f"{PATH}/unit/{escaped}"


def unit_name(path: str) -> str:
    """Return the unit of an object path.

    >>> unit_name(unit_path("getty@1.service"))
    'getty@1.service'
    """
    first, *rest = path.rpartition("/")[2].split("_")
    return first + "".join(chr(int(part[:2], 16)) + part[2:] for part in rest)
