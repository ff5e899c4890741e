"""Which place of the documents a line of ours was made from, as the comment above it says; pure.

The comments are `transforms.render.provenance.cause`'s: one stands for all lines below it, up to the next or the next
section.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ordain.agent.model import Cause

_CAUSE = re.compile(r"# (?P<path>.*?):(?P<line>[0-9]+)(?::[0-9]+)?(?: (?P<layer>[^ /]+))? (?P<pointer>[^ ]*/.*)")


def read_cause(comment: str) -> Cause | None:
    """The cause that a comment names, None if it names none.

    >>> read_cause("# web.yaml:12 web services/web/user")
    Cause(path='web.yaml', line=12, layer='web', pointer='services/web/user')
    """
    if (said := _CAUSE.fullmatch(comment)) is None:
        return None
    return Cause(path=said["path"], line=int(said["line"]), layer=said["layer"] or "", pointer=said["pointer"])


def causes_of(files: Iterable[tuple[str, str]], section: str, key: str) -> tuple[str, tuple[Cause, ...]]:
    """The last of ``files`` (path, text) that sets the key, and the causes of all lines that do."""
    where = ""
    found: dict[Cause, None] = {}
    for path, text in files:
        for cause in _causes(text, section, key):
            where = path
            if cause:
                found[cause] = None
    return where, tuple(found)


def item_cause(files: Iterable[tuple[str, str]], item: str, provenance: Mapping[str, Any]) -> tuple[Cause, ...]:
    """Why there is a unit at all: the place of its item, as near as the documents' own lines tell."""
    at = next((p for p in (f"{item}/state", item) if item and p in provenance), "")
    if at and (place := provenance[at]):
        return (Cause(path=place["path"], line=place["line"] or 0, layer=place["layer"], pointer=at),)
    for _, text in files:
        for line in text.split("\n"):
            if line.startswith("#") and (cause := read_cause(line)):
                return (Cause(path=cause.path, line=cause.line, layer=cause.layer, pointer=item or cause.pointer),)
    return ()


def _causes(text: str, section: str, key: str) -> Iterator[Cause | None]:
    here, cause = "", None
    for line in text.split("\n"):
        if line.startswith("#"):
            cause = read_cause(line)
        elif line.startswith("["):
            here, cause = line.strip("[]"), None
        elif here == section and line.startswith(f"{key}="):
            yield cause
