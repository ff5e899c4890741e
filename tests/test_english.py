"""Plain English: no phrase that a reader has to read twice (the marks are in tests/support/english.py)."""

from __future__ import annotations

import pytest

from support.english import PLACES, TREE, marks


@pytest.mark.parametrize("place", PLACES)
def test_no_mark_of_unclear_english_is_left(place: str) -> None:
    if not (TREE / place).exists():
        pytest.skip(f"{place} is not beside the tests")

    found = [str(mark) for mark in marks([TREE / place])]

    assert found == []
