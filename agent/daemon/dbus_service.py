"""org.ordain.Agent1 on the bus: the `Follower` for others."""

# dbus-next takes the D-Bus signatures of methods and properties from their annotations.
# mypy: disable-error-code="name-defined, valid-type, syntax, untyped-decorator, no-untyped-call, misc"
# ruff: noqa: F722, F821, UP037

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageType, NameFlag, PropertyAccess, RequestNameReply
from dbus_next.errors import DBusError
from dbus_next.message import Message
from dbus_next.service import ServiceInterface, dbus_property, method, signal
from dbus_next.signature import Variant

from ordain.agent.daemon.follower import Follower
from ordain.agent.errors import REFUSED, Failure, Unavailable
from ordain.agent.model import Outcome, Plan, UnitVerdict, to_json
from ordain.agent.status import Status
from ordain.agent.system.polkit import PolkitAuthority
from ordain.transforms.errors import Refused

NAME = "org.ordain.Agent1"
PATH = "/org/ordain/Agent1"
_PROPERTIES = ("Generation", "WantedGeneration", "State", "SourceState", "Conditions", "Drift")

INTERNAL = "org.ordain.Error.Internal"

log = logging.getLogger(__name__)
_sender: ContextVar[str] = ContextVar("sender")
P = ParamSpec("P")
R = TypeVar("R")


def _answered(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Failures as D-Bus errors; documents that are refused with all their problems, as JSON."""

    @functools.wraps(call)
    async def answered(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await call(*args, **kwargs)
        except Refused as refused:
            raise DBusError(REFUSED, json.dumps([to_json(p) for p in refused.problems])) from None
        except Failure as failure:
            raise DBusError(failure.name, str(failure)) from None
        except Exception as error:  # dbus-next would send the caller a traceback
            log.exception("internal error in %s", call.__qualname__)
            raise DBusError(INTERNAL, f"internal error ({error!r}); the journal tells more") from None

    return answered


class Service(ServiceInterface):
    """The object at `PATH`. Everybody may read; to act takes root or polkit's word (`PolkitAuthority`)."""

    def __init__(self, follower: Follower, authority: PolkitAuthority) -> None:
        super().__init__(NAME)
        self._follower = follower
        self._authority = authority
        self._shown: dict[str, Any] = {}
        follower.listen(self._changed)

    async def _may(self, action: str) -> int:
        """Return the process that calls. Raises `Denied` unless it may do ``action``."""
        await self._authority.demand(_sender.get(), action)
        return await self._authority.process(_sender.get())

    @method()
    @_answered
    async def Plan(self, documents: "a(ss)") -> "s":
        """JSON of the plan; no documents: those of the source."""
        caller = await self._may("plan")
        return json.dumps(to_json(await self._follower.plan(_documents(documents), caller=caller)))

    @method()
    @_answered
    async def Apply(self, documents: "a(ss)", options: "a{sv}") -> "s":
        """JSON of the outcome. Options: ``once`` (b), ``confirm`` (u, seconds)."""
        caller = await self._may("apply")
        wanted = {key: variant.value for key, variant in options.items()}
        if unknown := wanted.keys() - {"once", "confirm"}:
            raise Failure(f"{', '.join(sorted(unknown))}: no option of Apply")
        outcome = await self._follower.apply(
            _documents(documents),
            once=wanted.get("once", False),
            confirm_sec=wanted.get("confirm", 0),
            caller=caller,
        )
        return json.dumps(to_json(outcome))

    @method()
    @_answered
    async def Status(self) -> "s":
        """JSON of the status, observed now; the properties are told to agree with it."""
        await self._follower.look()
        return json.dumps(to_json(self._follower.current))

    @method()
    @_answered
    async def Explain(self, about: "s") -> "s":
        """JSON of what is known of a unit, a path or a pointer."""
        return json.dumps(await self._follower.explain(about))

    @method()
    @_answered
    async def Refresh(self) -> "":
        """Read the source again."""
        await self._may("apply")
        await self._follower.refresh()

    @method()
    @_answered
    async def Pause(self) -> "":
        """Follow the source no more."""
        await self._may("apply")
        await self._follower.pause()
        await self._follower.look()

    @method()
    @_answered
    async def Resume(self) -> "":
        """Follow the source again."""
        await self._may("apply")
        await self._follower.resume()

    @method()
    @_answered
    async def Follow(self) -> "":
        """Let go of documents applied by hand, and follow the source."""
        await self._may("apply")
        await self._follower.follow()

    @method()
    @_answered
    async def Confirm(self) -> "u":
        """Keep the trial; the number of its generation."""
        return await self._follower.confirm(caller=await self._may("apply"))

    @method()
    @_answered
    async def Rollback(self, number: "u") -> "s":
        """Go back to generation ``number``; 0: the one before. JSON of the outcome."""
        caller = await self._may("apply")
        return json.dumps(to_json(await self._follower.rollback(number, caller=caller)))

    @method()
    @_answered
    async def Hold(self, unit: "s", options: "a{sv}") -> "s":
        """Leave a unit as it is; JSON of the hold. Options: ``unmask`` (b), without the mask of the documents."""
        await self._may("apply")
        wanted = {key: variant.value for key, variant in options.items()}
        if unknown := wanted.keys() - {"unmask"}:
            raise Failure(f"{', '.join(sorted(unknown))}: no option of Hold")
        return json.dumps(to_json(await self._follower.hold(unit, unmask=wanted.get("unmask", False))))

    @method()
    @_answered
    async def Unhold(self, unit: "s") -> "s":
        """Give a unit back to the documents; JSON of the outcome, ``null`` if there was nothing to do."""
        caller = await self._may("apply")
        return json.dumps(to_json(await self._follower.unhold(unit, caller=caller)))

    @dbus_property(access=PropertyAccess.READ)
    def Generation(self) -> "u":
        """The number of the generation applied; 0: none."""
        return self._follower.current.generation

    @dbus_property(access=PropertyAccess.READ)
    def WantedGeneration(self) -> "u":
        """The number of the generation compiled last."""
        return self._follower.current.wanted_generation

    @dbus_property(access=PropertyAccess.READ)
    def State(self) -> "s":
        """See `status.AgentState`."""
        return str(self._follower.current.state)

    @dbus_property(access=PropertyAccess.READ)
    def SourceState(self) -> "a{sv}":
        """See `status.SourceState`."""
        source = to_json(self._follower.current.source)
        return {key: Variant("b" if isinstance(value, bool) else "s", value) for key, value in source.items()}

    @dbus_property(access=PropertyAccess.READ)
    def Conditions(self) -> "a(sss)":
        """Code, what, hint."""
        return [[c.code, c.what, c.hint] for c in self._follower.current.conditions]

    @dbus_property(access=PropertyAccess.READ)
    def Drift(self) -> "a(ss)":
        """Units that are not as wanted, and why."""
        return [[unit.unit, unit.what] for unit in self._follower.current.units if not unit.ok]

    @signal()
    def PlanStarted(self, plan: "s") -> "s":
        """JSON of a plan that is about to be carried out."""
        return plan

    @signal()
    def UnitConverged(self, unit: "s", ok: "b", what: "s") -> "sbs":
        """One unit of the plan is done."""
        return [unit, ok, what]

    @signal()
    def Converged(self, generation: "u") -> "u":
        """Everything is as the documents want it."""
        return generation

    @signal()
    def RolledBack(self, generation: "u", why: "s") -> "us":
        """This generation failed, and the one before it is in force again."""
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


async def serve(connection: MessageBus, service: Service) -> None:
    """Put the object on the bus and take its name. Raises `Unavailable` if another agent has it."""

    def remember(message: Message) -> None:
        # dbus-next does not tell methods who calls; their tasks take this with them.
        if message.message_type is MessageType.METHOD_CALL:
            _sender.set(message.sender or "")

    asyncio.get_running_loop().set_exception_handler(_not_answers)
    connection.add_message_handler(remember)
    connection.export(PATH, service)
    reply = await connection.request_name(NAME, NameFlag.DO_NOT_QUEUE)
    if reply not in (RequestNameReply.PRIMARY_OWNER, RequestNameReply.ALREADY_OWNER):
        raise Unavailable(f"another agent has the name {NAME}")


def _not_answers(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """dbus-next raises an error once more after it has sent it to the caller; that is no error of ours."""
    if not isinstance(context.get("exception"), DBusError):
        loop.default_exception_handler(context)


def _documents(pairs: list[list[str]]) -> list[RawDocument] | None:
    return [(path, text.encode()) for path, text in pairs] or None
