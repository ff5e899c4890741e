"""``users`` and ``groups`` → lines for systemd-sysusers(8), homes and SSH keys; pure.

systemd-sysusers makes what is not there, and adds to groups; what the documents say of an account that is there is
in a file beside, for generator.accounts. No account is ever removed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from ordain.transforms.artifacts import Artifact, OnFileRemove, PlacedDirectory, PlacedFile, RegularFile
from ordain.transforms.catalog.names import Names
from ordain.transforms.model import Branch, Leaf
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.text_file import TextFile

SYSTEM, ORDINARY = "/run/ordain/sysusers/system-{}.conf", "/run/ordain/sysusers/user-{}.conf"
ACCOUNT = "/run/ordain/sysusers/{}.account"
ROOTS = {
    "state": "`PermitRootLogin no` of sshd keeps it from logging in over the network",
    "shell": "a rescue shell is root's",
    "home": "it is /root",
    "uid": "it is 0",
    "gid": "it is 0",
    "group": "it is root",
    "groups": "root may do all without them",
    "system": "it is one",
}
"""What of root no document says, and why."""
RANGE = "r - 1000-59999"
"""Where the numbers of ordinary users come from; without it systemd-sysusers takes a system user's."""
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}\$?")
_PATH = re.compile(r"/[A-Za-z0-9_.@+/-]*")
_KEY = re.compile(r"[^\s#].*\S")


def render_group(name: str, branch: Branch, pointer: str, names: Names) -> RenderedItem:
    """The item of one group."""
    name = names.user(name)
    file = TextFile(path=SYSTEM.format(f"0-{name}"), item=pointer)
    here = branch.here
    _check_name(file, name, here)
    gid = branch.leaf("gid")
    if branch.value("system") is not True and gid is None:
        file = TextFile(path=ORDINARY.format(f"0-{name}"), item=pointer, problems=file.problems)
        file.add(RANGE, here)
    file.add(f"g {name} {gid.value if gid else '-'}", gid or here)
    return _item(file)


def render_user(name: str, branch: Branch, pointer: str, names: Names) -> RenderedItem:
    """The item of one user."""
    return _User(names.user(name), branch, pointer, names).item()


class _User:
    def __init__(self, name: str, branch: Branch, pointer: str, names: Names) -> None:
        self.name, self.branch, self.names = name, branch, names
        self.here = branch.here
        self.system = branch.value("system") is True
        self.file = TextFile(path=(SYSTEM if self.system else ORDINARY).format(f"1-{name}"), item=pointer)
        usual = "/root" if name == "root" else "" if self.system else f"/home/{name}"
        self.home = str(branch.value("home", usual)).rstrip("/")

    def item(self) -> RenderedItem:
        _check_name(self.file, self.name, self.here)
        if self.name == "root":
            self.root()
            return _item(self.file, tuple(self.keys()), empty=True)
        absent = self.branch.value("state") == "absent"
        if not absent:
            self.account()
        artifacts = (self.said(absent=absent), *(() if absent else self.keys()))
        return _item(self.file, artifacts, empty=absent)

    def root(self) -> None:
        """Of root the keys that may log in, and no more: who locks it out mends nothing."""
        for key in ROOTS.keys() & set(self.branch):
            leaf = self.branch.leaf(key) or self.branch.branch(key).here
            self.file.block(leaf, f"{key} of root stays as it is", ROOTS[key], "Vital")

    def said(self, *, absent: bool) -> RegularFile:
        """What systemd-sysusers does not do to an account that is there; read by generator.accounts."""
        values: dict[str, object] = {"name": self.name}
        if absent:
            values["absent"] = True
        else:
            values |= {key: leaf.value for key in ("uid", "gid") if (leaf := self.branch.leaf(key))}
            values |= {key: str(leaf.value) for key in ("home", "shell") if (leaf := self.branch.leaf(key))}
            values["groups"] = [self.names.user(group) for group, _ in self.branch.branch("groups").leaves()]
        content = json.dumps(values, sort_keys=True)
        return RegularFile(path=ACCOUNT.format(self.name), content=f"{content}\n", item=self.file.item)

    def account(self) -> None:
        shell = self.branch.leaf("shell")
        program = str(shell.value) if shell else "-" if self.system else self.names.path("bash", "/bin/sh")
        for path, leaf in ((self.home, self.branch.leaf("home")), (program, shell)):
            if path not in ("", "-") and not _PATH.fullmatch(path):
                self.file.block(leaf or self.here, f"{path!r} cannot stand in /etc/passwd", "letters, digits, /_.@+-")
        if not self.system:
            self.file.add(RANGE, self.here)
        if self.branch.value("uid") == 0:
            self.file.block(self.branch.leaf("uid") or self.here, "0 is root's number", "any other", "Vital")
        uid, gid, group = (self.branch.leaf(key) for key in ("uid", "gid", "group"))
        number = str(uid.value) if uid else "-"
        if group is not None:
            main = self.names.user(str(group.value))
            _check_name(self.file, main, group)
            self.file.add(f"g {main} {gid.value if gid else '-'}", group)
            number += f":{main}"
        elif gid is not None:
            self.file.add(f"g {self.name} {gid.value}", gid)
            number += f":{self.name}"
        self.file.add(f'u {self.name} {number} "" {self.home or "-"} {program}', uid or self.here)
        for further, leaf in self.branch.branch("groups").leaves():
            known = self.names.user(further)
            _check_name(self.file, known, leaf)
            self.file.add(f"m {self.name} {known}", leaf)

    def keys(self) -> Iterator[PlacedFile]:
        """The home directory of an ordinary user, and the keys that may log in."""
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
            if not _KEY.fullmatch(key):
                self.file.block(leaf, "it is no public key", "a line such as ssh-ed25519 AAAA… name")
            keys.add(key, leaf)
        if keys.lines:
            self.file.problems += keys.problems
            yield replace(private, path=f"{self.home}/.ssh")
            yield replace(keys.artifact(0o600, owner, main), home=self.home)


def _check_name(file: TextFile, name: str, leaf: Leaf) -> None:
    if not _NAME.fullmatch(name):
        file.block(leaf, f"{name!r} is no name of an account", "lower case letters, digits, - and _")


def _item(file: TextFile, artifacts: tuple[Artifact, ...] = (), *, empty: bool = False) -> RenderedItem:
    if file.problems:
        return RenderedItem(pointer=file.item, problems=tuple(file.problems))
    return RenderedItem(pointer=file.item, artifacts=artifacts if empty else (file.artifact(), *artifacts))
