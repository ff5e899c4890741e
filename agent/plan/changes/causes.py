"""The places in the documents that the directives and units of a generation come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ordain.transforms.render.cause_comments import Cause, lines_with_causes, read_cause


def directive_causes(files: Iterable[tuple[str, str]], section: str, key: str) -> tuple[str, tuple[Cause, ...]]:
    """Return the path of the last of ``files`` (path, content) that sets the key, and the places that ask for it."""
    last = ""
    causes: dict[Cause, None] = {}
    for path, content in files:
        for _, cause in values_with_causes(content, section, key):
            last = path
            if cause:
                causes[cause] = None
    return last, tuple(causes)


def unit_causes(files: Iterable[tuple[str, str]], item: str, provenance: Mapping[str, Any]) -> tuple[Cause, ...]:
    """Return the place in the documents that a unit of ``item`` exists for.

    It is that of the item or its ``state``. A generation that was read from a boot cache has no provenance; then it
    is the first place that a comment in the unit names.
    """
    pointer = next((p for p in (f"{item}/state", item) if item and p in provenance), "")
    if pointer and (place := provenance[pointer]):
        return (Cause(path=place["path"], line=place["line"] or 0, layer=place["layer"], pointer=pointer),)
    for _, content in files:
        for line in content.split("\n"):
            if line.startswith("#") and (cause := read_cause(line)):
                return (replace(cause, pointer=item or cause.pointer),)
    return ()


def values_with_causes(content: str, section: str, key: str) -> Iterator[tuple[str, Cause | None]]:
    """Yield each value of a key of a unit file, with the place that asks for it; None for a default."""
    for _, current, line, cause in _directives(content):
        if current == section and line.startswith(f"{key}="):
            yield line.partition("=")[2].strip(), cause


def line_cause(content: str, number: int) -> Cause | None:
    """Return the place that asks for a line of a unit file, or None if the line is a default or missing."""
    return next((cause for at, _, _, cause in _directives(content) if at == number), None)


def _directives(content: str) -> Iterator[tuple[int, str, str, Cause | None]]:
    """Yield each line that is not a comment: its number, its section, its text, and the place that asks for it."""
    section = ""
    for number, (line, cause) in enumerate(lines_with_causes(content), start=1):
        if line.startswith("["):
            section = line.strip("[]")
        elif not line.startswith("#"):
            yield number, section, line, cause
