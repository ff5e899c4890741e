"""Plausible wrong values of every key: those that are taken without a word are in a golden text, for reviews.

A value in the list of a key has to be one that the reader of the value takes as its author means it. The lists that
were judged so are those of `systemd --test`, `systemd-analyze condition` and the kernel, as test_condition_values.py,
test_encode_oracle.py and docs/design/systemd.md say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.keys import language
from ordain.transforms.document.keys.service_keys import SERVICE
from ordain.transforms.document.keys.shapes import Choice, Flag, Map, Record, Shape
from ordain.transforms.document.reader import read
from support.outputs.golden import compare

pytestmark = pytest.mark.thorough

GOLDEN = Path(__file__).parents[1] / "golden/silent-values.txt"
VALUES = (
    *"-1 0 010 0x10 1.5 1,5 1e6 99999999999 50% 150% -50% 1M 1m 1Min 10Q 1GiB 64k 1:30 yes off No infinity".split(),
    *"unlimited none auto Always maybe 0755 u+rw 80/tcp *:80 localhost:80 /x/ //x ../x ~/x ./x x/ $X %i".split(),
    *"root:root TERM sigterm net_admin UTC+1 de_DE ALL".split(),
    *("'512 M'", "'5 minutes'", "'a b'", "' x'", "'#x'", "''"),
)
"""Values of other programs, wrong units, negative and huge numbers, words of YAML 1.1, paths that are not normal."""
SECTIONS: Mapping[str, tuple[Shape, str]] = {
    "services": (SERVICE, "command: /bin/x, restart: always"),
    "mounts": (language.MOUNT, "what: /dev/b"),
    "swaps": (language.SWAP, ""),
    "users": (language.USER, ""),
    "host": (language.HOST, ""),
}
WITHOUT = frozenset({"instances", "systemd", "files", "environment", "description", "documentation", "credentials"})
"""Keys with any text, those of other sections, and those in the words of systemd."""


def leaves(shape: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each key that takes one text or number."""
    if isinstance(shape, Record):
        for key, below in shape.keys.items():
            if key not in WITHOUT:
                yield from leaves(below, (*path, key))
    elif not isinstance(shape, Choice | Flag | Map):
        yield path


def entry(path: tuple[str, ...], value: str, base: str) -> str:
    """Return the entry of a section with the value at ``path``."""
    for key in reversed(path):
        value = f"{{{key}: {value}}}"
    return value if not base or f"{path[0]}:" in base else f"{{{base}, {value[1:]}"


def taken(section: str, path: tuple[str, ...], base: str) -> list[str]:
    """Return the values that no problem is about; all of those in a good form are compiled at once."""
    if section == "host":
        return [value for value in VALUES if not problems_of(f"host: {entry(path, value, base)}")]
    names = {f"/e{at}" if section in ("mounts", "swaps") else f"e{at}": value for at, value in enumerate(VALUES)}
    good = {
        name: value for name, value in names.items() if read_of(f"{section}: {{{name}: {entry(path, value, base)}}}")
    }
    text = "\n".join(f"  {name}: {entry(path, value, base)}" for name, value in good.items())
    wrong = problems_of(f"{section}:\n{text}") if good else set()
    return [value for name, value in good.items() if f"{section}/{name.replace('/', '~1')}" not in wrong]


def read_of(text: str) -> bool:
    return not read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\n{text}\n".encode())[1]


def problems_of(text: str) -> set[str]:
    """Return the items that something is said about."""
    documents, wrong = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\n{text}\n".encode())
    found = wrong or compile(documents, facts_for("debian-13"), shipped=shipped()).problems
    return {re.sub(r"^([^/]+/[^/]+).*", r"\1", problem.item or problem.where.pointer) for problem in found}


def test_the_values_that_each_key_takes_without_a_word_are_known(pytestconfig: pytest.Config) -> None:
    lines = [
        f"{section} {'/'.join(path)}: {' '.join(taken(section, path, base))}".rstrip()
        for section, (shape, base) in SECTIONS.items()
        for path in leaves(shape)
    ]

    compare(GOLDEN, "\n".join(lines) + "\n", bool(pytestconfig.getoption("--update")))
