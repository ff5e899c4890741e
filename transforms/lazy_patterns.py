"""Regular expressions that are compiled when they are used first: a program uses few of those that it imports.

Compiling them was a sixth of the time in which the agent is imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, AnyStr, Generic

_METHODS = ("match", "fullmatch", "search", "finditer", "findall", "split", "sub")


class LazyPattern(Generic[AnyStr]):
    """A regular expression with the methods of a `re.Pattern`, of which those of Ordain use these.

    Each of its own methods runs once at most: the first call puts those of the compiled expression in their place.
    """

    def __init__(self, pattern: AnyStr, flags: int) -> None:
        self.pattern: AnyStr = pattern
        self.flags = flags

    def _compiled(self) -> re.Pattern[AnyStr]:
        compiled = re.compile(self.pattern, self.flags)
        for method in _METHODS:
            setattr(self, method, getattr(compiled, method))
        return compiled

    def match(self, text: AnyStr, *bounds: int) -> re.Match[AnyStr] | None:
        """Match the beginning of ``text``."""
        return self._compiled().match(text, *bounds)

    def fullmatch(self, text: AnyStr, *bounds: int) -> re.Match[AnyStr] | None:
        """Match all of ``text``."""
        return self._compiled().fullmatch(text, *bounds)

    def search(self, text: AnyStr, *bounds: int) -> re.Match[AnyStr] | None:
        """Return the first match in ``text``."""
        return self._compiled().search(text, *bounds)

    def finditer(self, text: AnyStr, *bounds: int) -> Iterator[re.Match[AnyStr]]:
        """Yield each match in ``text``."""
        return self._compiled().finditer(text, *bounds)

    def findall(self, text: AnyStr, *bounds: int) -> list[Any]:
        """Return each match in ``text``: its groups, if it has some."""
        return self._compiled().findall(text, *bounds)

    def split(self, text: AnyStr, maxsplit: int = 0) -> list[Any]:
        """Return the parts of ``text`` between the matches."""
        return self._compiled().split(text, maxsplit)

    def sub(self, new: AnyStr | Callable[[re.Match[AnyStr]], AnyStr], text: AnyStr, count: int = 0) -> AnyStr:
        """Return ``text`` with ``new`` for each match."""
        return self._compiled().sub(new, text, count)


def lazy_pattern(pattern: AnyStr, flags: int = 0) -> LazyPattern[AnyStr]:
    """Return ``pattern``, to be compiled at its first use. A wrong one raises `re.error` then."""
    return LazyPattern(pattern, flags)
