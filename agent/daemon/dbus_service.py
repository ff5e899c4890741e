"""org.ordain.Agent1 on the bus: the `AgentClient` for other processes (docs/reference/dbus.md)."""

# dbus-next takes the D-Bus signatures of methods and properties from their annotations.
# mypy: disable-error-code="name-defined, valid-type, syntax, untyped-decorator, no-untyped-call, misc"
# ruff: noqa: F722, F821, UP037

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from errno import EIO
from typing import Any, ParamSpec, TypeVar

from dbus_next.constants import NameFlag, PropertyAccess, RequestNameReply
from dbus_next.errors import DBusError
from dbus_next.service import ServiceInterface, dbus_property, method, signal
from dbus_next.signature import Variant

from ordain.agent.daemon.agent_client import AgentClient
from ordain.agent.daemon.clients.client import BUS_NAME, OBJECT_PATH
from ordain.agent.daemon.clients.document_file import DocumentFile
from ordain.agent.daemon.public_view import (
    public_explanation,
    public_plan,
    public_reason,
    public_status,
    public_verdict,
)
from ordain.agent.daemon.status.status_publisher import StatusPublisher
from ordain.agent.errors import REFUSED, Failure, Unavailable
from ordain.agent.instruction import NO_TERMS, Instruction, Terms
from ordain.agent.model import Outcome, Plan, RawDocument, UnitVerdict, to_json
from ordain.agent.status import Status as Status_
from ordain.agent.system import atomic_files
from ordain.agent.system.dbus.dbus_guard import GuardedMessageBus, current_call
from ordain.agent.system.dbus.polkit import PolkitAuthority, Question
from ordain.transforms.errors import Refused

_PROPERTIES = ("Generation", "WantedGeneration", "State", "SourceState", "Conditions", "Drift", "Instructions")

READS = frozenset({"Plan", "Status", "Explain"})
"""The methods that change nothing."""
_TERMS: dict[str, type[int | str]] = {"why": str, "for": int, "until": int}
OPTIONS: dict[str, dict[str, type[int | str]]] = {
    "Apply": {"once": bool, "confirm": int, "nothing": bool},
    "Hold": {"unmask": bool, **_TERMS},
    "PauseWith": _TERMS,
    "RollbackWith": {"why": str},
}
"""The options of the methods that have some, with the types of their values."""
INTERNAL = "org.ordain.Error.Internal"

REST = 3
REST_MAX_SEC = 10.0

Texts = list[RawDocument]
log = logging.getLogger(__name__)
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
            remedy = atomic_files.REMEDIES.get(error.errno or EIO, "see `journalctl -u ordain-agent`")
            text = f"{atomic_files.describe_error(error, Path('a file of the agent'))} ({remedy})"
            raise DBusError(Failure.name, text) from None
        except Exception as error:  # dbus-next would send the caller a traceback
            log.exception("internal error in %s", call.__qualname__)
            raise DBusError(INTERNAL, f"internal error ({error!r}); see the journal of the agent") from None

    return answered


class Pace:
    """A bound on the work for others than root: one piece at a time, and a rest after each, `REST` times as long."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> None:
        await self._turn.acquire()
        self._began = time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        rest_sec = min(REST * (time.monotonic() - self._began), REST_MAX_SEC)
        asyncio.get_running_loop().call_later(rest_sec, self._turn.release)


class AgentInterface(ServiceInterface):
    """The interface at `OBJECT_PATH`. Everybody may read; a change needs root, or a permission of ``authority``.

    Users other than root see the public view (`public_view`), and wait for each other.
    """

    def __init__(self, client: AgentClient, status: StatusPublisher, authority: PolkitAuthority) -> None:
        super().__init__(BUS_NAME)
        self._client = client
        self._status = status
        self._authority = authority
        self._pace = Pace()
        self._next_status: asyncio.Task[Status_] | None = None

    async def _is_root(self) -> bool:
        """Return whether the caller is root."""
        return await self._authority.is_root(_sender())

    async def _may(self, question: Question) -> int:
        """Return the process that calls. Raises `Denied` unless it may do what the question asks."""
        if not await self._is_root():
            await self._authority.demand(_sender(), question)
        return await self._authority.process(_sender())

    async def _details(self, documents: DocumentFile | Texts) -> dict[str, str]:
        """Return `_details`. Large files of users are read one after the other, with rests, before polkit is asked."""
        if not isinstance(documents, DocumentFile) or await self._is_root():
            return await _details(documents)
        async with self._pace:
            return await _details(documents)

    @method()
    @_answered
    async def Plan(self, documents: "a(ss)") -> "s":
        """Return the JSON of the plan. Without documents, those of the source are planned."""
        return await self._plan(_texts(documents))

    @method()
    @_answered
    async def PlanFile(self, sizes: "a(st)", file: "h") -> "s":
        """Do as `Plan` with documents in a sealed file: their paths and sizes, and their bytes one after the other."""
        return await self._plan(DocumentFile(sizes, file))

    async def _plan(self, documents: DocumentFile | Texts) -> str:
        details = await self._details(documents)
        caller = await self._may(Question("plan", "Authentication is required to plan $(documents).", details))
        return json.dumps(to_json(await self._client.plan(await _read(documents), caller=caller)))

    @method()
    @_answered
    async def Apply(self, documents: "a(ss)", options: "a{sv}") -> "s":
        """Return the JSON of the outcome. Options: ``once`` (b), ``confirm`` (u, seconds), ``nothing`` (b)."""
        return await self._apply(_texts(documents), options)

    @method()
    @_answered
    async def ApplyFile(self, sizes: "a(st)", file: "h", options: "a{sv}") -> "s":
        """Do as `Apply` with documents in a sealed file, see `PlanFile`."""
        return await self._apply(DocumentFile(sizes, file), options)

    async def _apply(self, documents: DocumentFile | Texts, options: dict[str, Variant]) -> str:
        wanted = _options("Apply", options)
        details = await self._details(documents)
        message = "Authentication is required to apply $(documents) to this machine (SHA-256 $(sha256))."
        caller = await self._may(Question("apply", message, details))
        outcome = await self._client.apply(
            await _read(documents),
            once=wanted.get("once", False),
            confirm_sec=wanted.get("confirm", 0),
            nothing=wanted.get("nothing", False),
            caller=caller,
        )
        return json.dumps(to_json(outcome))

    @method()
    @_answered
    async def Status(self) -> "s":
        """Return the JSON of the status, observed now. The properties change with it."""
        if await self._is_root():
            return json.dumps(to_json(await self._client.status()))
        if self._next_status is None:
            self._next_status = asyncio.ensure_future(self._observe())
        return json.dumps(to_json(public_status(await asyncio.shield(self._next_status))))

    async def _observe(self) -> Status_:
        """Return the status for all who ask until it is begun."""
        async with self._pace:
            self._next_status = None
            return await self._client.status()

    @method()
    @_answered
    async def Explain(self, about: "s") -> "s":
        """Return the JSON of everything that is known about a unit, a path or a pointer."""
        if await self._is_root():
            return json.dumps(to_json(await self._client.explain(about)))
        async with self._pace:
            return json.dumps(to_json(public_explanation(await self._client.explain(about))))

    @method()
    @_answered
    async def Refresh(self) -> "":
        """Read the source again."""
        await self._may(Question("apply", "Authentication is required to read the documents of this machine again."))
        await self._client.refresh()

    @method()
    @_answered
    async def Pause(self) -> "":
        """Stop following the source until `Follow`."""
        await self._pause(NO_TERMS)

    @method()
    @_answered
    async def PauseWith(self, options: "a{sv}") -> "s":
        """Do as `Pause`, and return the JSON of the pause. Options: ``why`` (s), ``for`` and ``until`` (t, seconds)."""
        return json.dumps(to_json(await self._pause(_terms(_options("PauseWith", options)))))

    async def _pause(self, terms: Terms) -> Instruction:
        question = Question("apply", "Authentication is required to pause the changes of this machine.")
        return await self._client.pause(terms, caller=await self._may(question))

    @method()
    @_answered
    async def Resume(self) -> "":
        """Do the same as `Follow`: the older name."""
        question = Question("apply", "Authentication is required to resume the changes of this machine.")
        await self._client.resume(caller=await self._may(question))

    @method()
    @_answered
    async def Follow(self) -> "":
        """Follow the source again: after `Pause`, `Rollback`, or documents that an administrator applied."""
        message = "Authentication is required to follow the source instead of documents that were applied."
        await self._client.follow(caller=await self._may(Question("apply", message)))

    @method()
    @_answered
    async def Confirm(self) -> "u":
        """Keep the generation that is on trial, and return its number."""
        question = Question("apply", "Authentication is required to keep the generation that is on trial.")
        return await self._client.confirm(caller=await self._may(question))

    @method()
    @_answered
    async def Rollback(self, number: "u") -> "s":
        """Roll back to generation ``number`` (0: the one before). Return the JSON of the outcome."""
        return await self._rollback(number, "")

    @method()
    @_answered
    async def RollbackWith(self, number: "u", options: "a{sv}") -> "s":
        """Do as `Rollback`. Option: ``why`` (s), the reason."""
        return await self._rollback(number, _options("RollbackWith", options).get("why", ""))

    async def _rollback(self, number: int, why: str) -> str:
        target = f"generation {number}" if number else "the generation before"
        message = "Authentication is required to roll this machine back to $(generation)."
        caller = await self._may(Question("apply", message, {"generation": target}))
        return json.dumps(to_json(await self._client.rollback(number, why=why, caller=caller)))

    @method()
    @_answered
    async def Hold(self, unit: "s", options: "a{sv}") -> "s":
        """Leave a unit alone. Return the JSON of the hold.

        Options: ``unmask`` (b), to remove the documents' mask; ``why``, ``for`` and ``until`` as in `PauseWith`.
        """
        wanted = _options("Hold", options)
        caller = await self._may(Question("apply", "Authentication is required to hold $(unit).", {"unit": unit}))
        unmask = wanted.get("unmask", False)
        return json.dumps(to_json(await self._client.hold(unit, unmask=unmask, terms=_terms(wanted), caller=caller)))

    @method()
    @_answered
    async def Unhold(self, unit: "s") -> "s":
        """Return a unit to the documents. Return the JSON of the outcome, ``null`` if there was nothing to do."""
        message = "Authentication is required to return $(unit) to the documents."
        caller = await self._may(Question("apply", message, {"unit": unit}))
        return json.dumps(to_json(await self._client.unhold(unit, caller=caller)))

    @method()
    @_answered
    async def FollowUnit(self, unit: "s") -> "s":
        """End a hold, and bring a unit to the state in the documents. Return the JSON of the outcome, or ``null``."""
        message = "Authentication is required to bring $(unit) to the state in the documents."
        caller = await self._may(Question("apply", message, {"unit": unit}))
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
        return [[c.code, c.what, c.hint] for c in public_status(self._status.current).conditions]

    @dbus_property(access=PropertyAccess.READ)
    def Instructions(self) -> "a(ssssss)":
        """Return kind, subject, author, time, reason and end of each hold, pause and pin."""
        return [[i.kind, i.subject, i.by, i.since, i.why, i.until] for i in self._status.current.instructions]

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
        """See `apply_steps.ApplyListener`."""
        self.PlanStarted(json.dumps(to_json(public_plan(plan))))

    def judged(self, verdict: UnitVerdict) -> None:
        """See `apply_steps.ApplyListener`."""
        self.UnitConverged(verdict.unit, verdict.ok, public_verdict(verdict).what)

    def ended(self, outcome: Outcome) -> None:
        """See `apply_steps.ApplyListener`."""
        if outcome.rejected:
            self.RolledBack(outcome.rejected, public_reason(outcome))
        elif outcome.exit_status == 0 and not outcome.confirm_by:
            self.Converged(outcome.generation)

    def announce(self) -> None:
        """Send signals from now on, to everybody."""
        shown: dict[str, Any] = {}

        def changed(_status: Status_) -> None:
            now = {name: getattr(self, name) for name in _PROPERTIES}
            changed = {name: value for name, value in now.items() if value != shown.get(name)}
            shown.update(now)
            if changed:
                self.emit_properties_changed(changed)

        self._status.listen(changed)


async def serve(connection: GuardedMessageBus, interface: AgentInterface, name: str = BUS_NAME) -> None:
    """Export the interface and request ``name`` on the bus. Raises `Unavailable` if another agent has it."""
    connection.reads = READS
    connection.export(OBJECT_PATH, interface)
    try:
        reply = await connection.request_name(name, NameFlag.DO_NOT_QUEUE)
    except DBusError as error:
        raise Unavailable(f"the bus does not give this process the name {name}: {error.text}") from None
    if reply not in (RequestNameReply.PRIMARY_OWNER, RequestNameReply.ALREADY_OWNER):
        raise Unavailable(f"another agent runs: it has the name {name} on the bus")


def _sender() -> str:
    return current_call.get().sender or ""


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
        if isinstance(variant.value, int) and variant.value < 0:
            raise Failure(f"option {name} of {method}: {variant.value} is negative")
    return {name: variant.value for name, variant in options.items()}


def _terms(options: dict[str, Any]) -> Terms:
    return Terms(why=options.get("why", ""), lasts_sec=options.get("for", 0), until_sec=options.get("until", 0))


def _texts(pairs: list[list[str]]) -> Texts:
    return [(path, text.encode()) for path, text in pairs]


async def _read(documents: DocumentFile | Texts) -> Texts | None:
    """Return the documents, None for those of the source."""
    if isinstance(documents, DocumentFile):
        return list(await asyncio.to_thread(documents.read))
    return documents or None


async def _details(documents: DocumentFile | Texts) -> dict[str, str]:
    """Return the documents as polkit shows them: their paths, and the SHA-256 of all texts. Raises `Failure`."""
    if isinstance(documents, DocumentFile):
        documents.check()
        names, sha256 = [path for path, _ in documents.sizes], await asyncio.to_thread(documents.sha256)
    else:
        names, sha256 = [path for path, _ in documents], hashlib.sha256(b"".join(d for _, d in documents)).hexdigest()
    if not names:
        return {"documents": "the documents of the source", "sha256": "-"}
    # Before the names, because these may be cut.
    return {"documents": f"{len(names)} document{'s' * (len(names) > 1)}: {', '.join(names)}", "sha256": sha256}
