"""A power cut at the steps of an apply, and of going back: the next boot has all that is good, and the one after it.

All steps, and 200 cuts at any moment, are for `make soak`.
"""

from __future__ import annotations

import pytest

from rig import power_cuts
from rig.machine import Machines

pytestmark = pytest.mark.integration
EVERY = 9
"""One step of so many; each Debian and each direction begins with another one."""


@pytest.mark.parametrize(
    ("suite", "services", "first"),
    [("bookworm", power_cuts.NEW, 2), ("trixie", power_cuts.BAD, 5)],
    ids=["forwards", "backwards"],
)
def test_a_cut_at_a_step_of_an_apply_is_survived(
    machines: Machines, suite: str, services: power_cuts.Services, first: int
) -> None:
    subject = power_cuts.CutMachine(machines(suite))
    subject.start()
    cut: list[str] = []
    while step := power_cuts.cut_at_step(subject, services, first + EVERY * len(cut)):
        cut.append(step)

    assert len(cut) > 2, cut
