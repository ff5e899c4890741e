"""fstab(5) as ``mounts`` and ``swaps``, read in the same way as systemd-fstab-generator(8) does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.formats import formats
from ordain.transforms.errors import Where
from ordain.transforms.forbidden_paths import why_not_mounted
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.render.mounts import is_api
from ordain.transforms.systemd import mount_options, splitting

DEFAULTS = frozenset({"defaults", "auto", "nofail", "sw"})
"""Options that every mount of a document has: the boot wants it, but does not fail without it."""
MAX_PRIORITY = 32767
_TAGS = {tag.upper(): f"/dev/disk/by-{tag}/" for tag in ("uuid", "label", "partuuid", "partlabel", "id")}
_UNCHECKED = frozenset("9p bind btrfs ceph cifs nfs nfs4 none overlay proc squashfs sysfs tmpfs xfs".split())
"""File systems that fsck(8) does not check."""


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add every line of ``files`` to ``draft``."""
    for file in files:
        content = draft.text(file)
        for number, line in enumerate((content or "").split("\n"), 1):
            fields = [] if line.lstrip().startswith("#") else line.split()
            if fields:
                add_line(fields, Where(path=file.path, line=number), draft)


def add_line(fields: Sequence[str], where: Where, draft: DocumentDraft) -> None:
    """Add the mount or swap of a line; ``fields`` are those of the line, of which the last ones may be missing."""
    if len(fields) < 2:
        draft.not_converted(where, "the line has fewer than two fields", "write device, mount point, type and options")
        return
    source, path, kind, options = (
        *(unescaped(field) for field in fields[:4]),
        *("auto", "defaults")[len(fields) - 2 :],
    )[:4]
    if kind == "ignore":
        draft.not_converted(where, "a line of the type ignore", "remove it: nothing mounts it")
        return
    device = device_of(source)
    converted = _Options(options, where, draft)
    if kind == "swap":
        _add_swap(device, converted)
    elif _add_mount(device, path, kind, converted) and fields[5:6] not in ([], ["0"]) and _is_checked(device, kind):
        hint = "leave it in fstab, or add systemd-fsck@.service to the mount unit under `units: {….mount.d: …}`"
        draft.not_converted(where, f"the check by fsck before {path} is mounted (field 6)", hint)


class _Options:
    """The options of one line: keys of a document in ``entry``, options of the file system in ``options``."""

    def __init__(self, text: str, where: Where, draft: DocumentDraft) -> None:
        self.where, self.draft = where, draft
        self.entry: dict[str, Plain] = {}
        self.options: dict[str, str | bool] = {}
        self.implied: set[str] = set()
        for option in splitting.mount_options(text):
            self.add(option)
        if self.entry.get("automount"):
            # noauto only concerns the mount: systemd-fstab-generator starts the automount anyway.
            self.entry.pop("state", None)

    def add(self, option: str) -> None:
        name, equals, value = option.partition("=")
        if name in DEFAULTS:
            return
        if name == "noauto":
            self.entry["state"] = "stopped"
        elif option in {"x-systemd.automount", "comment=systemd.automount"}:
            self.entry["automount"] = True
        elif name == "x-systemd.mount-timeout":
            self.entry["timeout"] = value
        elif name == "bg":
            hint = "set `automount: true`, so that the boot does not wait for the server"
            self.not_converted("the option bg: systemd cannot follow a mount in the background", hint)
        elif name == "pri":
            self.set_priority(value)
        elif name in mount_options.IMPLIED:
            self.not_converted(f"the option {name}: only root starts units", "leave it in fstab")
            for implied in mount_options.IMPLIED[name]:
                self.options.pop(mount_options.OPPOSITES[implied], None)
                self.options[implied] = True
                self.implied.add(implied)
        elif name.startswith(("x-", "comment")):
            hint = mount_options.instead(name) or "other programs read it: leave it in fstab"
            self.not_converted(f"the option {option}", hint)
        elif (earlier := mount_options.OPPOSITES.get(name, "")) in self.options:
            del self.options[earlier]
            self.options[name] = True
            if earlier not in self.implied:
                self.not_converted(f"the option {earlier}, which {name} overrides", "remove it")
        elif name in self.implied:
            self.implied.remove(name)
        elif name in self.options:
            self.not_converted(f"the option {option}, because {name} is set twice", "write one of them")
        else:
            self.options[name] = value if equals else True

    def set_priority(self, value: str) -> None:
        if re.fullmatch(r"-1|[0-9]{1,5}", value) and int(value) <= MAX_PRIORITY:
            self.entry["priority"] = int(value)
        else:
            self.not_converted(f"the priority {value!r}", f"use a number from -1 to {MAX_PRIORITY}")

    def not_converted(self, what: str, hint: str) -> None:
        self.draft.not_converted(self.where, what, hint)

    def merged_into(self, entry: dict[str, Plain]) -> dict[str, Plain]:
        """Return ``entry`` with the options, which are a list if none has a value."""
        merged: dict[str, Plain] = {**entry, **self.entry}
        if self.options:
            only_flags = all(value is True for value in self.options.values())
            names: list[Plain] = [*self.options]
            merged["options"] = names if only_flags else {**self.options}
        return merged


def _is_checked(device: str, kind: str) -> bool:
    """Return whether systemd-fstab-generator lets fsck check a file system: it is on a device."""
    return device.startswith("/dev/") and kind not in _UNCHECKED


def _add_mount(device: str, path: str, kind: str, options: _Options) -> bool:
    """Add a mount. Return False, and add the problem, if a document cannot have it."""
    if path.startswith("/") and why_not_mounted(path):
        options.not_converted(f"{path}: the machine needs it before it can read documents", "leave it in fstab")
        return False
    if is_api(path.rstrip("/")):
        # systemd-fstab-generator leaves these out, too (mount_point_is_api()).
        hint = (
            "leave it in fstab: systemd-remount-fs.service uses its options" if options.options else "remove the line"
        )
        options.not_converted(f"{path}: systemd mounts it itself", hint)
        return False
    if not _is_path(path):
        options.not_converted(f"{path!r} is not a mount point", "write an absolute path")
        return False
    if "," in device or any(char in device for char in "\n\r\0"):
        options.not_converted(f"no unit can mount {device!r}", "rename it")
        return False
    if "priority" in options.entry:
        options.not_converted("the option pri= of a mount", "remove it: only swap has a priority")
        del options.entry["priority"]
    entry: dict[str, Plain] = {"what": device, **({} if kind == "auto" else {"type": kind})}
    options.draft.add("mounts", path, options.merged_into(entry), options.where)
    return True


def _add_swap(device: str, options: _Options) -> None:
    if not _is_path(device):
        what = f"{device!r} is not a device or file to swap on"
        options.not_converted(what, "write an absolute path, UUID= or LABEL=")
        return
    for key in ("automount", "timeout"):
        if options.entry.pop(key, None) is not None:
            options.not_converted(f"{key} of a swap", "remove it: only a mount has it")
    options.draft.add("swaps", device, options.merged_into({}), options.where)


def _is_path(text: str) -> bool:
    try:
        formats.path(text)
    except ValueError:
        return False
    return text.isprintable()


def device_of(source: str) -> str:
    """Return the path of a device that has a tag, anything else as it is (systemd's fstab_node_to_udev_node()).

    >>> device_of('LABEL="my disk"'), device_of("/dev/sda1")
    ('/dev/disk/by-label/my\\\\x20disk', '/dev/sda1')
    """
    tag, equals, value = source.partition("=")
    if not equals or tag not in _TAGS:
        return source
    bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
    return _TAGS[tag] + re.sub(r"[^A-Za-z0-9#+.:=@_-]", _escape_for_udev, bare, flags=re.ASCII)


def _escape_for_udev(match: re.Match[str]) -> str:
    char = match[0]
    return char if ord(char) > 127 else f"\\x{ord(char):02x}"


def unescaped(field: str) -> str:
    r"""Return a field with its octal escapes replaced (getmntent(3)).

    >>> unescaped(r"/srv/my\040data")
    '/srv/my data'
    """
    return re.sub(r"\\([0-3][0-7]{2})", lambda m: chr(int(m[1], 8)), field)
