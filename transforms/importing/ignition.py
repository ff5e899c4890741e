"""Configurations of Butane and Ignition (version 3) as files, users, groups and units.

Butane's YAML and Ignition's JSON have the same keys, spelled `with_underscores` and `withCapitals`. Ignition acts once
on a new machine, a document applies at all times. Disks, file systems and boot arguments are problems.
"""

from __future__ import annotations

import base64
import posixpath
import re
import urllib.parse
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.text.node import Node
from ordain.transforms.importing.containers import quadlet
from ordain.transforms.importing.draft import yaml_values
from ordain.transforms.importing.draft.document_draft import MAX_BYTES, DocumentDraft, InputFile, Plain
from ordain.transforms.importing.draft.foreign_yaml import python_value
from ordain.transforms.importing.draft.yaml_values import (
    UnusableValue,
    each,
    flag,
    listed,
    set_items,
    text,
    texts,
    whole,
)
from ordain.transforms.importing.units import unit_files
from ordain.transforms.importing.units.unit_files import ImportedUnit
from ordain.transforms.render.accounts import FIXED_FOR_ROOT
from ordain.transforms.systemd import unit_name

HINTS = {
    "disks": "partition with systemd-repart, or manually",
    "raid": "create it manually",
    "luks": "create it manually",
    "filesystems": "create it with systemd-makefs@.service, and write `mounts`",
    "trees": "write each file under `files`",
    "kernel_arguments": "set them with the tools of the distribution",
    "boot_device": "set it up when the machine is installed",
    "grub": "set it up when the machine is installed",
    "config": "import the other configuration, too",
    "password_hash": "set passwords manually, or log in with keys",
    "gecos": "set it with `chfn`",
    "ssh_authorized_keys_local": "write the keys under `keys`",
    "contents_local": "import the unit file",
    "no_create_home": "remove the directory manually",
    "no_user_group": "write `primary_group`",
    "no_log_init": "remove it: it concerns lastlog only",
    "metadata": "remove it: only the operator of OpenShift reads it",
    "openshift": "set it up with the operator of OpenShift",
    "security": "remove it: it concerns what Ignition does",
    "proxy": "remove it: it concerns what Ignition does",
    "timeouts": "remove it: it concerns what Ignition does",
    "verification": "remove it: the content is in the document",
}
USER_KEYS: Mapping[str, tuple[str, Callable[[Node], Plain]]] = {
    "uid": ("uid", whole),
    "home_dir": ("home", text),
    "shell": ("shell", text),
    "primary_group": ("group", text),
    "groups": ("groups", lambda node: [*texts(node)]),
    "ssh_authorized_keys": ("keys", lambda node: [key.strip() for key in texts(node)]),
    "system": ("system", flag),
    "should_exist": ("state", lambda node: "present" if flag(node) else "absent"),
}
"""Our key for each key of a user, and the function that converts the value."""
GROUP_KEYS: Mapping[str, tuple[str, Callable[[Node], Plain]]] = {
    "gid": ("gid", whole),
    "system": ("system", flag),
    "should_exist": ("", flag),  # a group of a document exists
}


def is_ignition(data: bytes) -> bool:
    """Return whether a file is a configuration of Butane or Ignition."""
    butane = re.search(rb"(?m)^variant:\s*['\"]?\w+", data) and re.search(rb"(?m)^version:", data)
    return bool(butane) or re.search(rb'(?s)\A\s*\{.*"ignition"\s*:', data) is not None


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add the content of every file to ``draft``."""
    for file in files:
        if root := yaml_values.read(file, draft):
            _Config(file, root, names, draft).convert()


class _Config:
    """One configuration."""

    def __init__(self, file: InputFile, root: Node, names: Names, draft: DocumentDraft) -> None:
        self.file, self.root, self.names, self.draft = file, root, names, draft

    def convert(self) -> None:
        self.keys("", self.root, {
            "variant": text,
            "version": text,
            "ignition": lambda node: self.keys("ignition", node, {"version": text}),
            "storage": lambda node: self.keys("storage", node, {
                "files": lambda node: each(listed(node), self.add_file, self.draft, "files"),
                "directories": lambda node: each(listed(node), self.add_directory, self.draft, "directories"),
                "links": lambda node: each(listed(node), self.add_link, self.draft, "links"),
            }),
            "systemd": lambda node: self.keys("systemd", node, {
                "units": self.add_units,
                "quadlets": self.add_quadlets,
            }),
            "passwd": lambda node: self.keys("passwd", node, {
                "users": lambda node: each(listed(node), self.add_user, self.draft, "users"),
                "groups": lambda node: each(listed(node), self.add_group, self.draft, "groups"),
            }),
        })  # fmt: skip

    def keys(self, what: str, node: Node, known: Mapping[str, Callable[[Node], object]]) -> None:
        """Convert the keys of a map with the functions in ``known``; all others are problems."""
        for key, child in _keys(node).items():
            if key in known:
                each([child], known[key], self.draft, key)  # type: ignore[arg-type]
            else:
                name = f"{what}: {key}" if what else key
                self.draft.not_converted(child.where, name, HINTS.get(key, "remove it, or do it manually"))

    def entry(self, node: Node, known: frozenset[str], need: str) -> dict[str, Node]:
        """Return the keys of an item of a list, of which those that are not known are problems."""
        keys = _keys(node)
        if need not in keys:
            raise UnusableValue(node, f"an item has no {need}", f"add `{need}`")
        for key in sorted(keys.keys() - known):
            what = f"{key} of {text(keys[need])}"
            self.draft.not_converted(keys[key].where, what, HINTS.get(key, "do it manually"))
        return {key: child for key, child in keys.items() if key in known}

    def add_file(self, node: Node) -> None:
        known = frozenset({"path", "mode", "contents", "overwrite", "user", "group"})
        if "append" in _keys(node):
            name = text(_keys(node).get("path", node))
            raise UnusableValue(node, f"Ignition appends to {name}", "write the whole file")
        keys = self.entry(node, known, "path")
        if "contents" not in keys or not {"source", "inline", "local"} & _keys(keys["contents"]).keys():
            what = f"{text(keys['path'])} has no contents, so Ignition leaves those of a file that exists"
            raise UnusableValue(node, what, 'write `contents`, with `inline: ""` for an empty file')
        self.add_path(node, keys, {"content": self.content(keys["contents"])})

    def content(self, node: Node) -> str:
        """Return the content of a file. Raises `UnusableValue` if it is not a text in the configuration itself."""
        keys = _keys(node)
        if "inline" in keys:
            self.name_unused(keys, {"inline"})
            return text(keys["inline"])
        if "local" in keys:
            hint = "write it as `inline`, or import the output of butane"
            raise UnusableValue(node, f"the content is in the file {text(keys['local'])!r}", hint)
        source = text(keys["source"])
        if not source.startswith("data:"):
            raise UnusableValue(node, f"Ignition downloads {source[:80]}", "write its content")
        self.name_unused(keys, {"source", "compression"})
        head, _, body = source.removeprefix("data:").partition(",")
        try:
            data = base64.b64decode(body) if head.endswith(";base64") else urllib.parse.unquote_to_bytes(body)
            if "compression" in keys and text(keys["compression"]) == "gzip":
                data = zlib.decompressobj(wbits=31).decompress(data, MAX_BYTES)
            return data.decode()
        except (ValueError, zlib.error):  # base64 or a text of another form
            raise UnusableValue(node, "the content is not a text", "copy binary files in another way") from None

    def name_unused(self, keys: Mapping[str, Node], used: set[str]) -> None:
        for key in sorted(keys.keys() - used):
            self.draft.not_converted(keys[key].where, f"contents: {key}", "remove it: the content is in the document")

    def add_directory(self, node: Node) -> None:
        known = frozenset({"path", "mode", "overwrite", "user", "group"})
        self.add_path(node, self.entry(node, known, "path"), {"directory": True})

    def add_link(self, node: Node) -> None:
        keys = self.entry(node, frozenset({"path", "target", "hard", "overwrite"}), "path")
        path = text(keys["path"])
        if "target" not in keys or ("hard" in keys and flag(keys["hard"])):
            raise UnusableValue(node, f"{path} is not a symbolic link with a target", "create it manually")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), text(keys["target"])))
        self.draft.add("files", path, {"link": target}, node.where, last_wins=True)

    def add_path(self, node: Node, keys: Mapping[str, Node], entry: dict[str, Plain]) -> None:
        if "mode" in keys:
            value = python_value(keys["mode"])
            try:
                entry["mode"] = f"{value if isinstance(value, int) else int(str(value), 0):04o}"
            except ValueError:
                raise UnusableValue(keys["mode"], f"{value!r} is not a mode", "write it like 0644") from None
        for key, ours in (("user", "owner"), ("group", "group")):
            if key in keys:
                of_key = set_items(keys[key])
                entry[ours] = text(of_key["name"] if "name" in of_key else of_key.get("id", keys[key]))
        self.draft.add("files", text(keys["path"]), entry, node.where, last_wins=True)

    def add_user(self, node: Node) -> None:
        self.add_account("users", USER_KEYS, node)

    def add_group(self, node: Node) -> None:
        keys = self.entry(node, frozenset({"name", *GROUP_KEYS}), "name")
        if (wanted := keys.get("should_exist")) is not None and not flag(wanted):
            what = f"groups: the removal of {text(keys['name'])}"
            self.draft.not_converted(wanted.where, what, "remove it manually: a document makes groups only")
            return
        self.add_account("groups", GROUP_KEYS, node)

    def add_account(self, section: str, known: Mapping[str, tuple[str, Callable[[Node], Plain]]], node: Node) -> None:
        keys = self.entry(node, frozenset({"name", *known}), "name")
        name = text(keys["name"])
        entry: dict[str, Plain] = {}
        for key, child in keys.items():
            if key != "name":
                ours, value = known[key]
                if not ours:
                    continue
                if section == "users" and name == "root" and ours in FIXED_FOR_ROOT:
                    hint = f"remove it: {FIXED_FOR_ROOT[ours]}"
                    self.draft.not_converted(child.where, f"users: {ours} of root cannot be set", hint)
                    continue
                each([child], lambda child, ours=ours, value=value: entry.update({ours: value(child)}), self.draft, key)  # type: ignore[misc]
        self.draft.add(section, name, entry, node.where)

    def add_units(self, node: Node) -> None:
        """Add all units together, since a service and its timer become one entry."""
        files: list[InputFile] = []
        enabled: dict[str, ImportedUnit] = {}
        masked: list[ImportedUnit] = []
        each(listed(node), lambda item: self.read_unit(item, files, enabled, masked), self.draft, "units")
        units = unit_files.read_units(files, self.draft)
        with_files = {unit.name for unit in units}
        units = tuple(replace(unit, enabled=unit.name in enabled) for unit in units)
        others = (unit for unit in enabled.values() if unit.name not in with_files)
        unit_files.convert((*units, *others, *masked), self.names, self.draft)

    def add_quadlets(self, node: Node) -> None:
        files: list[InputFile] = []
        each(listed(node), lambda item: self.read_quadlet(item, files), self.draft, "quadlets")
        quadlet.convert(files, self.names, self.draft)

    def read_quadlet(self, node: Node, files: list[InputFile]) -> None:
        keys = self.entry(node, frozenset({"name", "contents", "rootful"}), "name")
        if "contents" not in keys:
            raise UnusableValue(node, "a quadlet has no contents", "add `contents`")
        file = InputFile(path=f"{self.file.path}/{text(keys['name'])}", data=text(keys["contents"]).encode())
        if not quadlet.quadlet_of(file) or "/" in text(keys["name"]):
            raise UnusableValue(node, f"{text(keys['name'])!r} is not the name of a quadlet", "rename it")
        if "rootful" not in keys or not flag(keys["rootful"]):
            raise UnusableValue(node, f"{file.name} runs in the sessions of users", "write `rootful: true`")
        files.append(file)

    def read_unit(
        self, node: Node, files: list[InputFile], enabled_units: dict[str, ImportedUnit], masked: list[ImportedUnit]
    ) -> None:
        known = frozenset({"name", "enabled", "mask", "contents", "dropins"})
        keys = self.entry(node, known, "name")
        name = text(keys["name"])
        if not unit_name.is_valid(name):
            raise UnusableValue(node, f"{name!r} is not the name of a unit", "rename it")
        folder = self.file.path
        enabled = flag(keys["enabled"]) if "enabled" in keys else None
        unit = ImportedUnit(name=name, where=node.where, comment=str(node.where), own=False)
        if "mask" in keys and flag(keys["mask"]):
            masked.append(replace(unit, masked=True))
            for key in sorted(({"contents", "dropins"} | ({"enabled"} if enabled else set())) & keys.keys()):
                self.draft.not_converted(keys[key].where, f"{key} of {name}, which is masked", "remove one of them")
            return
        for drop_in in listed(keys["dropins"]) if "dropins" in keys else ():
            of_key = set_items(drop_in)
            if not {"name", "contents"} <= of_key.keys():
                raise UnusableValue(drop_in, f"a drop-in of {name} has no name or contents", "add both")
            if not re.fullmatch(r"[^/]+\.conf", text(of_key["name"])):
                raise UnusableValue(drop_in, f"the name of a drop-in of {name} is not valid", "write NAME.conf")
            path = f"{folder}/{name}.d/{text(of_key['name'])}"
            files.append(InputFile(path=path, data=text(of_key["contents"]).encode()))
        if "contents" in keys:
            contents = text(keys["contents"])
            if not enabled and "[Install]" in contents:
                self.draft.not_converted(node.where, f"[Install] of {name}, because it is not enabled", "enable it")
                contents = re.sub(r"(?ms)^\[Install\].*?(?=^\[|\Z)", "", contents)
            files.append(InputFile(path=f"{folder}/{name}", data=contents.encode() or b"\n"))
        elif enabled:
            enabled_units[name] = replace(unit, enabled=True)
        elif enabled is False:
            what = f"{name} is not enabled, which does not stop it"
            self.draft.not_converted(node.where, what, f"write `services: {{NAME: {{unit: {name}, state: stopped}}}}`")


def _keys(node: Node) -> dict[str, Node]:
    """Return the keys of a map in Butane's spelling."""
    return {re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", key): child for key, child in set_items(node).items()}
