"""Each fuzz target accepts its seeds and its corpus, which has an input for each crash that was found.

`make fuzz` searches for new ones.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fuzz.run import Findings, inputs_of, mutated
from fuzz.targets import CORPUS, TARGETS

pytestmark = pytest.mark.thorough

CHANGES = 100
"""A number, not a time: a faster machine shall not do more work, and each run shall try the same."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_accepts_its_seeds_its_corpus_and_a_few_changes_of_them(name: str) -> None:
    inputs = inputs_of(name)
    assert inputs
    rng = random.Random(1)

    for data in inputs:
        TARGETS[name].run(data)
    for _ in range(CHANGES):
        TARGETS[name].run(mutated(rng.choice(inputs), TARGETS[name], inputs, rng))


def test_every_corpus_belongs_to_a_target_and_is_small() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]

    assert {path.parent.name for path in files} <= TARGETS.keys()
    assert sum(path.stat().st_size for path in files) < 200_000


def test_a_crash_is_kept_once_with_its_shortest_input(tmp_path: Path) -> None:
    findings = Findings(target="x", out=tmp_path)

    def work(data: bytes) -> None:
        raise KeyError(data)

    for data in (b"long input", b"short", b"longer input"):
        findings.run(work, data)

    assert findings.runs == 3
    assert list(findings.kinds.values()) == [3]
    (kept,) = tmp_path.glob("*.input")
    assert kept.read_bytes() == b"short"
