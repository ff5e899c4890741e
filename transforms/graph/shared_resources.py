"""Addresses that two sockets listen on, and directories below /run that two services own.

The kernel gives an address to one socket only, so the second one fails. PID 1 removes the runtime directory of a
service that stops, with everything that others have in it (systemd.exec(5), RuntimeDirectory=).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from ordain.transforms.artifacts import AbsentFile, PlacedFile
from ordain.transforms.errors import Problem, Severity, warning
from ordain.transforms.forbidden_paths import real_path
from ordain.transforms.graph.effective_units import EffectiveUnits
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key
from ordain.transforms.model import Installed, Member, Wanted
from ordain.transforms.render.rendered_item import RenderedItem

_LISTEN = {
    "ListenStream": "stream",
    "ListenDatagram": "datagram",
    "ListenSequentialPacket": "sequential-packet",
    "ListenFIFO": "fifo",
}
_PER_DIRECTORY = {
    "RuntimeDirectory": "PID 1 removes it with everything in it when one of them stops",
    "StateDirectory": "PID 1 gives it to the user of the one that starts last",
    "CacheDirectory": "PID 1 gives it to the user of the one that starts last",
    "LogsDirectory": "PID 1 gives it to the user of the one that starts last",
}
_KEYS = {"RuntimeDirectory": "runtime", "StateDirectory": "state", "CacheDirectory": "cache", "LogsDirectory": "logs"}


@dataclass(frozen=True, slots=True)
class _Address:
    """A place at which a socket listens; ``host`` None means all addresses of both families."""

    kind: str
    port: str
    host: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    device: str = ""

    def takes(self, other: _Address) -> bool:
        """Return whether both, of one kind and port, cannot be had at once."""
        if self.device and other.device and self.device != other.device:
            return False
        hosts = {self.host, other.host}
        return len(hosts) == 1 or any(host is None or host.is_unspecified for host in hosts)


def shared_resources(
    items: Iterable[RenderedItem], units: EffectiveUnits, installed: Installed | None, place_of: PlaceOf
) -> Iterator[Problem]:
    """Yield a problem for each address that two units want, and a warning for each directory that two services own."""
    items = tuple(items)
    members = {member.unit: member for item in items for member in item.members}
    yield from _addresses(members, units, installed, place_of)
    yield from _directories(members, units, installed, place_of)
    yield from _in_runtime_directories(items, members, units, installed, place_of)
    yield from _given_away(items, units, place_of)


def _addresses(
    members: Mapping[str, Member], units: EffectiveUnits, installed: Installed | None, place_of: PlaceOf
) -> Iterator[Problem]:
    """Yield the addresses of two sockets of the documents, which blocks both, or of one and an enabled one."""
    enabled = {link.name for link in installed.links if link.name.endswith(".socket")} if installed else set()
    listeners: dict[tuple[str, str], list[tuple[str, _Address]]] = {}
    for unit in sorted(units.units):
        if unit.endswith(".socket") and _wanted(unit, members, unit in enabled):
            for listened in _listens(unit, units):
                listeners.setdefault((listened.kind, listened.port), []).append((unit, listened))
    seen: set[tuple[str, str]] = set()
    for (one, taken), (two, other) in (pair for at_port in listeners.values() for pair in combinations(at_port, 2)):
        of_documents = {one, two} & units.items.keys()
        if (one, two) in seen or not of_documents or not taken.takes(other) or _share(one, two, units):
            continue
        seen.add((one, two))
        address = taken.port if taken.host is None else f"{taken.host}:{taken.port}"
        names = f"{one} and {two} both listen" if one != two else f"{one} listens twice"
        what = f"{names} on {address}, and only the first can have it"
        hint = "set `state: stopped` for one of them, or choose another address"
        severity = Severity.BLOCKED if {one, two} <= members.keys() else Severity.WARNING
        for unit in sorted({one, two} & members.keys()):
            item = members[unit].item
            where = place_of_key(item, ("listen",), place_of)
            yield Problem(where=where, what=what, hint=hint, code="AddressTaken", severity=severity, item=item)


def _wanted(unit: str, members: Mapping[str, Member], enabled: bool) -> bool:
    member = members.get(unit)
    if member is None or member.wanted is Wanted.PRESENT:
        return enabled
    return member.wanted is Wanted.RUNNING


def _share(one: str, two: str, units: EffectiveUnits) -> bool:
    """Return whether both sockets may have an address together, or never run together."""
    together = all(units.flag(unit, "ReusePort", False, section="Socket") for unit in (one, two))
    return together or two in units.words(one, "Conflicts") or one in units.words(two, "Conflicts")


def _listens(unit: str, units: EffectiveUnits) -> Iterator[_Address]:
    device = "".join(units.words(unit, "BindToDevice", "Socket")[-1:])
    for key, kind in _LISTEN.items():
        for text in units.words(unit, key, "Socket"):
            if (address := _address(text, kind, device)) is not None:
                yield address


def _address(text: str, kind: str, device: str) -> _Address | None:
    if text.startswith(("/", "@")):
        # Two sockets at one path: the second removes the file of the first, whatever their types.
        return _Address("path", real_path(text) if text.startswith("/") else text)
    if text.isdecimal():
        return _Address(kind, text, None, device)
    host, _, port = text.rpartition(":")
    port, _, scope = port.partition("%")
    if not port.isdecimal() or not host:
        return None
    try:
        return _Address(kind, port, ipaddress.ip_address(host.strip("[]")), device or scope)
    except ValueError:
        return None


def _directories(
    members: Mapping[str, Member], units: EffectiveUnits, installed: Installed | None, place_of: PlaceOf
) -> Iterator[Problem]:
    """Yield the directories that two services own, at least one of them of the documents."""
    for key in _PER_DIRECTORY:
        owners: dict[str, list[str]] = {}
        for unit in sorted({*units.items, *members, *(installed.units if installed else ())}):
            if unit.endswith(".service") and "@." not in unit:
                for word in _words(unit, key, units):
                    owners.setdefault(word.partition(":")[0].strip("/"), []).append(unit)
        inner: dict[str, list[str]] = {}
        for name, services in owners.items():
            for parent in _above(name):
                inner.setdefault(parent, []).extend(services)
        for name, services in sorted(owners.items()):
            if len(services) > 1 or name in inner:
                yield from _shared(key, name, services, inner.get(name, []), members, units, place_of)


def _above(name: str) -> Iterator[str]:
    """Yield the directories above ``name``: a and a/b for a/b/c."""
    parts = name.split("/")
    return ("/".join(parts[:length]) for length in range(1, len(parts)))


def _shared(
    key: str,
    name: str,
    services: list[str],
    inner: list[str],
    members: Mapping[str, Member],
    units: EffectiveUnits,
    place_of: PlaceOf,
) -> Iterator[Problem]:
    for one, two in (*combinations(services, 2), *((a, b) for a in services for b in inner if a != b)):
        if key == "RuntimeDirectory":
            harmless = _preserved(one, units) and (two in inner or _preserved(two, units))
        else:
            harmless = two in inner or _user(one, units) == _user(two, units)
        if harmless or "%" in name:
            continue
        for unit in (one, two):
            if member := members.get(unit):
                what = f"{one} and {two} both own the {_KEYS[key]} directory {name}: {_PER_DIRECTORY[key]}"
                hint = "use a directory for each"
                if key == "RuntimeDirectory":
                    hint += ', or set `systemd: {Service: {RuntimeDirectoryPreserve: "yes"}}` for both'
                place = place_of_key(member.item, (f"directories/{_KEYS[key]}",), place_of)
                yield warning(member.item, place, what, hint, "SharedDirectory")


def _in_runtime_directories(
    items: Iterable[RenderedItem],
    members: Mapping[str, Member],
    units: EffectiveUnits,
    installed: Installed | None,
    place_of: PlaceOf,
) -> Iterator[Problem]:
    """Yield the sockets and files in a runtime directory, which PID 1 removes when the service of it stops."""
    owners: dict[str, str] = {}
    for unit in sorted({*units.items, *members, *(installed.units if installed else ())}):
        if unit.endswith(".service") and not _preserved(unit, units):
            names = (word.partition(":")[0].strip("/") for word in _words(unit, "RuntimeDirectory", units))
            owners |= {f"/run/{name}": unit for name in names if name and "%" not in name}
    paths = [
        (real_path(text), unit, members[unit].item)
        for unit in sorted(units.units.keys() & members.keys() if owners else ())
        if unit.endswith(".socket")
        for key in _LISTEN
        for text in units.words(unit, key, "Socket")
        if text.startswith("/") and "%" not in text
    ]
    for item in items if owners else ():
        paths += [(file.path, "", item.pointer) for file in item.artifacts if isinstance(file, PlacedFile)]
    for path, unit, pointer in paths:
        parts = path.split("/")
        owner = next((o for n in range(3, len(parts)) if (o := owners.get("/".join(parts[:n])))), "")
        if owner:
            what = f"{path} is in the runtime directory of {owner}, and PID 1 removes it when that service stops"
            hint = "choose a path outside of it" + (f", such as /run/{parts[-1]}" if unit else "")
            if not units.flag(owner, "DynamicUser", False, section="Service"):
                hint += f', or set `systemd: {{Service: {{RuntimeDirectoryPreserve: "yes"}}}}` for {owner}'
            place = place_of_key(pointer, ("listen",) if unit else (), place_of)
            yield warning(pointer, place, what, hint, "SharedDirectory")


def _given_away(items: Iterable[RenderedItem], units: EffectiveUnits, place_of: PlaceOf) -> Iterator[Problem]:
    """Yield the files of others in a directory that PID 1 gives, with everything in it, to the user of a service."""
    owners: dict[str, tuple[str, str]] = {}
    items = tuple(items)
    for unit in (member.unit for item in items for member in item.members if member.unit.endswith(".service")):
        user = _user(unit, units)
        if user in ("root", "0") or "%" in user or units.flag(unit, "DynamicUser", False, section="Service"):
            continue
        for key, above in _GIVEN.items():
            names = (word.partition(":")[0].strip("/") for word in _words(unit, key, units))
            owners |= {f"{above}/{name}": (unit, user) for name in names if name and "%" not in name}
    for item in items if owners else ():
        for file in item.artifacts:
            if not isinstance(file, PlacedFile) or isinstance(file, AbsentFile):
                continue
            parts = file.path.split("/")
            known = (owners.get("/".join(parts[:length])) for length in range(4, len(parts)))
            unit, user = next(filter(None, known), ("", ""))
            if unit and file.owner.lower() != user:
                what = f"PID 1 gives {file.path} to {user} with the directory of {unit}, and it is to belong to another"
                place = place_of_key(item.pointer, ("owner",), place_of)
                yield warning(item.pointer, place, what, f"write `owner: {user}`, or move the file", "SharedDirectory")


_GIVEN = {"StateDirectory": "/var/lib", "CacheDirectory": "/var/cache", "LogsDirectory": "/var/log"}


def _words(unit: str, key: str, units: EffectiveUnits) -> tuple[str, ...]:
    """Return the directories of a service; an instance has those of its template, too."""
    template = _template(unit)
    own = units.words(unit, key, "Service")
    return own or (units.words(template, key, "Service") if template else ())


def _template(unit: str) -> str:
    prefix, at, _ = unit.partition("@")
    return f"{prefix}@.service" if at else ""


def _preserved(unit: str, units: EffectiveUnits) -> bool:
    return _last(unit, "RuntimeDirectoryPreserve", units) in {"yes", "true", "on", "1"}


def _user(unit: str, units: EffectiveUnits) -> str:
    return _last(unit, "User", units) or "root"


def _last(unit: str, key: str, units: EffectiveUnits) -> str:
    words = units.words(unit, key, "Service") or (units.words(_template(unit), key, "Service") if "@" in unit else ())
    return words[-1].lower() if words else ""
