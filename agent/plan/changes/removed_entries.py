"""The entries of the documents in force that other documents no longer have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ordain.agent.model import Generation
from ordain.transforms.document.text.node import pointer_below

WITHOUT_EFFECT = frozenset({"values"})
"""The sections whose entries are nothing on the machine by themselves."""
NESTED = frozenset({"network"})
"""The sections whose entries are one level deeper: `network/bridges/br0`."""


def removed_entries(old: Generation, new: Generation) -> tuple[str, ...]:
    """Return the pointers of the entries of ``old`` that ``new`` does not have, such as ``services/web``.

    A generation that is known from its boot cache only has no document; then its members count.
    """
    before = set(_entries(old.document)) or {member.item for member in old.members}
    after = set(_entries(new.document)) | {member.item for member in new.members}
    return tuple(sorted(entry for entry in before - after if entry))


def _entries(document: Mapping[str, Any]) -> Iterator[str]:
    for section, entries in document.items():
        if section in WITHOUT_EFFECT or not isinstance(entries, Mapping):
            continue
        for name, entry in entries.items():
            pointer = pointer_below(section, name)
            if section in NESTED and isinstance(entry, Mapping):
                yield from (pointer_below(pointer, inner) for inner in entry)
            else:
                yield pointer
