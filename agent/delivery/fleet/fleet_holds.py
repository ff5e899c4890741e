"""Holds of machines by the store: machines that are held take no other release until the hold ends.

releases/_holds    {"holds": [FleetHold, …]}: below releases/, where machines only read

A hold ends at a time of day, by the clock of each machine. A clock that is earlier than the beginning of the hold is
wrong, and ends nothing. Machines are held by the labels that they report, also those of their Node.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.rollout_policy import Wait
from ordain.agent.delivery.release.publish_lock import INTERNAL
from ordain.agent.instruction import StandingInstruction, describe
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json

HOLDS = f"{INTERNAL}holds"


class HoldTarget(StrEnum):
    """The things that can be held: a machine by its machine-id, all with a label, all of a channel."""

    MACHINE = "machine"
    LABEL = "label"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetHold:
    """A hold of a machine (``subject`` is its machine-id), a label (``role=web``) or a channel.

    ``name`` is the name of the subject for people. ``since`` and ``until`` are ISO 8601, UTC; a hold without an end
    has "".
    """

    target: HoldTarget
    subject: str
    name: str = ""
    since: str = ""
    by: str = ""
    why: str = ""
    until: str = ""

    @property
    def title(self) -> str:
        """Return the subject with its kind, such as ``machine web3``."""
        return f"{self.target} {self.name or self.subject}"

    def is_over(self, now: datetime) -> bool:
        """Return whether the hold has ended by a clock that shows ``now``."""
        until, since = _moment(self.until), _moment(self.since)
        return until is not None and now >= until and (since is None or now >= since)

    def includes(self, report: MachineReport) -> bool:
        """Return whether a machine is held: by its machine-id, its labels or its channel."""
        subjects = {
            HoldTarget.MACHINE: (report.machine,),
            HoldTarget.LABEL: (f"{name}={value}" for name, values in report.labels.items() for value in values),
            HoldTarget.CHANNEL: (report.release.channel,),
        }
        return self.subject in subjects[self.target]

    def describe(self) -> str:
        """Return the subject, the author, the time, the reason and the end, for people."""
        return f"{self.title} is held {describe(self._standing())}"

    def wait(self) -> Wait:
        """Return the wait that the hold imposes on a machine."""
        return Wait(why=f"the fleet holds {self.title} {describe(self._standing())}", until=_moment(self.until))

    def _standing(self) -> StandingInstruction:
        return StandingInstruction(since=self.since, by=self.by, why=self.why, until=self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetHolds:
    """All holds of a store."""

    holds: tuple[FleetHold, ...] = ()

    def of(self, report: MachineReport, now: datetime) -> FleetHold | None:
        """Return a hold of the machine that is in force, the one that lasts longest; None if there is none."""
        holding = [hold for hold in self.in_force(now) if hold.includes(report)]
        return max(holding, key=lambda hold: hold.until or "9999", default=None)

    def in_force(self, now: datetime) -> tuple[FleetHold, ...]:
        """Return the holds that have not ended."""
        return tuple(hold for hold in self.holds if not hold.is_over(now))

    def with_hold(self, hold: FleetHold, now: datetime) -> FleetHolds:
        """Return the holds with another one, which replaces one of the same subject; ended ones are left out."""
        others = (h for h in self.in_force(now) if (h.target, h.subject) != (hold.target, hold.subject))
        return FleetHolds(holds=(*others, hold))

    def without(self, target: HoldTarget, subject: str, now: datetime) -> FleetHolds:
        """Return the holds without that of a subject, and without those that have ended."""
        return FleetHolds(holds=tuple(h for h in self.in_force(now) if (h.target, h.subject) != (target, subject)))


NO_HOLDS = FleetHolds()


def encode_holds(holds: FleetHolds) -> bytes:
    """Return the content of the key."""
    return json.dumps(to_json(holds)).encode()


def decode_holds(data: bytes) -> FleetHolds:
    """Read the content of the key. Raises ValueError."""
    try:
        return from_json(FleetHolds, json.loads(data))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not the holds of a fleet: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHolds:
    """The holds in a store, and the version of their key (None: there is no key).

    ``doubt`` is a sentence on a text that cannot be read, or on two servers with different holds; "": there is none.
    """

    holds: FleetHolds = NO_HOLDS
    version: str | None = None
    doubt: str = ""


async def read_holds(database: Database) -> StoredHolds:
    """Return the holds of a store; of a text that cannot be read, none. Raises `SourceError`."""
    entry = await database.get(HOLDS)
    if entry is None:
        return StoredHolds()
    try:
        holds = decode_holds(entry.data)
    except ValueError as error:
        doubt = f"{HOLDS}: {error}; nobody is held until `ordainctl fleet hold` replaces it; look who may write there"
        return StoredHolds(version=entry.version, doubt=doubt)
    doubt = ""
    if entry.conflict:
        doubt = (
            f"{HOLDS} {entry.conflict}: two servers hold different machines, and these are the holds of one of them; "
            "machines take no release until `ordainctl fleet hold` or `fleet follow` settles it"
        )
    return StoredHolds(holds=holds, version=entry.version, doubt=doubt)


def _moment(text: str) -> datetime | None:
    """Return a time in ISO 8601, None for another text: a hold whose end cannot be read lasts until it is ended."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
