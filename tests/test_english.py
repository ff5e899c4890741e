"""Plain English: no phrase that a reader has to read twice (the marks are in /english.py)."""

from __future__ import annotations

import pytest

from support.english import PLACES, TREE, marks

TO_BE_EDITED = tuple(
    """
    packaging
""".split()
)
"""Places that nobody has edited yet; the list only shrinks."""


@pytest.mark.parametrize("place", PLACES)
def test_no_mark_of_unclear_english_is_left(place: str) -> None:
    if not (TREE / place).exists():
        pytest.skip(f"{place} is not beside the tests")

    found = [str(mark) for mark in marks([TREE / place]) if not str(mark.path).startswith(TO_BE_EDITED)]

    assert found == []
