"""The values of documents that change without a line of any unit or file: `drift`, `health`, `on-remove`, …"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from ordain.agent.model import Change, Effect, FileChange, Generation
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.render.cause_comments import Cause

MAX_CHANGES = 100
NAMES_OF_ITEM = {"sysctl": 0, "modules": 0, "host": 0, "boot": 0, "values": 0, "network": 2}
"""By section, the names of an item below it, if it is not one: `sysctl` is one item, a device has a kind and a name."""
_EACH_VALUE = frozenset({"sysctl", "modules", "host", "network"})
"""The sections whose values are shown one by one, also if a file that holds them is new: the file says less."""
_SECRET: Mapping[str, frozenset[str]] = {
    "services": frozenset({"credentials"}),
    "units": frozenset({"SetCredential", "SetCredentialEncrypted"}),
    "files": frozenset({"content", "template"}),
    "network": frozenset({"auth", "key", "keys", "password", "pin", "username"}),
}
"""By section, the keys whose values are never shown."""
_SHOWN = _SECRET.keys() | {"sysctl", "modules", "host", "boot", "groups", "users", "mounts", "swaps", "packages"}


def setting_changes(
    old: Generation, new: Generation, changes: Iterable[Change], files: Iterable[FileChange]
) -> tuple[Change, ...]:
    """Return the changed values of documents that neither ``changes`` nor ``files`` name as a cause.

    The ``unit`` of such a change is the item. A value that may be a secret is not shown.
    """
    if old is new or old.hash == new.hash or not old.hash:
        return ()
    shown = list(changes)
    covered = {cause.pointer for change in shown for cause in change.causes}
    items = {_item(cause.pointer) for change in shown if not change.section for cause in change.causes}
    for file in files:
        items |= {file.item} if file.item.partition("/")[0] not in _EACH_VALUE else set()
        covered.update(cause.pointer for change in file.changes for cause in change.causes)
    before, after = (dict(_leaves(generation.document)) for generation in (old, new))
    parents = {parent for pointer in covered for parent in _with_parents(pointer)}
    parents |= {parent for pointer in before.keys() | after.keys() for parent in _parents(pointer)}
    changed = (
        pointer
        for pointer in sorted(before.keys() | after.keys())
        if before.get(pointer) != after.get(pointer)
        and not {pointer, _item(pointer)} & items
        and pointer not in parents
        and covered.isdisjoint(_with_parents(pointer))
    )
    return tuple(
        _change(pointer, before.get(pointer), after.get(pointer), (new if pointer in after else old).provenance)
        for pointer in islice(changed, MAX_CHANGES)
    )


def _change(pointer: str, was: Any, is_now: Any, provenance: Mapping[str, Any]) -> Change:
    item = _item(pointer)
    section, *names = pointer.split("/")
    secret = _SECRET.get(section, frozenset())
    public = section in _SHOWN and secret.isdisjoint({*names, *_keys(was), *_keys(is_now)})
    causes: tuple[Cause, ...] = ()
    if place := provenance.get(pointer):
        where = Cause(path=place["path"], line=place["line"] or 0, layer=place["layer"], pointer=pointer)
        causes = (where,)
    key = unescape_key(pointer[len(item) + 1 :])
    of_unit, _, directive = key.rpartition("/") if section == "units" else ("", "", key)
    return Change(
        unit=item,
        section=of_unit,
        key=directive,
        old=_value(was, public, "an earlier value"),
        new=_value(is_now, public, "a new value"),
        effect=Effect.NOTHING,
        causes=causes,
    )


def _with_parents(pointer: str) -> Iterator[str]:
    """Yield a pointer and those of its parents."""
    while pointer:
        yield pointer
        pointer = pointer.rpartition("/")[0]


def _parents(pointer: str) -> Iterator[str]:
    yield from _with_parents(pointer.rpartition("/")[0])


def _item(pointer: str) -> str:
    """Return the item that a value belongs to; a whole entry without keys belongs to its section.

    >>> _item("services/web/health/every"), _item("network/bridges/br0/mtu"), _item("sysctl/vm.swappiness")
    ('services/web', 'network/bridges/br0', 'sysctl')
    """
    section, *names = pointer.split("/")
    return "/".join([section, *names[: min(NAMES_OF_ITEM.get(section, 1), len(names) - 1)]])


def _value(value: Any, public: bool, hidden: str) -> tuple[str, ...]:
    if value is None:
        return ()
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(map(_text, values)) if public else (hidden,)


def _text(value: Any) -> str:
    """Return a value in a few words.

    >>> _text({"to": "default", "via": "192.0.2.1"}), _text({}), _text(True), _text("a b")
    ('to default via 192.0.2.1', 'present', 'true', 'a b')
    """
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_text(of_key)}" for key, of_key in value.items()) or "present"
    return value if isinstance(value, str) else json.dumps(value)


def _keys(value: Any) -> Iterator[str]:
    """Yield all keys of the maps in a value, however deep."""
    for key, below in value.items() if isinstance(value, Mapping) else ():
        yield key
        yield from _keys(below)
    for below in value if isinstance(value, list | tuple) else ():
        yield from _keys(below)


def _leaves(tree: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with its pointer; a map without keys counts as a value, if it is an entry of a section."""
    if isinstance(tree, Mapping) and (tree or not pointer):
        for key, value in tree.items():
            name = str(key).replace("~", "~0").replace("/", "~1")
            if pointer or not isinstance(value, Mapping) or value:
                yield from _leaves(value, f"{pointer}/{name}" if pointer else name)
    else:
        yield pointer, tree
