"""The sections ``users`` and ``groups`` as lines for systemd-sysusers(8), home directories and SSH keys.

systemd-sysusers creates missing accounts and adds users to groups, but it changes no account that exists. Those changes
are in a second file per user, for `generator.accounts`. Nothing ever removes an account.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from ordain.transforms.artifacts import Artifact, OnFileRemove, PlacedDirectory, PlacedFile, RegularFile
from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Problem, warning
from ordain.transforms.forbidden_paths import is_link_everywhere, through_link, why_forbidden
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Leaf
from ordain.transforms.render.authorized_key import fault_of_key
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.text_file import TextFile

SYSTEM, ORDINARY = "/run/ordain/sysusers/system-{}.conf", "/run/ordain/sysusers/user-{}.conf"
ACCOUNT = "/run/ordain/sysusers/{}.account"
FIXED_FOR_ROOT = {
    "state": "`PermitRootLogin no` of sshd prevents logins over the network",
    "shell": "a rescue shell needs it",
    "home": "it is always /root",
    "uid": "it is always 0",
    "gid": "it is always 0",
    "group": "it is always root",
    "groups": "root has all permissions without them",
    "system": "root is always a system user",
}
"""Keys that documents cannot set for root, and the reason."""
NOBODY = frozenset({"nobody", "nogroup"})
"""The user without any rights and its group: the kernel and NFS use their numbers for whoever has none here."""
NOBODY_HINT = "use another account; `dynamic-user: true` gives a service a user of its own"
RANGE = "r - 1000-59999"
"""The line for the numbers of ordinary users; without it systemd-sysusers takes numbers of system users."""
_NAME = lazy_pattern(r"[a-z_][a-z0-9_-]{0,30}\$?")
_NAME_OF_PACKAGE = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
"""The names that systemd-sysusers takes: packages have some with capitals, such as Debian-snmp."""
_PATH = lazy_pattern(r"/[A-Za-z0-9_.@+/-]*")


def render_group(name: str, branch: Branch, pointer: str, names: Names) -> RenderedItem:
    """Return the item of one group."""
    system = branch.value("system", names.is_service_account(name)) is True
    name = names.user(name)
    gid = branch.leaf("gid")
    ordinary = not system and gid is None
    file = TextFile(path=(ORDINARY if ordinary else SYSTEM).format(f"0-{name}"), item=pointer)
    _check_name(file, name, branch.here, names)
    if name in NOBODY:
        file.block(branch.here, f"{name} is the group of whoever has no rights, and fixed", NOBODY_HINT, "Vital")
    if gid is not None and name == "root":
        file.block(gid, "gid of root cannot be set", f"remove it: {FIXED_FOR_ROOT['gid']}", "Vital")
    elif gid is not None and gid.value == 0:
        file.block(gid, "only root may have the number 0", "choose another number", "Vital")
    if ordinary:
        file.add(RANGE, branch.here)
    file.add(f"g {name} {gid.value if gid else '-'}", gid or branch.here)
    return _item(file, (file.artifact(),))


def render_user(name: str, branch: Branch, pointer: str, names: Names) -> RenderedItem:
    """Return the item of one user."""
    system = branch.value("system", names.is_service_account(name)) is True
    return _UserRenderer(names.user(name), branch, pointer, names, system=system).item()


class _UserRenderer:
    def __init__(self, name: str, branch: Branch, pointer: str, names: Names, *, system: bool) -> None:
        self.name, self.branch, self.names = name, branch, names
        self.place = branch.here
        self.system = system
        self.file = TextFile(path=(SYSTEM if self.system else ORDINARY).format(f"1-{name}"), item=pointer)
        default_home = "/root" if name == "root" else "" if self.system else f"/home/{name}"
        self.home = str(branch.value("home", default_home)).rstrip("/")

    def item(self) -> RenderedItem:
        _check_name(self.file, self.name, self.place, self.names)
        if self.name in NOBODY:
            what = f"{self.name} is the user without any rights, and fixed (65534)"
            self.file.block(self.place, what, NOBODY_HINT, "Vital")
        if self.name == "root":
            self.block_keys_of_root()
            return _item(self.file, tuple(self.login_files()))
        if self.branch.value("state") == "absent":
            return replace(_item(self.file, (self.account_file(absent=True),)), problems=tuple(self.unused_keys()))
        self.add_lines()
        others = (self.account_file(absent=False), *self.login_files())
        return _item(self.file, (self.file.artifact(), *others))

    def unused_keys(self) -> Iterator[Problem]:
        """Yield a warning for each key beside ``state: absent`` in one layer, which has no effect.

        In two layers it is an override: the one has the user, the other one locks it on some machines.
        """
        state = self.branch.leaf("state")
        for key in self.branch:
            own = self.branch.leaf(key) or next(
                (leaf for _, leaf in self.branch.branch(key).leaves()), self.branch.branch(key).here
            )
            if state and key != "state" and own.layer == state.layer:
                what = f"{key} has no effect: {self.name} is absent, which locks the account"
                yield warning(self.file.item, own.where, what, f"remove {key}, or `state: absent`", "Doubtful")

    def block_keys_of_root(self) -> None:
        """Block all keys but the SSH keys: an error in them could lock root out, who alone can repair the machine."""
        for key in sorted(FIXED_FOR_ROOT.keys() & set(self.branch)):
            leaf = self.branch.leaf(key) or self.branch.branch(key).here
            self.file.block(leaf, f"{key} of root cannot be set", f"remove it: {FIXED_FOR_ROOT[key]}", "Vital")

    def account_file(self, *, absent: bool) -> RegularFile:
        """Return the changes of an existing account, which `generator.accounts` makes."""
        values: dict[str, object] = {"name": self.name}
        if absent:
            values["absent"] = True
        else:
            values |= {key: leaf.value for key in ("uid", "gid") if (leaf := self.branch.leaf(key))}
            values |= {key: str(leaf.value) for key in ("home", "shell") if (leaf := self.branch.leaf(key))}
            values["groups"] = [self.names.user(group) for group, _ in self.branch.branch("groups").leaves()]
        content = json.dumps(values, sort_keys=True)
        return RegularFile(path=ACCOUNT.format(self.name), content=f"{content}\n", item=self.file.item)

    def add_lines(self) -> None:
        """Add the lines for systemd-sysusers."""
        shell = self.branch.leaf("shell")
        # An account is as the package of its service would make it, whichever of the two comes first.
        row = self.names.account(self.name)
        usual = str(row.value("shell", "-")) if self.system else self.names.path("bash", "/bin/sh")
        program, home = (
            str(shell.value) if shell else usual,
            self.home or str(row.value("home", "") if self.system else ""),
        )
        for path, leaf in ((home, self.branch.leaf("home")), (program, shell)):
            if path not in ("", "-") and not _PATH.fullmatch(path):
                what = f"/etc/passwd cannot hold the path {path!r}"
                self.file.block(leaf or self.place, what, "use letters, digits and /_.@+-")
        if not self.system:
            self.file.add(RANGE, self.place)
        self.check_home()
        if self.branch.value("uid") == 0:
            what = "only root may have the number 0"
            self.file.block(self.branch.leaf("uid") or self.place, what, "choose another number", "Vital")
        uid, gid = self.branch.leaf("uid"), self.branch.leaf("gid")
        group = self.branch.leaf("group") or (None if gid else row.leaf("group"))
        number = str(uid.value) if uid else "-"
        if group is not None:
            main = self.names.user(str(group.value))
            _check_name(self.file, main, group, self.names)
            self.file.add(f"g {main} {gid.value if gid else '-'}", group)
            number += f":{main}"
        elif gid is not None:
            self.file.add(f"g {self.name} {gid.value}", gid)
            number += f":{self.name}"
        self.file.add(f'u {self.name} {number} "" {home.rstrip("/") or "-"} {program}', uid or self.place)
        groups = dict((*row.branch("groups").leaves(), *self.branch.branch("groups").leaves()))
        for neutral_name, leaf in sorted(groups.items()):
            further = self.names.user(neutral_name)
            _check_name(self.file, further, leaf, self.names)
            self.file.add(f"m {self.name} {further}", leaf)

    def check_home(self) -> None:
        """Block a directory of the system as a home: it would belong to the user, and nobody else could read it.

        Nothing is placed in the home of a system user but SSH keys, and these nowhere without a home.
        """
        home, keys = self.branch.leaf("home") or self.place, self.branch.branch("keys")
        if self.system and not keys:
            return
        if not self.home:
            what = f"the SSH keys of the system user {self.name} would be placed nowhere: no document sets its home"
            hint = (
                f"write its `home`, such as /var/lib/{self.name}; `getent passwd {self.name}` shows that of an account"
            )
            self.file.block(keys.here, what, hint)
            return
        why, _ = why_forbidden(self.home)
        link, hint = through_link(self.home)
        if why:
            use = "have the SSH keys" if self.system else "be the home"
            what = f"{self.home} cannot {use} of a user: {why}"
            instead = f"/var/lib/{self.name}" if self.system else f"/home/{self.name}, or `system: true`"
            self.file.block(home, what, f"write a directory of its own, such as {instead}", "Vital")
        elif link and is_link_everywhere(self.home):
            self.file.block(home, f"nothing is placed in {self.home}, because {link}", hint)

    def login_files(self) -> Iterator[PlacedFile]:
        """Yield the home directory of an ordinary user, and the file of SSH keys with its directory."""
        if not self.home:
            return
        group = self.branch.value("group")
        root = self.name == "root"
        owner = "" if root else self.name
        main = "" if root else self.names.user(str(group)) if group else self.name
        private = PlacedDirectory(path="", mode=0o700, item=self.file.item, owner=owner, group=main, home=self.home)
        if not (root or self.system):
            yield replace(private, path=self.home, on_remove=OnFileRemove.KEEP)
        keys = TextFile(path=f"{self.home}/.ssh/authorized_keys", item=self.file.item)
        for key, leaf in self.branch.branch("keys").leaves():
            if fault := fault_of_key(key):
                self.file.block(leaf, fault, "copy the whole line of a .pub file: ssh-ed25519 AAAA… name")
            keys.add(key, leaf)
        if keys.lines:
            self.file.problems += keys.problems
            yield replace(private, path=f"{self.home}/.ssh")
            yield replace(keys.artifact(0o600, owner, main), home=self.home)


def _check_name(file: TextFile, name: str, leaf: Leaf, names: Names) -> None:
    if not (_NAME_OF_PACKAGE if names.is_service_account(name) else _NAME).fullmatch(name):
        file.block(leaf, f"{name!r} is not a valid account name", "use lower case letters, digits, - and _")


def _item(file: TextFile, artifacts: tuple[Artifact, ...]) -> RenderedItem:
    if file.problems:
        return RenderedItem(pointer=file.item, problems=tuple(file.problems))
    return RenderedItem(pointer=file.item, artifacts=artifacts)
