"""The limit on removals by a source."""

from __future__ import annotations

import pytest

from ordain.agent.errors import RemovalLimitExceeded
from ordain.agent.model import Generation
from ordain.agent.plan.removal_limit import check_removals
from ordain.transforms.model import Member, Wanted


def made(*names: str) -> Generation:
    return Generation(
        members=tuple(
            Member(unit=f"{name}.{kind}", item=f"services/{name}", wanted=Wanted.RUNNING, ours=True)
            for name in names
            for kind in ("service", "socket")
        )
    )


@pytest.mark.parametrize(
    ("old", "new", "max_removal", "allowed"),
    [
        ((), (), 50, True),
        ((), ("a",), 50, True),
        (("a", "b"), ("a",), 50, True),
        (("a", "b", "c"), ("c",), 50, False),
        (("a", "b", "c"), ("x", "y", "z"), 50, False),
        (("a",), (), 50, False),
        (("a",), (), 100, True),
        (("a", "b"), ("a",), 0, False),
        (("a", "b"), ("a", "b", "c"), 0, True),
    ],
)
def test_a_source_may_remove_only_a_share_of_the_services(
    old: tuple[str, ...], new: tuple[str, ...], max_removal: int, allowed: bool
) -> None:
    if allowed:
        check_removals(made(*old), made(*new), max_removal)
        return
    with pytest.raises(RemovalLimitExceeded, match="the source no longer has"):
        check_removals(made(*old), made(*new), max_removal)
