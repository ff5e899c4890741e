"""A power cut at steps of an apply and of a rollback: the next boot runs all good services, and so does the one after.

`make soak` cuts at all steps, and 200 times at random moments.
"""

from __future__ import annotations

import pytest

from rig import power_cuts
from rig.machine import Machines

pytestmark = pytest.mark.integration
EVERY = 9
"""The power is cut at every ninth step; each case begins at another step."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "services", "first"),
    [("bookworm", power_cuts.NEW, 2), ("trixie", power_cuts.BAD, 5)],
    ids=["apply", "rollback"],
)
def test_a_machine_survives_a_power_cut_at_a_step(
    machines: Machines, suite: str, services: power_cuts.Services, first: int
) -> None:
    subject = power_cuts.CutMachine(machines(suite))
    subject.start()
    cut: list[str] = []
    while step := power_cuts.cut_at_step(subject, services, first + EVERY * len(cut)):
        cut.append(step)

    assert len(cut) > 2, cut
