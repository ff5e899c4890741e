"""The option ``--label KEY=VALUE`` of many commands."""

from __future__ import annotations

from collections.abc import Iterable

from ordain.agent.cli.parse import Usage


def parse_label(word: str) -> tuple[str, str]:
    """Return the name and the value of ``KEY=VALUE``. Raises `Usage`."""
    name, equals, value = word.partition("=")
    if not (name and equals):
        raise Usage(f"--label must be KEY=VALUE, not {word!r}")
    return name, value


def parse_labels(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the values of each label; one that is given several times has several. Raises `Usage`."""
    labels: dict[str, tuple[str, ...]] = {}
    for name, value in map(parse_label, words):
        labels[name] = (*labels.get(name, ()), value)
    return labels
