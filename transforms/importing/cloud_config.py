"""cloud-config (cloud-init's user data), and its network configuration in version 2, as sections of a document.

cloud-init acts once on a new machine, a document applies at all times. Commands become services of the type oneshot.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Callable, Iterable, Mapping

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.node import Node
from ordain.transforms.errors import Where
from ordain.transforms.importing import fstab, yaml_values
from ordain.transforms.importing.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.importing.yaml_values import UnusableValue, flag, items, listed, text, texts, whole

HINTS = {
    "packages": "use the package manager; an error of `services` names the package that is missing",
    "package_update": "use the package manager",
    "package_upgrade": "use the package manager, or unattended upgrades",
    "package_reboot_if_required": "use the package manager, or unattended upgrades",
    "apt": "write its files: `files: {/etc/apt/sources.list.d/….sources: …}`",
    "yum_repos": "write its files: `files: {/etc/yum.repos.d/….repo: …}`",
    "chpasswd": "set passwords manually, or log in with keys",
    "password": "set passwords manually, or log in with keys",
    "ssh_pwauth": "write it: `files: {/etc/ssh/sshd_config.d/….conf: …}`",
    "disable_root": "write it: `files: {/etc/ssh/sshd_config.d/….conf: …}`",
    "ssh_import_id": "write the keys under `users`",
    "ssh_keys": "create the host keys on the machine",
    "ssh_authorized_keys": "write them under `users: {NAME: {keys: …}}`, because images have different default users",
    "ca_certs": "write the file, and run update-ca-certificates",
    "disk_setup": "partition with systemd-repart, or manually",
    "fs_setup": "create file systems with systemd-makefs@.service, or manually",
    "growpart": "use systemd-growfs@.service",
    "resize_rootfs": "use systemd-growfs-root.service",
    "power_state": "reboot manually",
    "final_message": "remove it: cloud-init only prints it",
    "mount_default_fields": "write all fields of each mount",
}
"""Remedies for modules of cloud-init that have no section."""
IGNORED = frozenset({"version", "config", "merge_how", "merge_type", "preserve_hostname"})
RUNCMD_DONE = "/var/lib/cloud-runcmd/done"


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add the content of every file to ``draft``."""
    for file in files:
        if file.data.lstrip().startswith((b"## template:", b"Content-Type:", b"#!", b"#include")):
            hint = "import the output of `cloud-init query userdata`, which is cloud-config"
            draft.not_converted(Where(path=file.path, line=1), "this user data is not cloud-config", hint)
        elif root := yaml_values.read(file, draft):
            _Config(root, draft).convert()


class _Config:
    """One cloud-config."""

    def __init__(self, root: Node, draft: DocumentDraft) -> None:
        self.root, self.draft = root, draft
        self.host: dict[str, tuple[Plain, Where]] = {}

    def convert(self) -> None:
        keys = items(self.root)
        if "version" in keys or "ethernets" in keys:  # the file is only a network configuration
            keys = {"network": self.root}
        for key, node in sorted(keys.items(), key=lambda item: item[0] != "users"):  # to which `groups` adds
            self.convert_key(key, node)
        for key, (value, where) in self.host.items():
            self.draft.add("host", key, value, where)

    def convert_key(self, key: str, node: Node) -> None:
        if key not in _KEYS:
            if key not in IGNORED:
                self.not_converted(node, key, HINTS.get(key, "a document has no such section"))
            return
        try:
            _KEYS[key](self, node)
        except UnusableValue as error:
            self.not_converted(error.node, f"{key}: {error.what}", error.hint)

    def not_converted(self, node: Node, what: str, hint: str = "") -> None:
        self.draft.not_converted(node.where, what, hint)

    def for_each(self, node: Node, what: str, convert: Callable[[Node], None]) -> None:
        """Convert every item of a list. An item with a problem does not keep the others from being converted."""
        for item in listed(node):
            try:
                convert(item)
            except UnusableValue as error:
                self.not_converted(error.node, f"{what}: {error.what}", error.hint)

    def users(self, node: Node) -> None:
        self.for_each(node, "users", self.user)

    def user(self, node: Node) -> None:
        if not isinstance(node.value, Mapping):
            name = text(node)
            if name == "default":
                raise UnusableValue(node, "images have different default users", "name the user")
            self.draft.add("users", name, {}, node.where)
            return
        keys = items(node)
        if "name" not in keys:
            raise UnusableValue(node, "a user has no name", "add `name`")
        name = text(keys["name"])
        entry: dict[str, Plain] = {}
        for key, child in keys.items():
            if key in _USER_KEYS:
                our_key, convert = _USER_KEYS[key]
                entry[our_key] = convert(child)
            elif key == "sudo":
                self.sudo(name, child)
            elif key == "lock_passwd" and flag(child):
                continue  # an account of a document has no password either
            elif key != "name":
                self.not_converted(child, f"users: {key} of {name}", _USER_HINTS.get(key, "do it manually"))
        self.draft.add("users", name, entry, node.where)

    def sudo(self, name: str, node: Node) -> None:
        rules = [] if isinstance(node.value, bool) else texts(node)
        if rules and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
            content = "".join(f"{name} {rule}\n" for rule in rules)
            path = f"/etc/sudoers.d/90-{name}"
            entry: dict[str, Plain] = {"content": content, "mode": "0440"}
            self.draft.add("files", path, entry, node.where)

    def groups(self, node: Node) -> None:
        for item in listed(node) if not isinstance(node.value, Mapping) else (node,):
            members = items(item) if isinstance(item.value, Mapping) else {text(item): None}
            for name, child in members.items():
                self.draft.add("groups", name, {}, item.where)
                for user in texts(child) if child else ():
                    self.member(user, name, item)

    def member(self, user: str, group: str, node: Node) -> None:
        if user not in self.draft.entries("users"):
            self.draft.add("users", user, {}, node.where)
        entry = self.draft.entries("users")[user]
        if isinstance(entry, dict):
            groups = entry.setdefault("groups", [])
            if isinstance(groups, list) and group not in groups:
                groups.append(group)

    def write_files(self, node: Node) -> None:
        self.for_each(node, "write_files", self.file)

    def file(self, node: Node) -> None:
        keys = items(node)
        if "path" not in keys:
            raise UnusableValue(node, "a file has no path", "add `path`")
        path = text(keys["path"])
        if "append" in keys and flag(keys["append"]):
            raise UnusableValue(keys["append"], f"cloud-init appends to {path}", "write the whole file")
        if "source" in keys:
            raise UnusableValue(keys["source"], f"cloud-init downloads {path}", "write its content")
        encoding = text(keys["encoding"]) if "encoding" in keys else ""
        entry: dict[str, Plain] = {"content": self.content(keys.get("content"), encoding, path)}
        if "permissions" in keys:
            mode = text(keys["permissions"])
            entry["mode"] = mode.removeprefix("0o").zfill(4)
        owner, colon, group = (text(keys["owner"]) if "owner" in keys else "").partition(":")
        entry |= {"owner": owner} if owner else {}
        entry |= {"group": group} if colon and group else {}
        self.draft.add("files", path, entry, node.where)

    def content(self, node: Node | None, encoding: str, path: str) -> str:
        if node is None or node.value is None:
            return ""
        written = text(node)
        if not encoding or encoding == "text/plain":
            return written
        if encoding not in {"b64", "base64"}:
            raise UnusableValue(node, f"{path} has the encoding {encoding}", "write it as text, or in base64")
        try:
            return base64.b64decode("".join(written.split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise UnusableValue(node, f"{path} is not a text in base64", "copy binary files in another way") from None

    def runcmd(self, node: Node) -> None:
        """Add a service that runs once on a machine, after its boot.

        It is one shell script, so that a `cd` affects the commands after it.
        """
        if script := self.script(node):
            self.draft.add(
                "services",
                "cloud-runcmd",
                {
                    "description": "Commands for a new machine",
                    "command": ["/bin/sh", "-c", script],
                    "after-start": ["/usr/bin/touch", RUNCMD_DONE],
                    "type": "oneshot",
                    "remain": True,
                    "after": ["network-online"],
                    "condition": {"path-exists": f"!{RUNCMD_DONE}"},
                    "directories": {"state": "cloud-runcmd"},
                    "on-change": "none",
                },
                node.where,
            )

    def bootcmd(self, node: Node) -> None:
        """Add a service that runs early in every boot."""
        if script := self.script(node):
            self.draft.add(
                "services",
                "cloud-bootcmd",
                {
                    "description": "Commands for every boot",
                    "command": ["/bin/sh", "-c", script],
                    "type": "oneshot",
                    "remain": True,
                    "phase": "early",
                    "on-change": "none",
                },
                node.where,
            )

    def script(self, node: Node) -> str:
        lines = []
        for item in listed(node):
            if item.value is not None:
                lines.append(shlex.join(texts(item)) if isinstance(item.value, tuple) else text(item).rstrip("\n"))
        return "\n".join(lines)

    def ntp(self, node: Node) -> None:
        servers: list[Plain] = []
        for key, child in items(node).items():
            if key in {"servers", "pools"}:
                servers += texts(child)
            elif key == "enabled" and not flag(child):
                self.not_converted(
                    child, "ntp: the time service is not enabled", "write `services: {timesyncd: {state: masked}}`"
                )
                return
            elif key != "enabled":
                self.not_converted(child, f"ntp: {key}", "configure the time service with `files`")
        if servers:
            self.host["time-servers"] = (servers, node.where)

    def network(self, node: Node) -> None:
        keys = items(node)
        if "config" in keys and text(keys["config"]) == "disabled":
            return
        version = text(keys["version"]) if "version" in keys else "2"
        if version != "2":
            hint = "`cloud-init devel net-convert --output-kind netplan` converts it to version 2"
            raise UnusableValue(keys["version"], f"this is version {version}", hint)
        for key, child in keys.items():
            if key != "version":
                self.draft.add("network", key, yaml_values.plain(child), child.where)

    def mounts(self, node: Node) -> None:
        self.for_each(node, "mounts", self.mount)

    def mount(self, node: Node) -> None:
        fields = ["none" if field.value is None else text(field) for field in listed(node)]
        defaults = ("", "", "auto", "defaults,nofail", "0", "2")
        if len(fields) < 2:
            raise UnusableValue(node, "a mount has fewer than two fields", "write device and mount point")
        if not fields[0].startswith("/") and re.fullmatch(r"(ephemeral|swap|[sv]d|xvd|nvme)[a-z0-9.]*", fields[0]):
            if re.match(r"ephemeral|swap", fields[0]):
                raise UnusableValue(node, f"{fields[0]} is a name that only cloud-init knows", "name the device")
            fields[0] = f"/dev/{fields[0]}"
        line = [*fields, *defaults[len(fields) :]]
        fstab.add_line(line[:5] if len(fields) < 6 else line, node.where, self.draft)

    def swap(self, node: Node) -> None:
        keys = items(node)
        if "filename" not in keys:
            raise UnusableValue(node, "a swap file has no name", "add `filename`")
        self.draft.add("swaps", text(keys["filename"]), {}, node.where)
        for key, child in keys.items():
            if key != "filename":
                self.not_converted(
                    child,
                    f"swap: {key}, because no service creates the file",
                    "create it once: `mkswap --file --size …`",
                )

    def name(self, node: Node) -> None:
        self.host["hostname"] = (text(node), node.where)

    def fqdn(self, node: Node) -> None:
        keys = items(self.root)
        if "hostname" not in keys:
            self.host["hostname"] = (text(node).partition(".")[0], node.where)
        self.not_converted(node, f"fqdn: {text(node)}", "set the domain in DNS, or in /etc/hosts with `files`")

    def timezone(self, node: Node) -> None:
        self.host["timezone"] = (text(node), node.where)

    def locale(self, node: Node) -> None:
        if not isinstance(node.value, bool):
            self.host["locale"] = (text(node), node.where)

    def keyboard(self, node: Node) -> None:
        for key, child in items(node).items():
            if key == "layout":
                self.host["keymap"] = (text(child), child.where)
            else:
                self.not_converted(child, f"keyboard: {key}", "choose one of the keymaps of `localectl list-keymaps`")


def _comma_separated(node: Node) -> Plain:
    return [group.strip() for item in texts(node) for group in item.split(",") if group.strip()]


def _lines(node: Node) -> Plain:
    return [line.strip() for line in texts(node)]


_USER_KEYS: Mapping[str, tuple[str, Callable[[Node], Plain]]] = {
    "uid": ("uid", whole),
    "homedir": ("home", text),
    "shell": ("shell", text),
    "primary_group": ("group", text),
    "groups": ("groups", _comma_separated),
    "ssh_authorized_keys": ("keys", _lines),
    "system": ("system", flag),
}
"""Our key for each key of a user, and the function that converts the value."""
_USER_HINTS = {
    "passwd": "set passwords manually, or log in with keys",
    "hashed_passwd": "set passwords manually, or log in with keys",
    "plain_text_passwd": "set passwords manually, or log in with keys",
    "lock_passwd": "set a password manually",
    "gecos": "set it with `chfn`",
    "ssh_import_id": "write the keys under `keys`",
}
_KEYS: Mapping[str, Callable[[_Config, Node], None]] = {
    "users": _Config.users,
    "groups": _Config.groups,
    "write_files": _Config.write_files,
    "runcmd": _Config.runcmd,
    "bootcmd": _Config.bootcmd,
    "ntp": _Config.ntp,
    "network": _Config.network,
    "mounts": _Config.mounts,
    "swap": _Config.swap,
    "hostname": _Config.name,
    "fqdn": _Config.fqdn,
    "timezone": _Config.timezone,
    "locale": _Config.locale,
    "keyboard": _Config.keyboard,
}
