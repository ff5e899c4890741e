"""The words of settings that are lists of names which systemd knows: address families, system calls, architectures.

PID 1 ignores a word that it does not know and keeps the others, and every version of systemd knows some more. So an
unknown word is doubtful and not wrong. The words are in data/directive-words.json, which names its sources.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ordain.transforms.errors import did_you_mean
from ordain.transforms.systemd.checks.doubtful_values import Doubt

_DATA = Path(__file__).parents[2] / "data/directive-words.json"
_ALIKE = {"SystemCallLog": "SystemCallFilter"}
"""Settings with the words of another one."""
_NAMES = {
    "RestrictAddressFamilies": "an address family",
    "RestrictFileSystems": "a group of file systems",
    "SystemCallArchitectures": "an architecture",
    "SystemCallFilter": "a system call or a group of them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    words: Mapping[str, frozenset[str]]
    later: Mapping[str, int]


@cache
def _table() -> _Table:
    data = json.loads(_DATA.read_bytes())
    words = {setting: frozenset(text.split()) for setting, text in data["words"].items()}
    return _Table(words=words, later=data["later"])


def of_words(key: str, value: str, systemd: int) -> Iterator[Doubt]:
    """Yield the doubts about words of a setting that systemd of the major version ``systemd`` does not know.

    >>> [doubt for doubt, _ in of_words("SystemCallFilter", "~@mount @sandbox mout", 252)]
    ['systemd 252 does not know @sandbox and ignores it', "'mout' is not a system call or a group of them: systemd \
ignores it"]
    """
    setting = _ALIKE.get(key, key)
    if setting not in _NAMES:
        return
    table = _table()
    for word in map(_name, value.removeprefix("~").split()):
        if systemd <= table.later.get(word, 0):
            hint = "remove it, or put it in a layer that matches on systemd"
            yield f"systemd {systemd} does not know {word} and ignores it", hint
        elif not _is_known(word, setting, table.words[setting]):
            yield f"{word!r} is not {_NAMES[setting]}: systemd ignores it", _hint(word, table.words[setting])


def _name(word: str) -> str:
    """Return a word without the error number behind it."""
    return word.partition(":")[0]


def _is_known(word: str, setting: str, words: frozenset[str]) -> bool:
    if setting == "RestrictFileSystems" and not word.startswith("@"):
        return True  # any type of file system may have a name
    return word in words or (setting == "RestrictAddressFamilies" and word == "none")


def _hint(word: str, words: frozenset[str]) -> str:
    alike = [name for name in words if name.startswith("@") == word.startswith("@")]
    return did_you_mean(word, alike, cutoff=0.7) or "check the spelling in systemd.exec(5)"
