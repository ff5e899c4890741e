"""A short run of random steps on each Debian; `make soak` is the long one. The rules are in rig/soak.py."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from rig import debian_roots, random_steps, soak

SEED = 1
STEPS = 8
MINUTES = 1.0
"""The limit for the steps; a busy host does fewer of them."""


def test_a_seed_determines_steps_of_all_kinds() -> None:
    first, again, other = (list(itertools.islice(random_steps.steps(seed), 200)) for seed in (SEED, SEED, SEED + 1))

    assert first == again
    assert first != other
    assert {step.kill for step in first} >= {"after", "power", "step", *random_steps.PHASES}
    assert {step.power for step in first} == {"", "reboot", "cut"}
    assert {step.confirm for step in first} == {"", *random_steps.ENDS}
    assert {step.back for step in first} == {True, False}
    assert any(step.shell.startswith("ordainctl hold") for step in first)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.one_debian
def test_the_rules_hold_after_every_random_step(suite: str, deb: Path) -> None:
    until = time.monotonic() + 60 * MINUTES
    steps = itertools.islice(random_steps.steps(SEED), STEPS)

    (twin,) = set(debian_roots.SUITES) - {suite}
    done = list(soak.run(suite, deb, steps, twin=twin, until=until))

    assert done
