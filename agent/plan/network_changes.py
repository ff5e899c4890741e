"""Two generations → what of the network changes, for each program that brings it up; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ordain.agent.model import FileChange, Generation, Plan
from ordain.transforms.artifacts import RegularFile
from ordain.transforms.render.paths import IFUPDOWN, NETWORK_MANAGER, NETWORKD

_STANZA = re.compile(r"^(?:auto|allow-hotplug|iface) (\S+)", re.MULTILINE)
_NAME = re.compile(r"^Name=(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChange:
    """What is to be made real.

    ``networkd``: whether it reads other files; ``dropped``: its devices that go, or are made anew, and ``around``: the
    files that speak of those, whose links are configured again. ``links``: whether udev reads others. ``profiles``:
    keyfiles of NetworkManager, new or changed; ``forgotten``: its connections that go, by UUID. ``down`` and ``up``:
    interfaces of ifupdown, in order, ``down`` as ``stanzas`` say.
    """

    networkd: bool = False
    dropped: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    links: bool = False
    profiles: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    stanzas: str = ""

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return self.networkd or self.links or bool(self.profiles or self.forgotten or self.down or self.up)


def touches_network(plan: Plan) -> bool:
    """Whether files of the section ``network`` change, be it by a comment."""
    return any(map(_of_network, plan.files))


def _of_network(file: FileChange) -> bool:
    return file.item.partition("/")[0] == "network"


def network_change(old: Generation, new: Generation) -> NetworkChange:
    """What leads from the network of ``old`` to that of ``new``."""
    before, after = _texts(old), _texts(new)
    changed = sorted(p for p in before.keys() | after.keys() if _bare(before.get(p, "")) != _bare(after.get(p, "")))
    of_networkd = [p for p in changed if p.startswith(f"{NETWORKD}/") and not p.endswith(".link")]
    dropped = tuple(
        name for p in of_networkd if p.endswith(".netdev") and p in before for name in _NAME.findall(before[p])[:1]
    )
    around = [
        p for p in sorted(after) if p.endswith(".network") and _names(after[p] + before.get(p, "")) & set(dropped)
    ]
    keyfiles = [p for p in changed if p.startswith(f"{NETWORK_MANAGER}/")]
    stanzas = before.get(IFUPDOWN, "")
    down, up = _interfaces(stanzas, after.get(IFUPDOWN, ""))
    return NetworkChange(
        networkd=bool(of_networkd),
        dropped=dropped,
        around=tuple(around),
        links=any(p.endswith(".link") for p in changed),
        profiles=tuple(p for p in keyfiles if p in after),
        forgotten=tuple(_uuid(before[p]) for p in keyfiles if p not in after),
        down=down,
        up=up,
        stanzas=stanzas if down else "",
    )


def _texts(generation: Generation) -> Mapping[str, str]:
    return {
        a.path: a.content
        for a in generation.artifacts
        if isinstance(a, RegularFile) and a.item.partition("/")[0] == "network"
    }


def _bare(text: str) -> str:
    """``text`` without its comments, which move with every line of the documents."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))


def _names(text: str) -> frozenset[str]:
    """The devices that a .network file ties its own to, among other words."""
    return frozenset(value for line in text.splitlines() for value in line.partition("=")[2].split())


def _uuid(keyfile: str) -> str:
    return next((line[5:] for line in keyfile.splitlines() if line.startswith("uuid=")), "")


def _interfaces(before: str, after: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The interfaces to take down, the last one first, and those to bring up.

    What stands on one that goes, or is a part of it, goes and comes with it.
    """
    old, new = _stanzas(_bare(before)), _stanzas(_bare(after))
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    while more := {
        name
        for name in old.keys() & new.keys() - changed
        if any(re.search(rf"(?<![\w.-]){re.escape(other)}(?![\w.-])", new[name]) for other in changed & old.keys())
    }:
        changed |= more
    return tuple(name for name in reversed(old) if name in changed), tuple(name for name in new if name in changed)


def _stanzas(text: str) -> dict[str, str]:
    """The lines about each interface, in the order of the file."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        match = _STANZA.match(line)
        name = match[1] if match else name
        if name:
            found[name] = found.get(name, "") + line
    return found
