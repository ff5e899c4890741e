"""A generation that later boots do not start with is a condition, whichever program could not write it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.apply.generation_writer import GenerationWriter
from ordain.agent.model import Generation
from ordain.agent.state.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def codes(store: Store, in_force: Generation) -> list[str]:
    """Return the conditions of a program that has written nothing itself, such as an agent that was restarted."""
    return [condition.code for condition in GenerationWriter(store).not_persistent(in_force)]


def test_a_proven_generation_is_persistent(store: Store) -> None:
    now, _ = store.save(Generation(hash="0" * 64))
    assert codes(store, now) == ["NotPersistent"]

    store.commit_proven(now)
    assert codes(store, now) == []


def test_the_generation_of_the_next_boot_is_named(store: Store) -> None:
    first, _ = store.save(Generation(hash="0" * 64))
    store.commit_proven(first)
    (condition,) = GenerationWriter(store).not_persistent(replace(first, number=2, hash="1" * 64))

    assert condition.what == "generation 2 is in force for this boot only; later boots start with generation 1"


def test_a_generation_that_came_with_the_boot_needs_no_proof(store: Store) -> None:
    assert codes(store, Generation(hash="0" * 64)) == []
