"""fstab(5) → ``mounts`` and ``swaps``, read as systemd-fstab-generator(8) reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ordain.transforms.catalog.names import Names
from ordain.transforms.document import formats
from ordain.transforms.errors import Where
from ordain.transforms.importing.draft import Imported, Plain, Source
from ordain.transforms.render.mounts import PROTECTED

DEFAULTS = frozenset({"defaults", "auto", "nofail", "sw"})
"""Options that say what a mount of a document is anyway: it is wanted at boot, and the boot does not fail by it."""
_TAGS = {tag.upper(): f"/dev/disk/by-{tag}/" for tag in ("uuid", "label", "partuuid", "partlabel", "id")}
_USERS = frozenset({"user", "users", "owner", "group"})
_UNCHECKED = frozenset("9p bind btrfs ceph cifs nfs nfs4 none overlay proc squashfs sysfs tmpfs xfs".split())
"""File systems that fsck(8) has nothing to do for."""


def carry(sources: Iterable[Source], names: Names, imported: Imported) -> None:
    """Puts every line of ``sources`` into ``imported``."""
    for source in sources:
        content = imported.text(source)
        for number, line in enumerate((content or "").split("\n"), 1):
            fields = [] if line.lstrip().startswith("#") else line.split()
            if fields:
                entry(fields, Where(path=source.path, line=number), imported)


def entry(fields: Sequence[str], where: Where, imported: Imported) -> None:
    """Puts one mount or swap; ``fields`` are those of a line, the last ones may be missing."""
    if len(fields) < 2:
        imported.lost(where, "fewer than two fields", "device, mount point, type, options")
        return
    what, path, kind, options = (*(unescaped(f) for f in fields[:4]), *("auto", "defaults")[len(fields) - 2 :])[:4]
    if kind == "ignore":
        return
    node = device(what)
    found = _Options(options, where, imported)
    if kind == "swap":
        swap(node, found)
    elif mount(node, path, kind, found) and fields[5:6] not in ([], ["0"]) and kind not in _UNCHECKED:
        hint = "leave it in fstab, or add systemd-fsck@.service to the mount unit under `units: {….mount.d: …}`"
        imported.lost(where, f"the check by fsck before {path} is mounted (field 6)", hint)


class _Options:
    """The options of one line, sorted into what each means for a document."""

    def __init__(self, text: str, where: Where, imported: Imported) -> None:
        self.where, self.imported = where, imported
        self.entry: dict[str, Plain] = {}
        self.options: dict[str, str | bool] = {}
        for option in filter(None, text.split(",")):
            self.add(option)
        if self.entry.get("automount"):
            self.entry.pop(
                "state", None
            )  # noauto is for the mount; systemd-fstab-generator starts the automount anyway

    def add(self, option: str) -> None:
        name, equals, value = option.partition("=")
        if name in DEFAULTS:
            return
        if name == "noauto":
            self.entry["state"] = "stopped"
        elif name in {"x-systemd.automount", "comment=systemd.automount"}:
            self.entry["automount"] = True
        elif name == "x-systemd.mount-timeout":
            self.entry["timeout"] = value
        elif name == "pri":
            self.priority(value)
        elif name in _USERS:
            self.lost(f"the option {name}: a unit is started by root", "leave it in fstab")
        elif name.startswith(("x-", "comment")):
            hint = "write it in a drop-in for the mount unit: `units: {….mount.d: {Unit: …}}`"
            self.lost(f"the option {option}", hint if name.startswith("x-systemd") else "it is for other programs")
        elif name in self.options:
            self.lost(f"the option {option}: {name} is there already", "write the two as one")
        else:
            self.options[name] = value if equals else True

    def priority(self, value: str) -> None:
        if re.fullmatch(r"-1|[0-9]{1,5}", value) and int(value) <= 32767:
            self.entry["priority"] = int(value)
        else:
            self.lost(f"the priority {value!r}", "a number from -1 to 32767")

    def lost(self, what: str, hint: str) -> None:
        self.imported.lost(self.where, what, hint)

    def into(self, entry: dict[str, Plain]) -> dict[str, Plain]:
        """``entry`` with the options; flags alone are a list."""
        made: dict[str, Plain] = {**entry, **self.entry}
        if self.options:
            plain = all(value is True for value in self.options.values())
            names: list[Plain] = [*self.options]
            made["options"] = names if plain else {**self.options}
        return made


def mount(what: str, path: str, kind: str, options: _Options) -> bool:
    """Puts a mount, unless it cannot be one."""
    if (path.rstrip("/") or "/") in PROTECTED:
        options.lost(f"{path}: the machine needs it before there are documents", "leave it in fstab")
        return False
    if not _is_path(path):
        options.lost(f"{path!r} is no mount point", "an absolute path")
        return False
    if "," in what or any(char in what for char in "\n\r\0"):
        options.lost(f"{what!r} cannot be mounted by a unit", "")
        return False
    if "priority" in options.entry:
        options.lost("the option pri= of a mount", "it is for swap")
        del options.entry["priority"]
    entry: dict[str, Plain] = {"what": what, **({} if kind == "auto" else {"type": kind})}
    options.imported.put("mounts", path, options.into(entry), options.where)
    return True


def swap(what: str, options: _Options) -> None:
    """Puts a swap device or file."""
    if not _is_path(what):
        options.lost(f"{what!r} is no device or file to swap on", "an absolute path, UUID= or LABEL=")
        return
    for key in ("automount", "timeout"):
        if options.entry.pop(key, None) is not None:
            options.lost(f"{key} of a swap", "it is for mounts")
    options.imported.put("swaps", what, options.into({}), options.where)


def _is_path(text: str) -> bool:
    try:
        formats.path(text)
    except ValueError:
        return False
    return text.isprintable()


def device(what: str) -> str:
    """A device by its tag as udev names it, anything else as it stands (fstab_node_to_udev_node() of systemd).

    >>> device('LABEL="my disk"'), device("/dev/sda1")
    ('/dev/disk/by-label/my\\\\x20disk', '/dev/sda1')
    """
    tag, equals, value = what.partition("=")
    if not equals or tag not in _TAGS:
        return what
    bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
    return _TAGS[tag] + re.sub(r"[^A-Za-z0-9#+.:=@_-]", _udev, bare, flags=re.ASCII)


def _udev(match: re.Match[str]) -> str:
    char = match[0]
    return char if ord(char) > 127 else f"\\x{ord(char):02x}"


def unescaped(field: str) -> str:
    r"""A field with its octal escapes undone (getmntent(3)).

    >>> unescaped(r"/srv/my\040data")
    '/srv/my data'
    """
    return re.sub(r"\\([0-3][0-7]{2})", lambda m: chr(int(m[1], 8)), field)
