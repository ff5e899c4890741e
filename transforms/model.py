"""The frozen values that flow through the pipeline; this module imports only `artifacts` and `errors`.

bytes ─documents─▶ Document ─resolve─▶ Resolved ─compile─▶ Compiled
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ordain.transforms.artifacts import Artifact
from ordain.transforms.errors import NOWHERE, Problem, Where

TIERS = ("default", "os", "role", "site", "pool", "node")
"""Lowest first (docs/design/documents.md, rule 16)."""


@dataclass(frozen=True, slots=True)
class Template:
    """A string made by jinja2 when the machine is known: ``{template: TEXT}``."""

    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A map in a list, which is a part of one leaf: its cells in the order of their names, and its place."""

    cells: tuple[tuple[str, Value], ...]
    where: Where = field(default=NOWHERE, compare=False)

    def get(self, name: str) -> Value:
        """The value of one cell, None if it is not set."""
        return dict(self.cells).get(name)


Value = str | int | float | bool | None | Template | Row | tuple["Value", ...]
"""A leaf of a canonical document. Argument vectors are tuples of tuples of strings and templates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A value with its provenance: the place and layer that set it, and what it overrode, latest first."""

    value: Value
    where: Where
    layer: str = ""
    overrode: tuple[Leaf, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A named map; its presence alone can mean something (``services: {ssh: {}}``)."""

    children: Mapping[str, Tree] = field(default_factory=dict)
    where: Where = NOWHERE
    layer: str = ""

    def __bool__(self) -> bool:
        return bool(self.children)

    def __iter__(self) -> Iterator[str]:
        return iter(self.children)

    def __contains__(self, name: str) -> bool:
        return name in self.children

    def branch(self, name: str) -> Branch:
        """The map called ``name``, or an empty one."""
        child = self.children.get(name)
        return child if isinstance(child, Branch) else Branch(where=self.where, layer=self.layer)

    def leaf(self, name: str) -> Leaf | None:
        """The leaf called ``name``, if it is set."""
        child = self.children.get(name)
        return child if isinstance(child, Leaf) else None

    def value(self, name: str, default: Value = None) -> Value:
        """The value of the leaf called ``name``, else ``default``."""
        leaf = self.leaf(name)
        return default if leaf is None else leaf.value

    @property
    def here(self) -> Leaf:
        """A leaf without a value that stands where the map stands: a place to point at."""
        return Leaf(value=None, where=self.where, layer=self.layer)

    def branches(self) -> Iterator[tuple[str, Branch]]:
        """The maps below, by name."""
        for name, child in sorted(self.children.items()):
            if isinstance(child, Branch):
                yield name, child

    def leaves(self) -> Iterator[tuple[str, Leaf]]:
        """The leaves directly below, by name."""
        for name, child in sorted(self.children.items()):
            if isinstance(child, Leaf):
                yield name, child


Tree = Branch | Leaf


def strings(value: Value) -> tuple[str, ...]:
    """The strings of a sequence; any other value is a sequence of one."""
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


class Kind(StrEnum):
    """Kinds of document."""

    LAYER = "Layer"
    NODE = "Node"
    TRANSFORM = "Transform"
    RELEASE = "Release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A Layer, a Node, a Transform or a Release in canonical form.

    ``match`` maps a fact or label to its condition, in the document's order; ``labels`` are a Node's,
    and so is ``pin``, the number of the release it is to have, 0 for none.
    ``sections`` is the canonical tree of everything else. ``digest`` is the identity of what a Transform
    says, ``faults`` what one that is wrong makes doubtful.
    """

    kind: Kind
    name: str
    tier: str
    weight: int
    match: Mapping[str, MatchCondition]
    sections: Branch
    where: Where
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pin: int = 0
    digest: str = ""
    faults: tuple[TransformFault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformFault:
    """What ``problem`` makes doubtful: a row of the transformation database, a section, or with ``""`` all of it."""

    pointer: str
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchCondition:
    """What one entry of ``match`` wants: any of ``values``; with ``negated``, none of them.

    ``None`` in ``values`` means "not set".
    """

    values: tuple[str | None, ...]
    negated: bool = False
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a machine is. Closed list: docs/design/documents.md, rule 4.

    ``like`` is os-release ID_LIKE in its order, ``version`` VERSION_ID ("" = none: newer than all),
    ``systemd`` the major version, ``arch`` in systemd's spelling (``x86-64``), ``virtualization`` as
    systemd-detect-virt says (``none``, ``kvm``, ``systemd-nspawn``), ``root`` is ``disk`` or ``ram``.
    ``pinned`` names the labels of the kernel command line, which no Node overrides.
    """

    id: str
    like: tuple[str, ...] = ()
    version: str = ""
    systemd: int
    arch: str = "x86-64"
    virtualization: str = "none"
    hostname: str = "localhost"
    machine_id: str = ""
    mac: tuple[str, ...] = ()
    root: str = "disk"
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledUnit:
    """A unit file of the machine, with its drop-ins, as systemd would merge them.

    ``path`` is the fragment's path below the root; ``""`` when there are only drop-ins.
    ``sections`` maps a section to its assignments in order, empty assignments included.
    ``drop_ins`` are the paths of the drop-ins in the order systemd reads them; ``drop_in_keys`` says which
    (section, key) each of them sets.
    ``masked``: the fragment is empty or a link to /dev/null.
    """

    name: str
    path: str
    sections: Mapping[str, tuple[tuple[str, str], ...]]
    drop_ins: tuple[str, ...] = ()
    drop_in_keys: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    masked: bool = False

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Every assignment of ``key`` since its last reset."""
        found: list[str] = []
        for name, value in self.sections.get(section, ()):
            if name == key:
                if value:
                    found.append(value)
                else:
                    found.clear()
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """``TARGET.wants/NAME``: a dependency made by a symbolic link. ``kind``: wants, requires, upholds."""

    target: str
    kind: str
    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The unit files of the machine: what the distribution and the admin put there, nothing of ours.

    ``aliases`` maps an alias to the unit it names. Generated and runtime directories are left out. ``activated`` maps
    a unit to who starts it without any link, in words.
    """

    units: Mapping[str, InstalledUnit]
    aliases: Mapping[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    activated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Wanted(StrEnum):
    """What the documents want of a unit at run time."""

    RUNNING = "running"
    STOPPED = "stopped"
    MASKED = "masked"
    PRESENT = "present"  # nothing said: it is there, and does what it does


class OnChange(StrEnum):
    """The job that a change of a unit, or of a path it uses, causes (docs/design/documents.md, rule 14)."""

    AUTO = "auto"  # the mildest job that makes the change take effect
    RESTART = "restart"
    RELOAD = "reload"
    NONE = "none"
    REBOOT = "reboot"


class OnRemove(StrEnum):
    """The fate of a running unit that no document names any more."""

    STOP = "stop"
    KEEP = "keep"


class Drift(StrEnum):
    """The reaction when an administrator has changed the state of a unit."""

    REPORT = "report"
    ENFORCE = "enforce"


class Probe(StrEnum):
    """The kinds of health probe."""

    TCP = "tcp"
    HTTP = "http"
    UNIX = "unix"
    COMMAND = "command"
    BUS_NAME = "bus-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How to see that a service works.

    ``target`` is the address, URL, path or bus name of the probe; of a command, the words. The probe must succeed
    within ``within_usec`` of the start, and go on doing so for ``settle_usec``.
    """

    probe: Probe
    target: tuple[str, ...]
    within_usec: int
    settle_usec: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One unit the documents speak of, as the agent needs it.

    ``ours``: the whole unit is made by us; else it is the distribution's, changed by drop-ins.
    ``starter``: this is what is started to make the item run (service, socket or timer).
    ``starts``: for a socket or timer, the unit it starts; else "".
    ``early``: wired in by the generator; else the agent starts it.
    ``uses``: the paths it reads, a trailing ``/`` for a tree, each with the job that a change causes.
    ``check``: the commands that must succeed on changed files before it hears of them. ``stop_after_usec``: how long
    the documents may be out of reach until it is stopped, 0 for ever.
    """

    unit: str
    item: str
    wanted: Wanted
    ours: bool
    starter: bool = True
    starts: str = ""
    early: bool = False
    on_change: OnChange = OnChange.AUTO
    on_remove: OnRemove = OnRemove.STOP
    drift: Drift = Drift.REPORT
    health: HealthCheck | None = None
    uses: tuple[tuple[str, OnChange], ...] = ()
    check: tuple[tuple[str, ...], ...] = ()
    stop_after_usec: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """All matching layers merged for one machine.

    ``tree`` holds the sections; ``facts`` the facts with the labels of the Node; ``layers`` the names of
    the layers that matched, lowest first.
    """

    tree: Branch
    facts: Facts
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogUse:
    """A value of the transformation database that ``items`` asked for, with what it overrode.

    ``matches`` says why the Transform of the leaf, and of each leaf it overrode, is for this machine.
    """

    leaf: Leaf
    items: tuple[str, ...]
    matches: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a set of documents comes to on one machine. Artifacts are sorted by path.

    ``catalog_uses`` are what the transformation database had to do with it, and ``transforms`` the hash of all of that.
    """

    resolved: Resolved
    artifacts: tuple[Artifact, ...] = ()
    members: tuple[Member, ...] = ()
    catalog_uses: tuple[CatalogUse, ...] = ()
    transforms: str = ""
    problems: tuple[Problem, ...] = ()
