"""The client of a running agent, over D-Bus.

An apply may restart the message bus, and the agent with it. The next agent finishes that apply from its journal, and
the client returns the outcome of this, or asks again if the apply had not begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbus_next.signature import Variant

from ordain.agent.daemon.clients.client import BUS_NAME, OBJECT_PATH, Documents
from ordain.agent.daemon.clients.document_file import write_documents
from ordain.agent.daemon.clients.reported_status import read_reported_status
from ordain.agent.errors import BY_NAME, REFUSED, Unavailable
from ordain.agent.instruction import NO_TERMS, Instruction, Terms
from ordain.agent.json_codec import from_json
from ordain.agent.model import Hold, Outcome, Plan, to_json
from ordain.agent.state.last_outcome import read_last_outcome
from ordain.agent.status import AgentState, Status, UnitExplanation
from ordain.agent.system.dbus.bus import BusError, Disconnected, Signal, get
from ordain.agent.system.dbus.dbus_next_driver import DbusNext
from ordain.agent.system.systemd.manager_bus import is_away
from ordain.transforms.errors import Problem, Refused

APPLY_TIMEOUT_SEC = 3600.0
"""Longer than an apply takes: the agent limits that by the timeouts of the units."""
CONFIRM_TIMEOUT_SEC = 25.0
STATUS_SEC = 20.0
"""The status is waited for no longer: for users other than root, the agent observes the machine every 10 s at most."""
RETURN_SEC = 180.0
"""The agent gets this long to return and to finish what its predecessor left undone."""
POLL_SEC = 0.2
TIMES = 3
"""A request is made this often at most."""
BUSY = frozenset({AgentState.STARTING, AgentState.APPLYING})
LARGE = 32 << 10
"""Documents of so many bytes are sent as a file, since the agent refuses large messages (`dbus_guard.BODY_MAX`)."""


class AgentLost(Unavailable):
    """The agent ended, or was killed, while it had a call."""


class RemoteClient:
    """A `Client` that asks the agent on the bus, at its name ``destination``.

    ``observe`` returns the status of the machine without the agent, for root.
    """

    agent = True

    def __init__(
        self,
        bus: DbusNext,
        root: Path = Path("/"),
        destination: str = BUS_NAME,
        observe: Callable[[], Awaitable[Status]] | None = None,
    ) -> None:
        self._bus = bus
        self._root = root
        self._destination = destination
        self._observe = observe

    def close(self) -> None:
        """Leave the bus."""
        self._bus.close()

    async def _call(
        self,
        member: str,
        signature: str = "",
        *body: Any,
        timeout_sec: float = APPLY_TIMEOUT_SEC,
        descriptors: Sequence[int] = (),
    ) -> Any:
        try:
            return await self._bus.call(
                self._destination,
                OBJECT_PATH,
                BUS_NAME,
                member,
                signature,
                *body,
                timeout_sec=timeout_sec,
                descriptors=descriptors,
            )
        except BusError as error:
            if error.error == REFUSED:
                raise Refused(from_json(tuple[Problem, ...], json.loads(error.message))) from None
            if error.error in BY_NAME:
                raise BY_NAME[error.error](error.message) from None
            if is_away(error):
                what = "ordain-agent ended before it answered; see `systemctl status ordain-agent`, and ask again"
                raise AgentLost(what) from None
            raise

    async def _outcome(
        self, member: str, signature: str = "", *body: Any, again: bool = True, descriptors: Sequence[int] = ()
    ) -> Any:
        """Return the JSON data of the answer of a method that applies, even if the agent restarts meanwhile.

        If the apply had not begun, the agent is asked ``again``. Raises `Unavailable`.
        """
        began = datetime.now(UTC).isoformat(timespec="seconds")
        for _ in range(TIMES):
            try:
                return json.loads(await self._call(member, signature, *body, descriptors=descriptors))
            except (AgentLost, Disconnected):
                pass
            await self._wait_for_agent()
            outcome = await asyncio.to_thread(read_last_outcome, self._root)
            if outcome and outcome.caller == os.getpid() and outcome.started >= began:
                return to_json(outcome)
            if not again:
                raise Unavailable("the agent was lost; `ordainctl status` shows what has become of the trial")
        raise Unavailable("the agent restarts again and again; see `systemctl status ordain-agent`")

    async def _wait_for_agent(self) -> None:
        """Connect again, and wait until an agent is idle. Raises `Unavailable`."""
        self._bus.close()
        deadline = time.monotonic() + RETURN_SEC
        while not await self._reconnect():
            if time.monotonic() > deadline:
                what = f"the agent was lost, and did not return within {RETURN_SEC:.0f} s"
                raise Unavailable(f"{what}; `ordainctl status` shows what has become of the apply")
            await asyncio.sleep(POLL_SEC)

    async def _reconnect(self) -> bool:
        """Connect to the bus, and return whether an agent is there and idle; otherwise leave the bus again."""
        try:
            bus = await DbusNext.open()
        except Unavailable:
            return False
        with contextlib.suppress(Unavailable):
            if await get(bus, self._destination, OBJECT_PATH, BUS_NAME, "State") not in BUSY:
                self._bus = bus
                return True
        bus.close()
        return False

    async def plan(self, documents: Documents | None = None) -> Plan:
        """See `Client.plan`."""
        with _as_values(documents) as (suffix, signature, body, descriptors):
            answer = await self._call(f"Plan{suffix}", signature, *body, descriptors=descriptors)
        return from_json(Plan, json.loads(answer))

    async def apply(
        self, documents: Documents | None = None, *, once: bool = False, confirm_sec: int = 0, nothing: bool = False
    ) -> Outcome:
        """See `Client.apply`."""
        options = {"once": Variant("b", once), "confirm": Variant("u", confirm_sec)}
        options |= {"nothing": Variant("b", True)} if nothing else {}  # an older agent does not know it
        again = not confirm_sec  # a trial that has ended must not begin anew
        with _as_values(documents) as (suffix, signature, body, descriptors):
            answer = await self._outcome(
                f"Apply{suffix}", f"{signature}a{{sv}}", *body, options, again=again, descriptors=descriptors
            )
        return from_json(Outcome, answer)

    async def confirm(self) -> int:
        """See `Client.confirm`. The wait is short: an agent that does not answer confirms nothing."""
        return int(await self._call("Confirm", timeout_sec=CONFIRM_TIMEOUT_SEC))

    async def rollback(self, number: int = 0, *, why: str = "") -> Outcome:
        """See `Client.rollback`."""
        if not why:  # an older agent does not know the method with options
            return from_json(Outcome, await self._outcome("Rollback", "u", number))
        options = {"why": Variant("s", why)}
        return from_json(Outcome, await self._outcome("RollbackWith", "ua{sv}", number, options))

    async def status(self) -> Status:
        """See `Client.status`. If the agent does not answer, the status is what is known without it.

        At the public name, other users can keep the agent from answering.
        """
        of_user = self._destination == BUS_NAME and os.geteuid() != 0
        try:
            return from_json(Status, json.loads(await self._call("Status", timeout_sec=STATUS_SEC)))
        except BusError as error:
            if not (of_user and error.error.endswith(".LimitsExceeded")):
                raise
            why = f"the agent refuses calls of users now ({error.message})"
        except Disconnected:
            raise
        except Unavailable as failure:
            if not of_user and self._observe is None:
                raise
            why = str(failure)
        if self._observe is not None and not of_user:
            return await self._observe()
        return await asyncio.to_thread(read_reported_status, self._root, why)

    async def explain(self, about: str) -> UnitExplanation:
        """See `Client.explain`."""
        return from_json(UnitExplanation, json.loads(await self._call("Explain", "s", about)))

    async def hold(self, unit: str, *, unmask: bool = False, terms: Terms = NO_TERMS) -> Hold:
        """See `Client.hold`."""
        options = {"unmask": Variant("b", unmask), **_terms_as_options(terms)}
        return from_json(Hold, json.loads(await self._call("Hold", "sa{sv}", unit, options)))

    async def unhold(self, unit: str) -> Outcome | None:
        """See `Client.unhold`."""
        return from_json(Outcome | None, await self._outcome("Unhold", "s", unit))  # type: ignore[arg-type]

    async def follow_unit(self, unit: str) -> Outcome | None:
        """See `Client.follow_unit`."""
        return from_json(Outcome | None, json.loads(await self._call("FollowUnit", "s", unit)))  # type: ignore[arg-type]

    async def refresh(self) -> None:
        """See `Client.refresh`."""
        await self._call("Refresh")

    async def pause(self, terms: Terms = NO_TERMS) -> Instruction:
        """See `Client.pause`."""
        if not terms:  # an older agent does not know the method with options
            await self._call("Pause")
            return Instruction()
        return from_json(Instruction, json.loads(await self._call("PauseWith", "a{sv}", _terms_as_options(terms))))

    async def resume(self) -> None:
        """See `Client.resume`."""
        await self._call("Resume")

    async def follow(self) -> None:
        """See `Client.follow`."""
        await self._call("Follow")

    async def watch(self) -> AsyncIterator[Status]:
        """See `Client.watch`."""
        changed = asyncio.Event()
        changed.set()

        def on_signal(_signal: Signal) -> None:
            changed.set()

        await self._bus.listen(BUS_NAME, OBJECT_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", on_signal)
        while True:
            await changed.wait()
            changed.clear()
            yield await self.status()


def _terms_as_options(terms: Terms) -> dict[str, Variant]:
    """Return terms as the options of a method, without those that are not set."""
    values = (("why", "s", terms.why), ("for", "t", terms.lasts_sec), ("until", "t", terms.until_sec))
    return {name: Variant(signature, value) for name, signature, value in values if value}


@contextlib.contextmanager
def _as_values(documents: Documents | None) -> Iterator[tuple[str, str, tuple[Any, ...], tuple[int, ...]]]:
    """Yield documents as D-Bus carries them: the end of the method's name, signature, values, and descriptors.

    Large documents are in a file. Raises `Refused`.
    """
    texts = _texts(documents)
    if sum(len(text) for _, text in texts) < LARGE:
        yield "", "a(ss)", (texts,), ()
        return
    sizes, file = write_documents(documents or ())
    with file:
        yield "File", "a(st)h", (sizes, 0), (file.fileno(),)


def _texts(documents: Documents | None) -> list[list[str]]:
    """Return documents as D-Bus carries them. Raises `Refused` for bytes that are not UTF-8, as D-Bus strings are."""
    texts = []
    problems: list[Problem] = []
    for path, data in documents or ():
        try:
            text = data.decode()
        except UnicodeDecodeError:
            # The schema of documents takes as long to import as the rest of a `status`.
            from ordain.transforms.document.reader import read

            problems += read(path, data)[1]
        else:
            # A D-Bus string cannot hold NUL. A document cannot hold either character, and the agent reports that.
            texts.append([path, text.replace("\0", "\x01")])
    if problems:
        raise Refused(problems)
    return texts
