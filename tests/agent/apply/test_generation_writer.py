"""A generation that later boots do not start with is a condition, whichever program could not write it."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.apply.generation_writer import GenerationWriter
from ordain.agent.model import Generation, UnitVerdict
from ordain.agent.state.store import Store
from ordain.agent.system import atomic_files


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


def test_a_generation_of_which_something_failed_has_that_as_its_remedy(store: Store) -> None:
    now, _ = store.save(Generation(hash="0" * 64))
    writer = GenerationWriter(store)
    failed = UnitVerdict(unit="/etc/app.conf", ok=False, what="could not be removed: Operation not permitted")

    (condition,) = writer.not_persistent(now, [failed, UnitVerdict(unit="web.service", ok=True, what="runs")])
    (other,) = writer.not_persistent(now)

    assert condition.what.endswith("later boots start with another generation, because /etc/app.conf failed")
    assert condition.hint == "correct that, then run `ordainctl apply`"
    assert "make the file system writable" in other.hint


def test_a_generation_that_came_with_the_boot_needs_no_proof(store: Store) -> None:
    assert codes(store, Generation(hash="0" * 64)) == []


def test_a_generation_that_could_not_be_written_is_written_by_the_next_attempt(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes, mode: int = 0) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    writer = GenerationWriter(store)
    (tmp_path / "var").write_text("in the way")
    now = writer.save(Generation(hash="0" * 64))
    with monkeypatch.context() as patch:
        patch.setattr(atomic_files, "replace", full)
        assert not writer.commit_proven(now)
        writer.retry()
        assert [condition.code for condition in writer.conditions] == ["NotInHistory", "NotPersistent"]

    (tmp_path / "var").unlink()
    writer.retry()

    assert writer.conditions == ()
    assert store.proven_hash() == now.hash
    assert store.has_whole(now.hash)
