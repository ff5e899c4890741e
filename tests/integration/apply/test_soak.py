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


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.one_debian
def test_the_rules_hold_after_every_random_step(suite: str, deb: Path) -> None:
    until = time.monotonic() + 60 * MINUTES
    steps = itertools.islice(random_steps.steps(SEED), STEPS)

    (twin,) = set(debian_roots.SUITES) - {suite}
    done = list(soak.run(suite, deb, steps, twin=twin, until=until))

    assert done
