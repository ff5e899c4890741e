"""Plain English: no phrase that a reader has to read twice (the marks are in tests/support/pages/english.py)."""

from __future__ import annotations

import pytest

from support.pages.english import CODE, PLACES, TREE, empty_names, marks


@pytest.mark.parametrize("place", PLACES)
def test_no_mark_of_unclear_english_is_left(place: str) -> None:
    if not (TREE / place).exists():
        pytest.skip(f"{place} is not beside the tests")

    left = [str(mark) for mark in marks([TREE / place])]

    assert left == []


@pytest.mark.parametrize("folder", CODE)
def test_every_variable_says_what_it_holds(folder: str) -> None:
    if not (TREE / folder).exists():
        pytest.skip(f"{folder} is not beside the tests")

    assert [str(mark) for mark in empty_names(TREE / folder)] == []
