"""A power cut at the steps of an apply, and of going back: the next boot has all that is good, and the one after it.

All steps, and 200 cuts at any moment, are for `make soak`.
"""

from __future__ import annotations

import pytest

from rig import cuts
from rig.machine import Machines

pytestmark = pytest.mark.integration
EVERY = 9
"""One step of so many; each Debian and each direction begins with another one."""


@pytest.mark.parametrize(
    ("suite", "services", "first"),
    [("bookworm", cuts.NEW, 2), ("trixie", cuts.BAD, 5)],
    ids=["forwards", "backwards"],
)
def test_a_cut_at_a_step_of_an_apply_is_survived(
    machines: Machines, suite: str, services: cuts.Services, first: int
) -> None:
    subject = cuts.Subject(machines(suite))
    subject.start()
    cut: list[str] = []
    while step := cuts.at_step(subject, services, first + EVERY * len(cut)):
        cut.append(step)

    assert len(cut) > 2, cut
