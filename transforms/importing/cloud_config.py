"""cloud-config (cloud-init's user data) as sections of a document; its network configuration is in `network_config`.

cloud-init acts once on a new machine, a document applies at all times. Its files are YAML 1.1.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterable, Mapping

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.text.node import Node, Number
from ordain.transforms.errors import Where
from ordain.transforms.importing import fstab, network_config
from ordain.transforms.importing.cloud_accounts import add_groups, add_users
from ordain.transforms.importing.cloud_commands import add_bootcmd, add_runcmd
from ordain.transforms.importing.draft import yaml_values
from ordain.transforms.importing.draft.document_draft import MAX_BYTES, DocumentDraft, InputFile, Plain
from ordain.transforms.importing.draft.foreign_yaml import python_value
from ordain.transforms.importing.draft.yaml_values import (
    UnusableValue,
    each,
    flag,
    items,
    listed,
    set_items,
    text,
    texts,
)

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
    "growpart": "let systemd-repart enlarge the partition",
    "resize_rootfs": "use systemd-growfs-root.service",
    "power_state": "reboot manually",
    "final_message": "remove it: cloud-init only prints it",
    "mount_default_fields": "write all fields of each mount",
    "manage_etc_hosts": "write it: `files: {/etc/hosts: …}`",
    "manage_resolv_conf": "write `nameservers` of a device under `network`",
    "resolv_conf": "write `nameservers` of a device under `network`",
    "rsyslog": "write its files: `files: {/etc/rsyslog.d/….conf: …}`",
    "ssh": "create the host keys on the machine",
    "wireguard": "write it under `network: {tunnels: …}`, with `mode: wireguard`",
    "random_seed": "remove it: systemd-random-seed.service keeps the seed",
    "phone_home": "write a service that reports the machine",
    "snap": "use snap",
    "lxd": "set it up with `lxd init`",
    "apk_repos": "write its files: `files: {/etc/apk/repositories: …}`",
    "zypper": "write its files: `files: {/etc/zypp/repos.d/….repo: …}`",
    **dict.fromkeys(
        "ansible chef landscape mcollective puppet rh_subscription salt_minion spacewalk ubuntu_advantage "
        "ubuntu_pro".split(),
        "install and configure its agent with packages and `files`",
    ),
    **dict.fromkeys(
        "apt_pipelining authkey_hash cloud_config_modules cloud_final_modules cloud_init_modules create_hostname_file "
        "datasource datasource_list disable_ec2_metadata launch-index locale_configfile merge_how merge_type "
        "no_ssh_fingerprints output prefer_fqdn_over_hostname reporting ssh_deletekeys ssh_fp_console_blacklist "
        "ssh_genkeytypes ssh_key_console_blacklist ssh_publish_hostkeys ssh_quiet_keygen system_info updates "
        "vendor_data".split(),
        "remove it: it only concerns what cloud-init does",
    ),
}
"""Remedies for modules of cloud-init that have no section."""
OTHER_FORMATS = (b"## template:", b"Content-Type:", b"MIME-Version:", b"#!", b"#include", b"#cloud-boothook",
                 b"#part-handler", b"#cloud-config-archive", b"#cloud-config-jsonp")  # fmt: skip
"""The beginnings of user data that is not cloud-config."""
NETWORK = frozenset({"version", "config", "ethernets", "bonds", "bridges", "vlans", "renderer"})
"""Keys of a file that is only a network configuration."""
ORDER = {"users": 0, "device_aliases": 2}
"""The order of keys: `groups` adds to `users`, and `mounts` uses aliases. All others are in between."""
FILE_KEYS = frozenset({"path", "content", "encoding", "permissions", "owner", "append", "source", "defer"})
ENCODINGS = frozenset(
    {"", "text/plain", "b64", "base64", "gz", "gzip", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"}
)
NO_DEVICE = frozenset({"tmpfs", "none", "proc", "sysfs", "overlay", "9p", "virtiofs", "bind", "ramfs", "debugfs"})
"""Types of file systems whose source is not a device."""


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add the content of every file to ``draft``."""
    for file in files:
        if file.data.lstrip().startswith(OTHER_FORMATS):
            hint = "import the output of `cloud-init query userdata`, which is cloud-config"
            draft.not_converted(Where(path=file.path, line=1), "this user data is not cloud-config", hint)
        elif root := yaml_values.read(file, draft):
            _Config(root, draft).convert()


class _Config:
    """One cloud-config."""

    def __init__(self, root: Node, draft: DocumentDraft) -> None:
        self.root, self.draft = root, draft
        self.keys = set_items(root)
        self.host: dict[str, tuple[Plain, Where]] = {}
        self.used_aliases: set[str] = set()

    def convert(self) -> None:
        keys = self.keys
        if NETWORK & keys.keys():  # the file is only a network configuration
            keys = {"network": self.root}
        for key, node in sorted(keys.items(), key=lambda item: ORDER.get(item[0], 1)):
            self.convert_key(key, node)
        for key, (value, where) in self.host.items():
            self.draft.add("host", key, value, where)

    def convert_key(self, key: str, node: Node) -> None:
        convert = _KEYS.get(key)
        if convert:
            each([node], lambda node: convert(self, node), self.draft, key)
        else:
            self.not_converted(node, key, HINTS.get(key, "do it manually: a document has no section for it"))

    def not_converted(self, node: Node, what: str, hint: str = "") -> None:
        self.draft.not_converted(node.where, what, hint)

    def users(self, node: Node) -> None:
        add_users(node, self.draft)

    def groups(self, node: Node) -> None:
        add_groups(node, self.draft)

    def runcmd(self, node: Node) -> None:
        add_runcmd(node, self.draft)

    def bootcmd(self, node: Node) -> None:
        add_bootcmd(node, self.draft)

    def network(self, node: Node) -> None:
        network_config.add(node, self.draft)

    def write_files(self, node: Node) -> None:
        each(listed(node), self.file, self.draft, "write_files")

    def file(self, node: Node) -> None:
        keys = set_items(node)
        if "path" not in keys:
            raise UnusableValue(node, "a file has no path", "add `path`")
        path = text(keys["path"])
        if "append" in keys and flag(keys["append"]):
            raise UnusableValue(node, f"cloud-init appends to {path}", "write the whole file")
        if "source" in keys:
            raise UnusableValue(node, f"cloud-init downloads {path}", "write its content")
        if "defer" in keys and flag(keys["defer"]):
            hint = "remove it: accounts are there before files are placed; packages must be"
            self.not_converted(keys["defer"], f"write_files: defer of {path}", hint)
        for key in sorted(keys.keys() - FILE_KEYS):
            self.not_converted(keys[key], f"write_files: the key {key} of {path}", "remove it")
        encoding = text(keys["encoding"]) if "encoding" in keys else ""
        entry: dict[str, Plain] = {"content": _content(keys.get("content"), encoding.lower().strip(), path)}
        if "permissions" in keys:
            entry["mode"] = self.mode(keys["permissions"])
        owner, colon, group = (text(keys["owner"]) if "owner" in keys else "").partition(":")
        entry |= {"owner": owner} if owner else {}
        entry |= {"group": group} if colon and group else {}
        self.draft.add("files", path, entry, node.where, last_wins=True)

    def mode(self, node: Node) -> str:
        """Return a mode in octal. As in cloud-init, one without quotes is a number: 420 is 0644."""
        value = python_value(node)
        try:
            mode = int(value) if isinstance(value, (int, float)) else int(text(node), 8)
        except (ValueError, OverflowError):
            raise UnusableValue(node, f"{text(node)!r} is not an octal mode", 'write it like "0644"') from None
        if isinstance(node.value, Number) and not isinstance(value, str):
            what = f"write_files: for cloud-init, {node.value} without quotes is the mode {mode:04o}"
            self.not_converted(node, what, f'write `mode: "{node.value:0>4}"` if that is meant')
        return f"{mode:04o}"

    def ntp(self, node: Node) -> None:
        keys = set_items(node)
        if "enabled" in keys and not flag(keys["enabled"]):
            hint = "write `services: {timesyncd: {state: masked}}`"
            raise UnusableValue(node, "the time service is not enabled", hint)
        servers: list[Plain] = []
        for key, child in keys.items():
            if key in {"servers", "pools"}:
                servers += texts(child)
            elif key != "enabled":
                self.not_converted(child, f"ntp: {key}", "configure the time service with `files`")
        if servers:
            self.host["time-servers"] = (servers, node.where)
        else:
            hint = "name the servers: `host: {time-servers: [SERVER]}`"
            self.not_converted(node, "ntp: without servers, cloud-init takes those of the distribution", hint)

    def mounts(self, node: Node) -> None:
        each(listed(node), self.mount, self.draft, "mounts")

    def mount(self, node: Node) -> None:
        fields = ["none" if field.value is None else text(field) for field in listed(node)]
        defaults = ("", "", "auto", "defaults,nofail", "0", "2")
        if len(fields) < 2:
            raise UnusableValue(node, "a mount has fewer than two fields", "write device and mount point")
        fields[0] = self.device(node, fields[0], fields[2] if len(fields) > 2 else "auto")
        line = [*fields, *defaults[len(fields) :]]
        fstab.add_line(line[:5] if len(fields) < 6 else line, node.where, self.draft)

    def device(self, node: Node, name: str, kind: str) -> str:
        """Return the device that cloud-init mounts for ``name``: an alias, a short name, or what mount(8) takes."""
        disk, dot, partition = name.rpartition(".") if re.fullmatch(r"[^/:=]+\.[0-9]+", name) else (name, "", "")
        aliases = self.keys.get("device_aliases")
        if aliases and isinstance(aliases.value, Mapping) and disk in aliases.value:
            self.used_aliases.add(disk)
            path = text(aliases.value[disk])
            separator = "p" if dot and path[-1:].isdigit() else ""
            return f"{path if path.startswith('/') else f'/dev/{path}'}{separator}{partition}"
        if re.fullmatch(r"(x?[shv]d[a-z]|sr[0-9]|nvme[0-9]+n[0-9]+)(p?[0-9]+)?", disk):
            return f"/dev/{disk}{'p' if dot and disk.startswith('nvme') else ''}{partition}"
        if name.startswith("/") or ":" in name or "=" in name or kind in NO_DEVICE or name in NO_DEVICE:
            return name
        if re.match(r"ephemeral|ebs|ami$|root$|swap$", disk):
            raise UnusableValue(node, f"{name} is a name that only the cloud knows", "name the device")
        raise UnusableValue(node, f"{name} is not a device", "write its path, such as /dev/vdb")

    def device_aliases(self, node: Node) -> None:
        """Name the aliases that no mount has used."""
        for alias, child in items(node).items():
            if alias not in self.used_aliases:
                self.not_converted(
                    child, f"device_aliases: {alias}, because no mount uses it", "write the device itself"
                )

    def swap(self, node: Node) -> None:
        keys = set_items(node)
        if "size" not in keys:
            raise UnusableValue(node, "without a size, cloud-init makes no swap file", "add `size`")
        name = text(keys["filename"]) if "filename" in keys else "/swap.img"
        self.draft.add("swaps", name, {}, node.where)
        for key, child in keys.items():
            if key != "filename":
                self.not_converted(
                    child,
                    f"swap: {key}, because no service creates the file",
                    f"create it once: `fallocate --length SIZE {name}`, `chmod 600 {name}`, `mkswap {name}`",
                )

    def preserve_hostname(self, node: Node) -> None:
        """Check the value, which `check_hostname` uses."""
        flag(node)

    def check_hostname(self, node: Node) -> None:
        """Raise `UnusableValue` if cloud-init does not set the host name."""
        preserve = self.keys.get("preserve_hostname")
        if preserve and flag(preserve):
            what = "with preserve_hostname, cloud-init leaves the host name alone"
            raise UnusableValue(node, what, "write `host: {hostname: …}` to set it")

    def name(self, node: Node) -> None:
        self.check_hostname(node)
        self.host["hostname"] = (text(node), node.where)

    def fqdn(self, node: Node) -> None:
        self.check_hostname(node)
        if "hostname" not in self.keys:
            self.host["hostname"] = (text(node).partition(".")[0], node.where)
        self.not_converted(node, f"fqdn: {text(node)}", "set the domain in DNS, or in /etc/hosts with `files`")

    def timezone(self, node: Node) -> None:
        self.host["timezone"] = (text(node), node.where)

    def locale(self, node: Node) -> None:
        if not isinstance(node.value, bool):
            self.host["locale"] = (text(node), node.where)
        elif node.value:
            raise UnusableValue(node, "the value is not a locale", "write one such as C.UTF-8")

    def keyboard(self, node: Node) -> None:
        for key, child in items(node).items():
            if key == "layout":
                self.host["keymap"] = (text(child), child.where)
            else:
                self.not_converted(child, f"keyboard: {key}", "choose one of the keymaps of `localectl list-keymaps`")


def _content(node: Node | None, encoding: str, path: str) -> str:
    """Return the content of a file, decoded. Raises `UnusableValue` if it is not a text."""
    if node is None:
        return ""
    written = text(node)
    if encoding not in ENCODINGS:
        raise UnusableValue(node, f"{path} has the encoding {encoding}", "write it as text, or in base64")
    if encoding in {"", "text/plain"}:
        return written
    try:
        data = written.encode() if "64" not in encoding else base64.b64decode("".join(written.split()), validate=True)
        if encoding.startswith("gz"):
            data = zlib.decompressobj(wbits=31).decompress(data, MAX_BYTES)
        return data.decode()
    except (ValueError, zlib.error):  # ValueError: also binascii.Error and UnicodeDecodeError
        what = f"{path} is not a text in the encoding {encoding}"
        raise UnusableValue(node, what, "copy binary files in another way") from None


_KEYS: Mapping[str, Callable[[_Config, Node], None]] = {
    "users": _Config.users,
    "groups": _Config.groups,
    "write_files": _Config.write_files,
    "runcmd": _Config.runcmd,
    "bootcmd": _Config.bootcmd,
    "ntp": _Config.ntp,
    "network": _Config.network,
    "mounts": _Config.mounts,
    "device_aliases": _Config.device_aliases,
    "swap": _Config.swap,
    "hostname": _Config.name,
    "fqdn": _Config.fqdn,
    "preserve_hostname": _Config.preserve_hostname,
    "timezone": _Config.timezone,
    "locale": _Config.locale,
    "keyboard": _Config.keyboard,
}
