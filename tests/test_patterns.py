"""No regular expression takes long for a text that is made to be matched in many ways."""

from __future__ import annotations

import importlib
import pkgutil
import re
import signal
import time
from collections.abc import Iterator
from types import FrameType, ModuleType
from typing import NoReturn

import pytest

import ordain.agent
import ordain.generator
import ordain.transforms
from ordain.transforms.lazy_patterns import LazyPattern, lazy_pattern

ATOMS = (
    "\n",
    " ",
    "\t",
    "a",
    "A",
    "0",
    "-",
    "_",
    ".",
    "/",
    "\\",
    "'",
    '"',
    "=",
    ":",
    ";",
    ",",
    "%",
    "$",
    "{",
    "[",
    "#",
    "é",
)
EXPONENTIAL, LONG = 40, 3000
"""The numbers of repetitions: 40 halve the speed 40 times if each can match in two ways; 3,000 show a third power."""
LIMIT_SEC = 2.0


def modules() -> Iterator[ModuleType]:
    for package in (ordain.transforms, ordain.generator, ordain.agent):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not info.name.endswith("__main__"):
                yield importlib.import_module(info.name)


def patterns() -> dict[str, LazyPattern[str]]:
    """Return the regular expressions of all modules, each with the name of its first place."""
    places: dict[str, LazyPattern[str]] = {}
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, LazyPattern) and isinstance(value.pattern, str) and value not in places.values():
                places[f"{module.__name__}.{name}"] = value
    return places


def attacks(pattern: str) -> Iterator[str]:
    """Yield texts that begin as a match, repeat one or two characters, and end as no match does."""
    literals = [word for word in re.findall(r"[A-Za-z0-9]{2,}", pattern)[:2] if len(word) < 12]
    atoms = (*ATOMS, *literals)
    for first in atoms:
        for pump in (first, f"{first} ", f"{first}\n", f"{first}a", f"{first}.", f"a{first}"):
            yield f"{pump * EXPONENTIAL}\0"
        for begin in ("", "a", '"', "'", "["):
            yield f"{begin}{first * LONG}\0"


def test_a_lazy_pattern_has_the_methods_of_the_compiled_one() -> None:
    word, data = lazy_pattern("B+", re.IGNORECASE), lazy_pattern(b"b")

    assert (word.pattern, word.flags) == ("B+", re.IGNORECASE)
    assert word.sub("x", "abbc") == re.compile("b+").sub("x", "abbc") == "axc"
    assert word.fullmatch("bb")
    assert not word.fullmatch("bbc")
    assert data.search(b"abc")


@pytest.mark.thorough
def test_no_regular_expression_of_ours_takes_long() -> None:
    class Slow(BaseException):
        pass

    def ring(_: int, __: FrameType | None) -> NoReturn:
        raise Slow

    before = signal.signal(signal.SIGALRM, ring)
    slow: dict[str, str] = {}
    try:
        for name, pattern in patterns().items():
            for text in attacks(pattern.pattern):
                signal.setitimer(signal.ITIMER_REAL, 3 * LIMIT_SEC)
                began = time.process_time()
                try:
                    pattern.match(text)
                    pattern.fullmatch(text)
                except Slow:
                    pass
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                if time.process_time() - began > LIMIT_SEC:
                    slow[name] = repr(text[:20])
                    break
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(patterns()) > 80
    assert not slow
