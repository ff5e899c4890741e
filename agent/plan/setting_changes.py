"""The values of documents that change without a line of any unit or file: `drift`, `health`, `on-remove`, …"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from ordain.agent.model import Change, Effect, FileChange, Generation
from ordain.transforms.render.provenance import SourceLocation

MAX_CHANGES = 100
_SECRET = frozenset({"credentials"})


def setting_changes(
    old: Generation, new: Generation, changes: Iterable[Change], files: Iterable[FileChange]
) -> tuple[Change, ...]:
    """Return the changed values of documents that neither ``changes`` nor ``files`` name as a cause.

    The ``unit`` of such a change is the item. Values are shown for services only: elsewhere they may be secrets.
    """
    if old is new or old.hash == new.hash or not old.hash:
        return ()
    shown = list(changes)
    covered = {cause.pointer for change in shown for cause in change.causes}
    items = {_item(cause.pointer) for change in shown if not change.section for cause in change.causes}
    for file in files:
        items.add(file.item)
        covered.update(cause.pointer for change in file.changes for cause in change.causes)
    parents = {parent for pointer in covered for parent in _with_parents(pointer)}
    before, after = (dict(_leaves(generation.document)) for generation in (old, new))
    changed = (
        pointer
        for pointer in sorted(before.keys() | after.keys())
        if before.get(pointer) != after.get(pointer)
        and _item(pointer) not in items
        and pointer not in parents
        and covered.isdisjoint(_with_parents(pointer))
    )
    return tuple(
        _change(pointer, before.get(pointer), after.get(pointer), (new if pointer in after else old).provenance)
        for pointer in islice(changed, MAX_CHANGES)
    )


def _change(pointer: str, was: Any, is_now: Any, provenance: Mapping[str, Any]) -> Change:
    item = _item(pointer)
    public = pointer.startswith("services/") and _SECRET.isdisjoint(pointer.split("/"))
    causes: tuple[SourceLocation, ...] = ()
    if place := provenance.get(pointer):
        where = SourceLocation(path=place["path"], line=place["line"] or 0, layer=place["layer"], pointer=pointer)
        causes = (where,)
    return Change(
        unit=item,
        key=pointer[len(item) + 1 :] or pointer.rpartition("/")[2],
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


def _item(pointer: str) -> str:
    return "/".join(pointer.split("/")[:2])


def _value(value: Any, public: bool, hidden: str) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value if isinstance(value, str) else json.dumps(value),) if public else (hidden,)


def _leaves(tree: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and (tree or not pointer):
        for key, value in tree.items():
            name = str(key).replace("~", "~0").replace("/", "~1")
            yield from _leaves(value, f"{pointer}/{name}" if pointer else name)
    else:
        yield pointer, tree
