"""org.ordain.Agent1 on the bus: the `AgentClient` for other processes (docs/reference/dbus.md)."""

# dbus-next takes the D-Bus signatures of methods and properties from their annotations.
# mypy: disable-error-code="name-defined, valid-type, syntax, untyped-decorator, no-untyped-call, misc"
# ruff: noqa: F722, F821, UP037

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from errno import EIO
from typing import Any, ParamSpec, TypeVar

from dbus_next.constants import MessageType, NameFlag, PropertyAccess, RequestNameReply
from dbus_next.errors import DBusError
from dbus_next.message import Message
from dbus_next.service import ServiceInterface, dbus_property, method, signal
from dbus_next.signature import Variant

from ordain.agent.daemon.agent_client import AgentClient
from ordain.agent.daemon.client import BUS_NAME, OBJECT_PATH
from ordain.agent.daemon.status_publisher import StatusPublisher
from ordain.agent.errors import REFUSED, Failure, Unavailable
from ordain.agent.model import Outcome, Plan, UnitVerdict, to_json
from ordain.agent.status import Status
from ordain.agent.system.dbus_guard import GuardedMessageBus
from ordain.agent.system.polkit import PolkitAuthority
from ordain.transforms.errors import Refused

_PROPERTIES = ("Generation", "WantedGeneration", "State", "SourceState", "Conditions", "Drift")

READS = frozenset({"Plan", "Status", "Explain"})
"""The methods that change nothing."""
OPTIONS: dict[str, dict[str, type[int]]] = {"Apply": {"once": bool, "confirm": int}, "Hold": {"unmask": bool}}
"""The options of the methods that have some, with the types of their values."""
INTERNAL = "org.ordain.Error.Internal"

log = logging.getLogger(__name__)
_sender: ContextVar[str] = ContextVar("sender")
P = ParamSpec("P")
R = TypeVar("R")


def _answered(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Return ``call`` with failures as D-Bus errors; that of refused documents holds all their problems, as JSON."""

    @functools.wraps(call)
    async def answered(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await call(*args, **kwargs)
        except Refused as refused:
            raise DBusError(REFUSED, json.dumps([to_json(p) for p in refused.problems])) from None
        except Failure as failure:
            raise DBusError(failure.name, str(failure)) from None
        except OSError as error:  # a file of ours that is not as we left it, or a full disk: not a fault of the program
            log.error("%s: %s", call.__qualname__, error)
            raise DBusError(Failure.name, f"{error.filename or 'a file'}: {os.strerror(error.errno or EIO)}") from None
        except Exception as error:  # dbus-next would send the caller a traceback
            log.exception("internal error in %s", call.__qualname__)
            raise DBusError(INTERNAL, f"internal error ({error!r}); see the journal of the agent") from None

    return answered


class AgentInterface(ServiceInterface):
    """The interface at `OBJECT_PATH`. Everybody may read; a change needs root, or a permission of ``authority``."""

    def __init__(self, client: AgentClient, status: StatusPublisher, authority: PolkitAuthority) -> None:
        super().__init__(BUS_NAME)
        self._client = client
        self._status = status
        self._authority = authority
        self._shown: dict[str, Any] = {}
        status.listen(self._changed)

    async def _may(self, action: str) -> int:
        """Return the process that calls. Raises `Denied` unless it may do ``action``."""
        await self._authority.demand(_sender.get(), action)
        return await self._authority.process(_sender.get())

    @method()
    @_answered
    async def Plan(self, documents: "a(ss)") -> "s":
        """Return the JSON of the plan. Without documents, those of the source are planned."""
        caller = await self._may("plan")
        return json.dumps(to_json(await self._client.plan(_documents(documents), caller=caller)))

    @method()
    @_answered
    async def Apply(self, documents: "a(ss)", options: "a{sv}") -> "s":
        """Return the JSON of the outcome. Options: ``once`` (b), ``confirm`` (u, seconds)."""
        caller = await self._may("apply")
        wanted = _options("Apply", options)
        outcome = await self._client.apply(
            _documents(documents),
            once=wanted.get("once", False),
            confirm_sec=wanted.get("confirm", 0),
            caller=caller,
        )
        return json.dumps(to_json(outcome))

    @method()
    @_answered
    async def Status(self) -> "s":
        """Return the JSON of the status, observed now. The properties change with it."""
        return json.dumps(to_json(await self._client.status()))

    @method()
    @_answered
    async def Explain(self, about: "s") -> "s":
        """Return the JSON of everything that is known about a unit, a path or a pointer."""
        return json.dumps(to_json(await self._client.explain(about)))

    @method()
    @_answered
    async def Refresh(self) -> "":
        """Read the source again."""
        await self._may("apply")
        await self._client.refresh()

    @method()
    @_answered
    async def Pause(self) -> "":
        """Stop following the source until `Follow`."""
        await self._may("apply")
        await self._client.pause()

    @method()
    @_answered
    async def Resume(self) -> "":
        """Do the same as `Follow`: the older name."""
        await self._may("apply")
        await self._client.resume()

    @method()
    @_answered
    async def Follow(self) -> "":
        """Follow the source again: after `Pause`, `Rollback`, or documents that an administrator applied."""
        await self._may("apply")
        await self._client.follow()

    @method()
    @_answered
    async def Confirm(self) -> "u":
        """Keep the generation that is on trial, and return its number."""
        return await self._client.confirm(caller=await self._may("apply"))

    @method()
    @_answered
    async def Rollback(self, number: "u") -> "s":
        """Roll back to generation ``number`` (0: the one before). Return the JSON of the outcome."""
        caller = await self._may("apply")
        return json.dumps(to_json(await self._client.rollback(number, caller=caller)))

    @method()
    @_answered
    async def Hold(self, unit: "s", options: "a{sv}") -> "s":
        """Leave a unit alone. Return the JSON of the hold. Option: ``unmask`` (b), to remove the documents' mask."""
        await self._may("apply")
        wanted = _options("Hold", options)
        return json.dumps(to_json(await self._client.hold(unit, unmask=wanted.get("unmask", False))))

    @method()
    @_answered
    async def Unhold(self, unit: "s") -> "s":
        """Return a unit to the documents. Return the JSON of the outcome, ``null`` if there was nothing to do."""
        caller = await self._may("apply")
        return json.dumps(to_json(await self._client.unhold(unit, caller=caller)))

    @method()
    @_answered
    async def FollowUnit(self, unit: "s") -> "s":
        """End a hold, and bring a unit to the state in the documents. Return the JSON of the outcome, or ``null``."""
        caller = await self._may("apply")
        return json.dumps(to_json(await self._client.follow_unit(unit, caller=caller)))

    @dbus_property(access=PropertyAccess.READ)
    def Generation(self) -> "u":
        """Return the number of the generation in force; 0: none."""
        return self._status.current.generation

    @dbus_property(access=PropertyAccess.READ)
    def WantedGeneration(self) -> "u":
        """Return the number of the generation that was compiled last."""
        return self._status.current.wanted_generation

    @dbus_property(access=PropertyAccess.READ)
    def State(self) -> "s":
        """Return the state, see `status.State`."""
        return str(self._status.current.state)

    @dbus_property(access=PropertyAccess.READ)
    def SourceState(self) -> "a{sv}":
        """Return the fields of `status.SourceState`."""
        source = to_json(self._status.current.source)
        return {key: Variant("b" if isinstance(value, bool) else "s", value) for key, value in source.items()}

    @dbus_property(access=PropertyAccess.READ)
    def Conditions(self) -> "a(sss)":
        """Return code, text and hint of each condition."""
        return [[c.code, c.what, c.hint] for c in self._status.current.conditions]

    @dbus_property(access=PropertyAccess.READ)
    def Drift(self) -> "a(ss)":
        """Return the units that are not as the documents want them, each with the reason."""
        return [[unit.unit, unit.what] for unit in self._status.current.units if not unit.ok]

    @signal()
    def PlanStarted(self, plan: "s") -> "s":
        """Announce a plan that is about to be carried out, as JSON."""
        return plan

    @signal()
    def UnitConverged(self, unit: "s", ok: "b", what: "s") -> "sbs":
        """Announce the verdict on one unit of the plan."""
        return [unit, ok, what]

    @signal()
    def Converged(self, generation: "u") -> "u":
        """Announce that everything is as the documents want it."""
        return generation

    @signal()
    def RolledBack(self, generation: "u", why: "s") -> "us":
        """Announce that this generation failed, and that the one before it is in force again."""
        return [generation, why]

    def planned(self, plan: Plan) -> None:
        """See `engine.Listener`."""
        self.PlanStarted(json.dumps(to_json(plan)))

    def judged(self, verdict: UnitVerdict) -> None:
        """See `engine.Listener`."""
        self.UnitConverged(verdict.unit, verdict.ok, verdict.what)

    def ended(self, outcome: Outcome) -> None:
        """See `engine.Listener`."""
        if outcome.rejected:
            self.RolledBack(outcome.rejected, outcome.why)
        elif outcome.exit_status == 0 and not outcome.confirm_by:
            self.Converged(outcome.generation)

    def _changed(self, _status: Status) -> None:
        now = {name: getattr(self, name) for name in _PROPERTIES}
        changed = {name: value for name, value in now.items() if value != self._shown.get(name)}
        self._shown = now
        if changed:
            self.emit_properties_changed(changed)


async def serve(connection: GuardedMessageBus, interface: AgentInterface) -> None:
    """Export the interface and request the name on the bus. Raises `Unavailable` if another agent has it."""

    def remember(message: Message) -> None:
        # dbus-next does not pass the sender to methods. Their tasks copy the context, and with it this variable.
        if message.message_type is MessageType.METHOD_CALL:
            _sender.set(message.sender or "")

    connection.reads = READS
    connection.add_message_handler(remember)
    connection.export(OBJECT_PATH, interface)
    reply = await connection.request_name(BUS_NAME, NameFlag.DO_NOT_QUEUE)
    if reply not in (RequestNameReply.PRIMARY_OWNER, RequestNameReply.ALREADY_OWNER):
        raise Unavailable(f"another agent runs: it has the name {BUS_NAME} on the bus")


def _options(method: str, options: dict[str, Variant]) -> dict[str, Any]:
    """Return the values of the options of ``method``. Raises `Failure` for an unknown name or a wrong type.

    A number of any kind of D-Bus is an int here.
    """
    known = OPTIONS[method]
    for name, variant in options.items():
        if name not in known:
            raise Failure(f"unknown option of {method}: {name!r}; known are {', '.join(sorted(known))}")
        if type(variant.value) is not known[name]:
            raise Failure(f"option {name} of {method}: expected {known[name].__name__}, found {variant.signature!r}")
        if variant.value < 0:
            raise Failure(f"option {name} of {method}: {variant.value} is negative")
    return {name: variant.value for name, variant in options.items()}


def _documents(pairs: list[list[str]]) -> list[RawDocument] | None:
    return [(path, text.encode()) for path, text in pairs] or None
