"""cloud-config (cloud-init's user data) and its network configuration, version 2 → the sections that say the same.

What cloud-init does once for a new machine becomes what the document holds the machine to; commands become oneshots.
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
from ordain.transforms.importing import fstab, yaml_reader
from ordain.transforms.importing.draft import Imported, Plain, Source
from ordain.transforms.importing.yaml_reader import Unfit, flag, items, listed, text, texts, whole

HINTS = {
    "packages": "install packages with the package manager; `services` name the one they need",
    "package_update": "the package manager does that",
    "package_upgrade": "the package manager does that, or unattended upgrades",
    "package_reboot_if_required": "the package manager does that, or unattended upgrades",
    "apt": "write its files: `files: {/etc/apt/sources.list.d/….sources: …}`",
    "yum_repos": "write its files: `files: {/etc/yum.repos.d/….repo: …}`",
    "chpasswd": "set passwords by hand, or log in with keys",
    "password": "set passwords by hand, or log in with keys",
    "ssh_pwauth": "write it: `files: {/etc/ssh/sshd_config.d/….conf: …}`",
    "disable_root": "write it: `files: {/etc/ssh/sshd_config.d/….conf: …}`",
    "ssh_import_id": "write the keys themselves under `users`",
    "ssh_keys": "host keys are made on the machine",
    "ssh_authorized_keys": "write them under `users: {NAME: {keys: …}}`: which user is the default differs",
    "ca_certs": "write the file, and run update-ca-certificates",
    "disk_setup": "partition with systemd-repart, or by hand",
    "fs_setup": "make file systems with systemd-makefs@.service, or by hand",
    "growpart": "systemd-growfs@.service does that",
    "resize_rootfs": "systemd-growfs-root.service does that",
    "power_state": "reboot by hand",
    "final_message": "it is only printed",
    "mount_default_fields": "write all fields of each mount",
}
"""What there is instead of modules that have no section."""
QUIET = frozenset({"version", "config", "merge_how", "merge_type", "preserve_hostname"})
DONE = "/var/lib/cloud-runcmd/done"


def carry(sources: Iterable[Source], names: Names, imported: Imported) -> None:
    """Puts every file into ``imported``."""
    for source in sources:
        if source.data.lstrip().startswith((b"## template:", b"Content-Type:", b"#!", b"#include")):
            hint = "import the cloud-config that comes out of it: `cloud-init query userdata`"
            imported.lost(Where(path=source.path, line=1), "user data, but no cloud-config", hint)
        elif root := yaml_reader.read(source, imported):
            _Config(root, imported).carry()


class _Config:
    def __init__(self, root: Node, imported: Imported) -> None:
        self.root, self.imported = root, imported
        self.host: dict[str, tuple[Plain, Where]] = {}

    def carry(self) -> None:
        keys = items(self.root)
        if "version" in keys or "ethernets" in keys:  # a file of network configuration alone
            keys = {"network": self.root}
        for key, node in sorted(keys.items(), key=lambda item: item[0] != "users"):  # groups add to them
            self.guarded(key, node, _KEYS.get(key))
        for key, (value, where) in self.host.items():
            self.imported.put("host", key, value, where)

    def guarded(self, key: str, node: Node, take: Callable[[_Config, Node], None] | None) -> None:
        if take is None:
            if key not in QUIET:
                self.lost(node, key, HINTS.get(key, "a document has no place for it"))
            return
        try:
            take(self, node)
        except Unfit as unfit:
            self.lost(unfit.node, f"{key}: {unfit.what}", unfit.hint)

    def lost(self, node: Node, what: str, hint: str = "") -> None:
        self.imported.lost(node.where, what, hint)

    def each(self, node: Node, what: str, take: Callable[[Node], None]) -> None:
        """Takes every item of a list; one that is wrong costs itself alone."""
        for item in listed(node):
            try:
                take(item)
            except Unfit as unfit:
                self.lost(unfit.node, f"{what}: {unfit.what}", unfit.hint)

    def users(self, node: Node) -> None:
        self.each(node, "users", self.user)

    def user(self, node: Node) -> None:
        if not isinstance(node.value, Mapping):
            name = text(node)
            if name == "default":
                raise Unfit(node, "the default user differs from image to image", "name it")
            self.imported.put("users", name, {}, node.where)
            return
        keys = items(node)
        if "name" not in keys:
            raise Unfit(node, "a user without a name")
        name = text(keys["name"])
        entry: dict[str, Plain] = {}
        for key, child in keys.items():
            if key == "uid":
                entry["uid"] = whole(child)
            elif key in {"homedir", "shell", "primary_group"}:
                entry[{"homedir": "home", "primary_group": "group"}.get(key, key)] = text(child)
            elif key == "groups":
                entry["groups"] = [g.strip() for item in texts(child) for g in item.split(",") if g.strip()]
            elif key == "ssh_authorized_keys":
                entry["keys"] = [key.strip() for key in texts(child)]
            elif key == "system":
                entry["system"] = flag(child)
            elif key == "sudo":
                self.sudo(name, child)
            elif key == "lock_passwd" and flag(child):
                continue  # there is no password in a document either
            elif key != "name":
                self.lost(child, f"users: {key} of {name}", _USER_HINTS.get(key, "do it by hand"))
        self.imported.put("users", name, entry, node.where)

    def sudo(self, name: str, node: Node) -> None:
        rules = [] if isinstance(node.value, bool) else texts(node)
        if rules and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
            content = "".join(f"{name} {rule}\n" for rule in rules)
            path = f"/etc/sudoers.d/90-{name}"
            check: dict[str, Plain] = {"content": content, "mode": "0440"}
            self.imported.put("files", path, check, node.where)

    def groups(self, node: Node) -> None:
        for item in listed(node) if not isinstance(node.value, Mapping) else (node,):
            members = items(item) if isinstance(item.value, Mapping) else {text(item): None}
            for name, child in members.items():
                self.imported.put("groups", name, {}, item.where)
                for user in texts(child) if child else ():
                    self.member(user, name, item)

    def member(self, user: str, group: str, node: Node) -> None:
        if user not in self.imported.mapping("users"):
            self.imported.put("users", user, {}, node.where)
        entry = self.imported.mapping("users")[user]
        if isinstance(entry, dict):
            there = entry.setdefault("groups", [])
            if isinstance(there, list) and group not in there:
                there.append(group)

    def write_files(self, node: Node) -> None:
        self.each(node, "write_files", self.file)

    def file(self, node: Node) -> None:
        keys = items(node)
        if "path" not in keys:
            raise Unfit(node, "a file without a path")
        path = text(keys["path"])
        if "append" in keys and flag(keys["append"]):
            raise Unfit(keys["append"], f"{path} is added to", "write the whole file")
        if "source" in keys:
            raise Unfit(keys["source"], f"{path} is fetched", "write its content")
        encoding = text(keys["encoding"]) if "encoding" in keys else ""
        entry: dict[str, Plain] = {"content": self.content(keys.get("content"), encoding, path)}
        if "permissions" in keys:
            mode = text(keys["permissions"])
            entry["mode"] = mode.removeprefix("0o").zfill(4)
        owner, colon, group = (text(keys["owner"]) if "owner" in keys else "").partition(":")
        entry |= {"owner": owner} if owner else {}
        entry |= {"group": group} if colon and group else {}
        self.imported.put("files", path, entry, node.where)

    def content(self, node: Node | None, encoding: str, path: str) -> str:
        if node is None or node.value is None:
            return ""
        written = text(node)
        if not encoding or encoding == "text/plain":
            return written
        if encoding not in {"b64", "base64"}:
            raise Unfit(node, f"{path}: the encoding {encoding}", "write it as text, or in base64")
        try:
            return base64.b64decode("".join(written.split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Unfit(node, f"{path} is no text in base64", "hand binary files over by other means") from None

    def runcmd(self, node: Node) -> None:
        """Once for a machine, after it is up, as one shell script: a `cd` holds for what follows."""
        if script := self.script(node):
            self.imported.put(
                "services",
                "cloud-runcmd",
                {
                    "description": "Commands for a new machine",
                    "command": ["/bin/sh", "-c", script],
                    "after-start": ["/usr/bin/touch", DONE],
                    "type": "oneshot",
                    "remain": True,
                    "after": ["network-online"],
                    "condition": {"path-exists": f"!{DONE}"},
                    "directories": {"state": "cloud-runcmd"},
                    "on-change": "none",
                },
                node.where,
            )

    def bootcmd(self, node: Node) -> None:
        """At every boot, early."""
        if script := self.script(node):
            self.imported.put(
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
                self.lost(child, "ntp: not enabled", "say `services: {timesyncd: {state: masked}}`")
                return
            elif key != "enabled":
                self.lost(child, f"ntp: {key}", "configure the time service with `files`")
        if servers:
            self.host["time-servers"] = (servers, node.where)

    def network(self, node: Node) -> None:
        keys = items(node)
        if "config" in keys and text(keys["config"]) == "disabled":
            return
        version = text(keys["version"]) if "version" in keys else "2"
        if version != "2":
            hint = "write it in version 2: `cloud-init devel net-convert --output-kind netplan`"
            raise Unfit(keys["version"], f"version {version}", hint)
        for key, child in keys.items():
            if key != "version":
                self.imported.put("network", key, yaml_reader.plain(child), child.where)

    def mounts(self, node: Node) -> None:
        self.each(node, "mounts", self.mount)

    def mount(self, node: Node) -> None:
        fields = ["none" if field.value is None else text(field) for field in listed(node)]
        defaults = ("", "", "auto", "defaults,nofail", "0", "2")
        if len(fields) < 2:
            raise Unfit(node, "a mount has a device and a mount point")
        if not fields[0].startswith("/") and re.fullmatch(r"(ephemeral|swap|[sv]d|xvd|nvme)[a-z0-9.]*", fields[0]):
            if re.match(r"ephemeral|swap", fields[0]):
                raise Unfit(node, f"{fields[0]} is a name of the cloud's", "name the device")
            fields[0] = f"/dev/{fields[0]}"
        made = [*fields, *defaults[len(fields) :]]
        fstab.entry(made[:5] if len(fields) < 6 else made, node.where, self.imported)

    def swap(self, node: Node) -> None:
        keys = items(node)
        if "filename" not in keys:
            raise Unfit(node, "a swap file without a name")
        self.imported.put("swaps", text(keys["filename"]), {}, node.where)
        for key, child in keys.items():
            if key != "filename":
                self.lost(child, f"swap: {key}: nobody makes the file", "make it once: `mkswap --file --size …`")

    def name(self, node: Node) -> None:
        self.host["hostname"] = (text(node), node.where)

    def fqdn(self, node: Node) -> None:
        keys = items(self.root)
        if "hostname" not in keys:
            self.host["hostname"] = (text(node).partition(".")[0], node.where)
        self.lost(node, f"fqdn: {text(node)}", "the domain comes from DNS, or from /etc/hosts in `files`")

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
                self.lost(child, f"keyboard: {key}", "name a keymap that says it all: `localectl list-keymaps`")


_USER_HINTS = {
    "passwd": "set passwords by hand, or log in with keys",
    "hashed_passwd": "set passwords by hand, or log in with keys",
    "plain_text_passwd": "set passwords by hand, or log in with keys",
    "lock_passwd": "set a password by hand",
    "gecos": "`chfn` sets it",
    "ssh_import_id": "write the keys themselves under `keys`",
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
