"""The random steps of `make soak` and of tests/integration/apply/test_soak.py."""

from __future__ import annotations

import itertools

from rig import random_steps


def test_a_seed_determines_steps_of_all_kinds() -> None:
    first, again, other = (list(itertools.islice(random_steps.steps(seed), 200)) for seed in (1, 1, 2))

    assert first == again
    assert first != other
    assert {step.kill for step in first} >= {"after", "power", "step", *random_steps.PHASES}
    assert {step.power for step in first} == {"", "reboot", "cut"}
    assert {step.confirm for step in first} == {"", *random_steps.ENDS}
    assert {step.back for step in first} == {True, False}
    assert any(step.shell.startswith("ordainctl hold") for step in first)
