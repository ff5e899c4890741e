"""The record that a boot server keeps of each machine that asked it, in memory and in a directory.

    STATE/MACHINE.json    one `NetbootRecord`, written at most once per `PACE_SEC`; MACHINE is a MAC address or a UUID
    STATE/MACHINE.once    the image for its next boot only, written by `ordainctl fleet boot --once`

A machine that a Node matches is known. Whoever is in the network can ask in the name of any number of machines, so the
known machines have a list of their own: no request can push out the last good script of one of them.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ordain.agent.errors import Failure
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.system import atomic_files
from ordain.transforms.errors import did_you_mean
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Facts
from ordain.transforms.netboot.machine_query import BEFORE_ANY_SYSTEM, parse_mac

log = logging.getLogger(__name__)
PACE_SEC = 1.0
MAX_KNOWN = 10_000
MAX_PER_NODE = 16
"""The machines of one Node: more than one matches it if it matches on a pattern, or during a change of the card."""
MAX_DISCOVERED = 1_000
MAX_BYTES = 256 << 10
MAX_REFERENCE = 256
MAX_LOG = 20
_SAID = tuple("arch system_firmware system_uuid system_serial_number system_manufacturer system_product_name".split())
_FILE = lazy_pattern(r"([0-9a-f-]{12,36})\.json")


class UnknownMachine(Failure):
    """No machine of this name has asked the boot server."""


class NetbootStep(StrEnum):
    """One thing that happened between a machine and the server."""

    ASKED = "asked"
    """It got the script that its documents make."""
    ASKED_AGAIN = "asked again"
    """iPXE could not fetch a file, and asked in the same boot once more."""
    COMPLETED = "completed"
    """The machine said that its boot is good."""
    ROLLED_BACK = "rolled back"
    """It got its last good image, because boots of the one in its documents did not complete."""
    ONCE = "once"
    """It got the image that an administrator named for one boot."""
    LAST_GOOD = "last good script"
    """Its documents are wrong, or a file is missing: it got the script of before, or was told to wait."""
    DISK = "disk"
    """Its installation is complete: it was sent to its disk."""
    INSTALLING = "installing"
    """It began to install an image to its disk."""
    INSTALLED = "installed"
    """It said that the installation on its disk is complete."""
    NOT_INSTALLED = "not installed"
    """It said why it does not install: a foreign disk, an ambiguous one, or a fault."""
    WAITS = "waits"
    """No document says what it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetbootEvent:
    """A step that happened ``count`` times in a row, from ``first`` to ``last`` (seconds since 1970)."""

    step: NetbootStep
    image: str = ""
    first: float
    last: float
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NetbootRecord:
    """One machine: ``node`` is the Node that matches it, "" for a discovered machine, ``channel`` that of its URL.

    ``release`` is the number of the release whose documents it boots, 0 for documents without one, and ``waiting`` why
    that is not the latest one.
    ``first`` and ``last`` are the times of its requests, in seconds since 1970. ``said`` are the facts that it sent.
    ``script`` is its last good script, "" before there is one, and ``image`` the image in it. ``problems`` are the
    reasons why it does not get a newer one, and warnings. ``boots`` counts its requests for that script since it last
    completed a boot of it; ``good_script`` and ``good_image`` are those with which a boot completed, and ``reported``
    is the time when it last said so, 0 if it never did. ``installed`` is the identity of the complete installation on
    its disk, "" if there is none, and ``not_installed`` the reason why the last installation was not made.
    ``installed_image`` is its image, and ``installed_at`` the time when the machine last said that it is complete.
    ``log`` has the latest steps, the last one at the end.
    """

    machine: str
    node: str = ""
    channel: str = ""
    release: int = 0
    waiting: str = ""
    first: float = 0.0
    last: float = 0.0
    said: Mapping[str, str] = field(default_factory=dict)
    script: str = ""
    image: str = ""
    problems: tuple[str, ...] = ()
    boots: int = 0
    good_script: str = ""
    good_image: str = ""
    reported: float = 0.0
    installed: str = ""
    not_installed: str = ""
    installed_image: str = ""
    installed_at: float = 0.0
    log: tuple[NetbootEvent, ...] = ()


def with_step(record: NetbootRecord, step: NetbootStep, image: str, now: float) -> NetbootRecord:
    """Return the record with one more step in its log, in which equal steps in a row are one event."""
    latest = record.log[-1] if record.log else None
    if latest is not None and (latest.step, latest.image) == (step, image):
        return replace(record, log=(*record.log[:-1], replace(latest, last=now, count=latest.count + 1)))
    return replace(record, log=(*record.log, NetbootEvent(step=step, image=image, first=now, last=now))[-MAX_LOG:])


def said_by(facts: Facts) -> Mapping[str, str]:
    """Return the facts that a machine has sent, by the names that documents use, without empty ones."""
    values = {name.replace("_", "-"): str(getattr(facts, name)) for name in _SAID}
    return {"mac": ", ".join(facts.mac), **values} if facts.mac else values


def facts_said(said: Mapping[str, str]) -> Facts:
    """Return the facts that `said_by` has named."""
    macs = tuple(filter(None, said.get("mac", "").split(", ")))
    texts: dict[str, Any] = {name: said.get(name.replace("_", "-"), "") for name in _SAID}
    return replace(BEFORE_ANY_SYSTEM, mac=macs, **texts)


class MachineRecords:
    """The records of all machines; without a ``folder``, they end with the server."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known: OrderedDict[str, NetbootRecord] = OrderedDict()
        self._discovered: OrderedDict[str, NetbootRecord] = OrderedDict()
        self._by_node: dict[str, OrderedDict[str, None]] = {}
        self._changed: set[str] = set()

    def load(self) -> None:
        """Read the records of an earlier server. Raises `Failure` if the directory cannot be used."""
        if self._folder is None:
            return
        try:
            atomic_files.make_folder(self._folder, 0o755)
            atomic_files.replace(self._folder / ".writable", b"")
        except OSError as error:
            raise Failure(atomic_files.describe_error(error, self._folder)) from None
        for record in read_records(self._folder):
            self._keep(record)
        self._changed.clear()

    def get(self, machine: str) -> NetbootRecord:
        """Return the record of a machine, a new one if there is none."""
        record = self._known.get(machine) or self._discovered.get(machine)
        return record or NetbootRecord(machine=machine)

    def all(self) -> tuple[NetbootRecord, ...]:
        """Return all records, the known machines first, and of each kind the one that asked last at the end."""
        return (*self._known.values(), *self._discovered.values())

    def set_once(self, machine: str, image: str) -> None:
        """Set the image for the next boot of the machine only, or with "" none. Raises `Failure`."""
        if self._folder is None:
            raise Failure("this server keeps no records; start it with --state DIR")
        write_once(self._folder, machine, image)

    def put(self, record: NetbootRecord) -> None:
        """Replace the record of a machine; the one that has asked least recently is forgotten for a new one."""
        self._keep(record)
        self._changed.add(record.machine)

    def _keep(self, record: NetbootRecord) -> None:
        machine = record.machine
        before = self._known.pop(machine, None)
        self._discovered.pop(machine, None)
        if before is not None:
            self._by_node.get(before.node, OrderedDict()).pop(machine, None)
        if not record.node:
            self._discovered[machine] = record
            if len(self._discovered) > MAX_DISCOVERED:
                self._changed.add(self._discovered.popitem(last=False)[0])
            return
        self._known[machine] = record
        same = self._by_node.setdefault(record.node, OrderedDict())
        same[machine] = None
        if len(same) > MAX_PER_NODE:
            self._forget_known(next(iter(same)))
        if len(self._known) > MAX_KNOWN:
            self._forget_known(next(iter(self._known)))

    def _forget_known(self, machine: str) -> None:
        node = self._known.pop(machine).node
        same = self._by_node[node]
        del same[machine]
        if not same:
            del self._by_node[node]
        self._changed.add(machine)

    def once(self, machine: str) -> str:
        """Return the image for the next boot of the machine only, "" if there is none."""
        if self._folder is None:
            return ""
        try:
            return atomic_files.read(once_path(self._folder, machine), MAX_REFERENCE).decode(errors="replace").strip()
        except OSError:
            return ""

    def end_once(self, machine: str) -> None:
        """Forget the image for the next boot: the machine has it, or cannot have it."""
        assert self._folder is not None
        try:
            once_path(self._folder, machine).unlink(missing_ok=True)
        except OSError as error:
            log.error(
                "%s; every boot of %s starts that image", atomic_files.describe_error(error, self._folder), machine
            )

    def take_changes(self) -> Mapping[str, NetbootRecord | None]:
        """Return the records that changed since the last call, None for a forgotten one."""
        changes = {name: self._known.get(name) or self._discovered.get(name) for name in sorted(self._changed)}
        self._changed.clear()
        return changes if self._folder is not None else {}

    def write(self, changes: Mapping[str, NetbootRecord | None]) -> None:
        """Write ``changes`` to the directory; log what cannot be written."""
        assert self._folder is not None or not changes
        for machine, record in changes.items():
            path = record_path(self._folder or Path(), machine)
            try:
                if record is None:
                    path.unlink(missing_ok=True)
                else:
                    atomic_files.replace(path, json.dumps(to_json(record)).encode(), atomic_files.PUBLIC)
            except OSError as error:
                log.error(
                    "%s; a server that starts anew does not know %s", atomic_files.describe_error(error, path), machine
                )
                return


def record_named(records: Iterable[NetbootRecord], wanted: str) -> NetbootRecord:
    """Return the record of a machine by its MAC address or UUID, or by the name of its Node.

    Raises `UnknownMachine`, and `Failure` if several machines match.
    """
    records = tuple(records)
    matching = [record for record in records if (parse_mac(wanted) or wanted) in (record.machine, record.node)]
    if not matching:
        hint = did_you_mean(wanted, [name for record in records for name in (record.machine, record.node) if name])
        raise UnknownMachine(f"no machine {wanted[:64]} has asked this boot server" + (f"; {hint}" if hint else ""))
    if len(matching) > 1:
        named = ", ".join(record.machine for record in matching)
        raise Failure(f"{wanted} matches {len(matching)} machines; name one of {named}")
    return matching[0]


def write_once(folder: Path, machine: str, image: str) -> None:
    """Write the image for the next boot of a machine only, or with "" none. Raises `Failure`."""
    path = once_path(folder, machine)
    try:
        if image:
            atomic_files.replace(path, f"{image}\n".encode(), atomic_files.PUBLIC)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, path)) from None


def once_path(folder: Path, machine: str) -> Path:
    """Return the file with the image for the next boot of a machine."""
    return record_path(folder, machine).with_suffix(".once")


def record_path(folder: Path, machine: str) -> Path:
    """Return the file of a machine."""
    return folder / f"{machine.replace(':', '-')}.json"


def read_records(folder: Path) -> tuple[NetbootRecord, ...]:
    """Return all records below ``folder`` that can be read, the one that asked last at the end. Raises `Failure`."""
    try:
        paths = [path for path in folder.iterdir() if _FILE.fullmatch(path.name)]
    except OSError as error:
        raise Failure(
            f"{atomic_files.describe_error(error, folder)}; name the directory of `ordainctl serve --state`"
        ) from None
    return tuple(sorted(_readable(paths), key=lambda record: (record.last, record.machine)))


def _readable(paths: Iterable[Path]) -> Iterable[NetbootRecord]:
    for path in paths:
        try:
            record = from_json(NetbootRecord, json.loads(atomic_files.read(path, MAX_BYTES)))
        except (OSError, ValueError) as error:
            log.warning("%s: %s; it is ignored", path, error)
            continue
        if record_path(path.parent, record.machine) == path:
            yield record
