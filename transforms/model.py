"""The frozen values that pass through the pipeline. This module only imports `artifacts` and `errors`.

bytes ─read─▶ Document ─resolve─▶ Resolved ─compile─▶ Compiled
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ordain.transforms.artifacts import Artifact
from ordain.transforms.errors import NOWHERE, Problem, Where
from ordain.transforms.package_set import NO_PACKAGES, PackageSet

TIERS = ("default", "os", "role", "site", "pool", "node")
"""The tiers of layers, the lowest first (docs/design/documents.md, rule 16)."""
RUN_TIERS = ("default", "site", "system", "project", "user", "run")
"""The tiers of Runs, the lowest first (docs/design/documents.md, rule 21)."""
BOOT_ITEM = "boot"
"""The item whose members are the units that an exclusive boot does not start."""


@dataclass(frozen=True, slots=True)
class Template:
    """A string that jinja2 makes for a machine: ``{template: TEXT}``."""

    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A map in a list, as a part of one leaf: its cells in the order of their names, and its place."""

    cells: tuple[tuple[str, Value], ...]
    where: Where = field(default=NOWHERE, compare=False)

    def get(self, name: str) -> Value:
        """Return the value of one cell, None if it is not set."""
        return dict(self.cells).get(name)


Value = str | int | float | bool | None | Template | Row | tuple["Value", ...]
"""The value of a leaf in a canonical document. Argument vectors are tuples of tuples of strings and templates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A value with its provenance: the place and layer that set it, and the leaves that it overrode, latest first."""

    value: Value
    where: Where
    layer: str = ""
    overrode: tuple[Leaf, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A map with names. Even an empty one can have a meaning (``services: {ssh: {}}``)."""

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
        """Return the map ``name``, or an empty one."""
        child = self.children.get(name)
        return child if isinstance(child, Branch) else Branch(where=self.where, layer=self.layer)

    def leaf(self, name: str) -> Leaf | None:
        """Return the leaf ``name``, None if it is not set."""
        child = self.children.get(name)
        return child if isinstance(child, Leaf) else None

    def value(self, name: str, default: Value = None) -> Value:
        """Return the value of the leaf ``name``, or ``default``."""
        leaf = self.leaf(name)
        return default if leaf is None else leaf.value

    @property
    def here(self) -> Leaf:
        """Return a leaf without a value at the place of the map, for problems."""
        return Leaf(value=None, where=self.where, layer=self.layer)

    def branches(self) -> Iterator[tuple[str, Branch]]:
        """Yield the maps directly below, by name."""
        for name, child in sorted(self.children.items()):
            if isinstance(child, Branch):
                yield name, child

    def leaves(self) -> Iterator[tuple[str, Leaf]]:
        """Yield the leaves directly below, by name."""
        for name, child in sorted(self.children.items()):
            if isinstance(child, Leaf):
                yield name, child


Tree = Branch | Leaf


def strings(value: Value) -> tuple[str, ...]:
    """Return the strings of a sequence; any other value is a sequence of one."""
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


class Kind(StrEnum):
    """The kinds of documents."""

    LAYER = "Layer"
    NODE = "Node"
    TRANSFORM = "Transform"
    RELEASE = "Release"
    RUN = "Run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A Layer, a Node, a Transform, a Release or a Run in canonical form.

    ``match`` maps a fact or label to its condition, in the order of the document. Only a Node and a Run have
    ``labels``, and only a Node has ``pin``, the number of the release that it stays on, 0 for none. ``sections`` is the
    canonical tree of everything else. Only a Transform has a ``digest`` of its content, and ``faults`` if it is wrong.
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

    @property
    def tier_rank(self) -> int:
        """Return the place of its tier, 0 for the lowest."""
        return (RUN_TIERS if self.kind is Kind.RUN else TIERS).index(self.tier)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformFault:
    """A row of the transformation database that ``problem`` makes doubtful.

    ``pointer`` is a row or a whole section, and ``""`` means the whole database.
    """

    pointer: str
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchCondition:
    """The condition of one entry of ``match``: any of ``values``, or, with ``negated``, none of them.

    None in ``values`` means "not set".
    """

    values: tuple[str | None, ...]
    negated: bool = False
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts of a machine, a closed list (docs/design/documents.md, rule 4).

    ``like`` is ID_LIKE of os-release in its order, ``version`` its VERSION_ID ("": none, newer than all), ``systemd``
    the major version, ``arch`` in the spelling of systemd (``x86-64``), ``virtualization`` in the words of
    systemd-detect-virt (``none``, ``kvm``, ``systemd-nspawn``); ``root`` is ``disk`` or ``ram``.
    ``system_firmware`` is ``bios`` or ``uefi``, and the other facts of the system are those of SMBIOS by the keywords
    of dmidecode(8); ``""``: unknown. ``pinned`` names the labels of the kernel command line, which a Node cannot
    override. ``details`` are the values of further facts (`formats.fact_table`), of those that were asked for, and
    ``unknown`` names those of them that nobody can know yet.
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
    system_firmware: str = ""
    system_uuid: str = ""
    system_serial_number: str = ""
    system_manufacturer: str = ""
    system_product_name: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()
    details: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledUnit:
    """A unit file of the machine, with its drop-ins, as systemd would merge them.

    ``path`` is the path of the fragment below the root, ``""`` if there are only drop-ins. ``sections`` maps a section
    to its assignments in order, including empty ones. ``drop_ins`` are the paths of the drop-ins in the order in which
    systemd reads them; ``drop_in_keys`` maps each to the pairs (section, key) that it sets. ``masked``: the fragment is
    empty or a link to /dev/null.
    """

    name: str
    path: str
    sections: Mapping[str, tuple[tuple[str, str], ...]]
    drop_ins: tuple[str, ...] = ()
    drop_in_keys: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    masked: bool = False

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Return every assignment of ``key`` since its last reset."""
        values: list[str] = []
        for name, value in self.sections.get(section, ()):
            if name == key:
                if value:
                    values.append(value)
                else:
                    values.clear()
        return tuple(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """``TARGET.wants/NAME``: a dependency made by a symbolic link. ``kind``: wants, requires, upholds."""

    target: str
    kind: str
    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ActivationSource:
    """A program that starts a unit without a link: D-Bus for the name ``bus_name``, or else udev for a device.

    ``path`` is the file that makes it do so, ``""`` for the unit file.
    """

    bus_name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The unit files of the machine from the distribution and the administrator, without those of Ordain.

    ``aliases`` maps an alias to its unit. Runtime directories are left out, and of generated units those that something
    else defines (`machine.generated_units`). ``activation_sources`` are those of each unit that starts without a link;
    instances count under the name of their template.
    """

    units: Mapping[str, InstalledUnit]
    aliases: Mapping[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    activation_sources: Mapping[str, tuple[ActivationSource, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineAccounts:
    """The accounts of the machine: numbers of users (uid and gid) and of groups, by name.

    ``complete``: no other source, such as LDAP, may have more of them. ``shells`` are those of /etc/shells. If there
    are none, they are not known.
    """

    users: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False
    shells: frozenset[str] = frozenset()


class Wanted(StrEnum):
    """The desired state of a unit."""

    RUNNING = "running"
    STOPPED = "stopped"
    MASKED = "masked"
    PRESENT = "present"  # the documents do not say: the unit exists and keeps its state


class OnChange(StrEnum):
    """The job after a change of a unit or of a path that it uses (docs/design/documents.md, rule 14)."""

    AUTO = "auto"  # the mildest job that makes the change take effect
    RESTART = "restart"
    RELOAD = "reload"
    NONE = "none"
    REBOOT = "reboot"


class OnRemove(StrEnum):
    """The action for a running unit that no document names any more."""

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
    """The check that a service works.

    ``target`` is the address, URL, path or bus name of the probe, or the words of its command. The probe must succeed
    within ``within_usec`` of the start, and keep succeeding for ``settle_usec``.
    """

    probe: Probe
    target: tuple[str, ...]
    within_usec: int
    settle_usec: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One unit that the documents name, with the data that the agent needs.

    ``ours``: Ordain makes the whole unit; else it belongs to the distribution, and drop-ins change it.
    ``starter``: to start this unit makes the item run (a service, socket or timer).
    ``starts``: the unit that a socket or timer starts, else "".
    ``early``: the generator makes it part of the boot; else the agent starts it.
    ``uses``: the paths that it reads, with a trailing ``/`` for a tree, each with the job after a change.
    ``check``: the commands that must succeed on changed files before the unit is reloaded or restarted.
    ``stop_after_usec``: the unit is stopped after the source has been unreachable for so long, 0 for never.
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

    ``tree`` holds the sections, ``facts`` the facts with the labels of the Node, ``layers`` the names of the layers
    that match, the lowest first.
    """

    tree: Branch
    facts: Facts
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogUse:
    """A value of the transformation database that ``items`` used, with the values that it overrode.

    ``matches`` says why the Transform of the leaf, and of each leaf that it overrode, matches this machine.
    """

    leaf: Leaf
    items: tuple[str, ...]
    matches: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The result of a set of documents on one machine. Artifacts are sorted by path.

    ``catalog_uses`` are the values of the transformation database in use, ``transforms`` is the hash of the database.
    """

    resolved: Resolved
    artifacts: tuple[Artifact, ...] = ()
    members: tuple[Member, ...] = ()
    catalog_uses: tuple[CatalogUse, ...] = ()
    transforms: str = ""
    packages: PackageSet = NO_PACKAGES
    problems: tuple[Problem, ...] = ()
