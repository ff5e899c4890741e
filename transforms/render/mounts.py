"""The sections ``mounts`` and ``swaps`` as mount, automount and swap units, which targets only want."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ordain.transforms.artifacts import UnitLink
from ordain.transforms.forbidden_paths import why_not_mounted
from ordain.transforms.model import Branch, Leaf, Member, Wanted
from ordain.transforms.render.rendered_item import RenderedItem, from_drafts
from ordain.transforms.render.unit_draft import UnitDraft
from ordain.transforms.render.unit_links import mask, wants
from ordain.transforms.systemd import mount_options, splitting, unit_name
from ordain.transforms.systemd.encode import EncodeError
from ordain.transforms.systemd.network_file_systems import NETDEV, is_network_for_systemd, needs_network

API_FILE_SYSTEMS = frozenset(
    "/dev/pts /dev/shm /sys/kernel/security /sys/fs/smackfs /sys/fs/cgroup /sys/fs/pstore /sys/firmware/efi/efivars"
    " /sys/fs/bpf".split()
)
"""Paths whose mount units PID 1 refuses, besides vital ones (mount_point_is_api() in src/core/mount.c).

See docs/design/contract.md, rule 11. `ordain.transforms.forbidden_paths` has the vital ones.
"""

_OVERLAY = ("lowerdir", "upperdir", "workdir")
"""Options of an overlay that name directories; lowerdir has several, divided by colons."""


def remote_mounts(section: Branch) -> frozenset[str]:
    """Return the mount points of ``mounts`` that need the network, also because their source or parent does."""
    entries = {path.rstrip("/") or "/": branch for path, branch in section.branches()}
    remote = {path for path, branch in entries.items() if _needs_network(branch)}
    more = set(remote)
    while more:
        more = {
            path
            for path, branch in entries.items()
            if path not in remote
            and any(_mount_of(needed, path, entries) in remote for needed in _needed(path, branch))
        }
        remote |= more
    return frozenset(remote)


def _needs_network(branch: Branch) -> bool:
    options = {name: leaf.value for name, leaf in branch.branch("options").leaves()}
    return needs_network(str(branch.value("type", "")), str(branch.value("what", "")), options)


def _needed(path: str, branch: Branch) -> tuple[str, ...]:
    """Return the paths that must be mounted before a mount at ``path``."""
    source = str(branch.value("what", ""))
    above = path.rpartition("/")[0]
    return (*((source,) if source.startswith("/") and not source.startswith("/dev/") else ()), above, *_layers(branch))


def _layers(branch: Branch) -> tuple[str, ...]:
    """Return the directories of an overlay."""
    values = (branch.branch("options").value(name) for name in _OVERLAY)
    texts = (value.strip('"').split(":") for value in values if isinstance(value, str))
    return tuple(path for paths in texts for path in paths if path.startswith("/"))


def _mount_of(path: str, other_than: str, mounts: Iterable[str]) -> str:
    """Return the mount point that a path is on, ``""`` for none of ``mounts``."""
    return max(
        (m for m in mounts if m != other_than and f"{path}/".startswith(f"{m.rstrip('/')}/")), key=len, default=""
    )


def is_api(path: str) -> bool:
    """Return whether systemd itself mounts ``path``, and refuses a unit for it."""
    return path in API_FILE_SYSTEMS or path.startswith("/sys/fs/cgroup/")


def render_mount(path: str, branch: Branch, pointer: str, systemd: int, mounts: Mapping[str, bool]) -> RenderedItem:
    """Return the item of one mount point; ``mounts`` are those of the documents, with True for remote ones."""
    return _MountRenderer(path, branch, pointer, systemd, mounts).item()


class _MountRenderer:
    def __init__(self, path: str, branch: Branch, pointer: str, systemd: int, mounts: Mapping[str, bool]) -> None:
        self.mounts = mounts
        self.path, self.branch, self.pointer, self.systemd = path.rstrip("/") or "/", branch, pointer, systemd
        self.state = Wanted(str(branch.value("state", "running")))
        self.automount = branch.value("automount") is True
        self.remote = mounts.get(self.path.rstrip("/"), False)
        self.place = branch.here

    def item(self) -> RenderedItem:
        try:
            self.unit = _unit_of(self.path, "mount")
            self.starter = _unit_of(self.path, "automount") if self.automount else self.unit
        except EncodeError as error:
            return _without_unit("-.mount", self.place, self.pointer, self.systemd, error)
        if self.state is Wanted.MASKED and not why_not_mounted(self.path):
            masks = (mask(unit, self.pointer) for unit in sorted({self.unit, self.starter}))
            return from_drafts(self.pointer, (), masks, self.members())
        return from_drafts(self.pointer, self.drafts(), self.links(), self.members())

    def drafts(self) -> Iterator[UnitDraft]:
        mount = UnitDraft(unit=self.unit, item=self.pointer, systemd=self.systemd)
        if source := self.branch.leaf("what"):
            mount.set("Mount", "What", str(source.value), source)
        mount.set("Mount", "Where", self.path, self.place)
        if leaf := self.branch.leaf("type"):
            mount.set("Mount", "Type", str(leaf.value), leaf)
        kind = str(self.branch.value("type", ""))
        known = is_network_for_systemd(kind, set(self.branch.branch("options")), self.systemd)
        _options(self.branch, mount, "Mount", NETDEV if self.remote and not known else "")
        for path in sorted({_mount_of(layer, self.path, self.mounts) for layer in _layers(self.branch)} - {""}):
            mount.set("Unit", "RequiresMountsFor", (path,), self.branch.branch("options").here)
        if leaf := self.branch.leaf("timeout"):
            mount.set("Mount", "TimeoutSec", str(leaf.value), leaf)
        yield mount
        if self.automount:
            automount = UnitDraft(unit=self.starter, item=self.pointer, systemd=self.systemd)
            automount.set("Automount", "Where", self.path, self.place)
            yield automount

    def links(self) -> Iterator[UnitLink]:
        if self.state is Wanted.RUNNING:
            target = "remote-fs.target" if self.remote and not self.automount else "local-fs.target"
            yield wants(target, self.starter, self.pointer)

    def members(self) -> Iterator[Member]:
        for unit in dict.fromkeys((self.starter, self.unit)):
            starter = unit == self.starter
            wanted = Wanted.PRESENT if self.state is Wanted.RUNNING and not starter else self.state
            starts = self.unit if starter and self.automount else ""
            yield Member(
                unit=unit, item=self.pointer, wanted=wanted, ours=True, starter=starter, starts=starts, early=True
            )


def render_swap(path: str, branch: Branch, pointer: str, systemd: int) -> RenderedItem:
    """Return the item of one swap device or file."""
    try:
        unit = _unit_of(path, "swap")
    except EncodeError as error:
        return _without_unit("-.swap", branch.here, pointer, systemd, error)
    state = Wanted(str(branch.value("state", "running")))
    member = Member(unit=unit, item=pointer, wanted=state, ours=True, early=True)
    if state is Wanted.MASKED:
        return from_drafts(pointer, (), [mask(unit, pointer)], [member])
    draft = UnitDraft(unit=unit, item=pointer, systemd=systemd)
    draft.set("Swap", "What", path, branch.here)
    if leaf := branch.leaf("priority"):
        draft.set("Swap", "Priority", str(leaf.value), leaf)
    _options(branch, draft, "Swap")
    links = [wants("swap.target", unit, pointer)] if state is Wanted.RUNNING else []
    return from_drafts(pointer, [draft], links, [member])


def _unit_of(path: str, kind: str) -> str:
    """Return the name of the unit for a path. Raises `EncodeError` for a path that can have none: it is too long."""
    return unit_name.check(f"{unit_name.escape_path(path)}.{kind}")


def _without_unit(unit: str, place: Leaf, pointer: str, systemd: int, error: EncodeError) -> RenderedItem:
    draft = UnitDraft(unit=unit, item=pointer, systemd=systemd)
    draft.block(place, error.what, error.hint, "Encode")
    return from_drafts(pointer, [draft])


def _options(branch: Branch, draft: UnitDraft, section: str, further: str = "") -> None:
    # mount(8): user and the like imply noexec and nosuid, "unless overridden by subsequent options".
    options = sorted(
        branch.branch("options").leaves(), key=lambda option: (option[0] not in mount_options.IMPLIED, option[0])
    )
    words = [name if leaf.value is True else f"{name}={leaf.value}" for name, leaf in options]
    for word, (_, leaf) in zip(words, options, strict=True):
        if splitting.mount_options(word) != [word] or any(char.isspace() for char in word):
            what = f"a mount option cannot have a blank, or a comma outside double quotes: {word!r}"
            draft.block(leaf, what, "put the value in double quotes if it has a comma", "Encode")
    if words or further:
        place = options[0][1] if options else branch.here
        draft.set(section, "Options", ",".join((*words, *filter(None, (further,)))), place)
