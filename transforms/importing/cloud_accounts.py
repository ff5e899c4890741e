"""The modules `users` and `groups` of cloud-config as the sections of the same names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from ordain.transforms.document.text.node import Node
from ordain.transforms.importing.draft.document_draft import DocumentDraft, Plain
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
from ordain.transforms.render.accounts import FIXED_FOR_ROOT

_PASSWORD = "set passwords manually, or log in with keys"
_HINTS = {
    "passwd": _PASSWORD,
    "hashed_passwd": _PASSWORD,
    "plain_text_passwd": _PASSWORD,
    "lock_passwd": "set a password manually",
    "gecos": "set it with `chfn`",
    "ssh_import_id": "write the keys under `keys`",
    "ssh_redirect_user": "write the keys with `command=` in front under `keys`",
    "selinux_user": "set it with `semanage login`",
    "expiredate": "set it with `chage --expiredate`",
    "inactive": "set it with `chage --inactive`",
    "no_create_home": "remove the directory manually",
    "no_user_group": "write `group`",
}
_NEGATED = frozenset({"no_create_home", "no_user_group", "no_log_init"})
"""Flags that have no effect when they are false."""


def add_users(node: Node, draft: DocumentDraft) -> None:
    """Add users: a list of names and maps, a map by name, or a text with commas. Raises `UnusableValue`."""
    if isinstance(node.value, Mapping):
        for name, child in node.value.items():
            each([child], partial(_add_user, name, draft=draft), draft, "users")
        return
    each(listed(node), lambda item: _add_item(item, draft), draft, "users")


def _add_item(item: Node, draft: DocumentDraft) -> None:
    if not isinstance(item.value, Mapping):
        for name in text(item).split(","):
            if name.strip() == "default":
                raise UnusableValue(item, "images have different default users", "name the user")
            draft.add("users", name.strip(), {}, item.where)
        return
    keys = set_items(item)
    if "name" not in keys:
        raise UnusableValue(item, "a user has no name", "add `name`")
    _add_user(text(keys["name"]), item, draft)


def _add_user(name: str, node: Node, draft: DocumentDraft) -> None:
    entry: dict[str, Plain] = {}

    def add_key(key: str, child: Node) -> None:
        plain_key = key.replace("-", "_")  # cloud-init takes both
        our_key, convert = _KEYS.get(plain_key, ("", text))
        if our_key and name == "root" and our_key in FIXED_FOR_ROOT:
            raise UnusableValue(child, f"{our_key} of root cannot be set", f"remove it: {FIXED_FOR_ROOT[our_key]}")
        if our_key:
            entry[our_key] = convert(child)
        elif plain_key == "sudo":
            _add_sudo_rules(name, child, draft)
        elif (plain_key == "lock_passwd" and flag(child)) or (plain_key in _NEGATED and not flag(child)):
            pass  # an account of a document has no password either
        elif plain_key == "name":
            if text(child) != name:
                hint = f"remove it; cloud-init takes the key {name} of the map"
                raise UnusableValue(child, f"the name {text(child)} of the user {name}", hint)
        else:
            raise UnusableValue(child, f"{key} of {name}", _HINTS.get(plain_key, "do it manually"))

    for key, child in set_items(node).items():
        each([child], partial(add_key, key), draft, "users")
    draft.add("users", name, entry, node.where)


def _add_sudo_rules(name: str, node: Node, draft: DocumentDraft) -> None:
    """Add the rules of a user for sudo, unless the value is false."""
    if isinstance(node.value, bool) and not node.value:
        return
    if isinstance(node.value, bool):
        raise UnusableValue(node, f"sudo of {name} is not a rule", "write a rule such as ALL=(ALL) ALL")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
        raise UnusableValue(node, f"sudo of {name}, whose name cannot be in the name of a file", "write it in `files`")
    content = "".join(f"{name} {rule}\n" for rule in texts(node))
    entry: dict[str, Plain] = {"content": content, "mode": "0440"}
    draft.add("files", f"/etc/sudoers.d/90-{name}", entry, node.where)


def add_groups(node: Node, draft: DocumentDraft) -> None:
    """Add groups, and their members to `users`, which must be there already. Raises `UnusableValue`."""
    nodes = [node] if isinstance(node.value, Mapping) else listed(node)
    each(nodes, lambda item: _add_groups_of(item, draft), draft, "groups")


def _add_groups_of(item: Node, draft: DocumentDraft) -> None:
    if not isinstance(item.value, Mapping):
        for name in _comma_separated(item):
            draft.add("groups", name, {}, item.where)
        return
    for group, members in item.value.items():
        draft.add("groups", group, {}, item.where)
        each([members], partial(_add_members, group, draft=draft), draft, "groups")


def _add_members(group: str, members: Node, draft: DocumentDraft) -> None:
    for user in _comma_separated(members):
        if user == "root":
            hint = f"remove it: {FIXED_FOR_ROOT['groups']}"
            draft.not_converted(members.where, f"groups: root as a member of {group}", hint)
            continue
        if user not in draft.entries("users"):  # cloud-init makes no account either (distros, create_group)
            what = f"groups: {user} as a member of {group}, because `users` does not make it"
            hint = f"if a package makes the account, write `users: {{{user}: {{system: true, groups: [{group}]}}}}`"
            draft.not_converted(members.where, what, hint)
            continue
        entry = draft.entries("users")[user]
        if isinstance(entry, dict):
            groups = entry.setdefault("groups", [])
            if isinstance(groups, list) and group not in groups:
                groups.append(group)


def _comma_separated(node: Node) -> Iterator[str]:
    if isinstance(node.value, Mapping) and any(child.value is not None for child in node.value.values()):
        raise UnusableValue(node, "a map of groups has values", "write a list of names")
    names = list(node.value) if isinstance(node.value, Mapping) else texts(node)
    return (name.strip() for item in names for name in item.split(",") if name.strip())


def _group_names(node: Node) -> Plain:
    return [*_comma_separated(node)]


def _lines(node: Node) -> Plain:
    return [line.strip() for line in texts(node)]


_KEYS: Mapping[str, tuple[str, Callable[[Node], Plain]]] = {
    "uid": ("uid", whole),
    "homedir": ("home", text),
    "shell": ("shell", text),
    "primary_group": ("group", text),
    "groups": ("groups", _group_names),
    "ssh_authorized_keys": ("keys", _lines),
    "system": ("system", flag),
}
"""Our key for each key of a user, and the function that converts the value."""
