"""Rights by key: several grants together give what one of them does not."""

from __future__ import annotations

import pytest

from ordain.agent.delivery.setup.key_rights import Access, Grant, KeyRange, allows, below

ALL = KeyRange(b"", None)


@pytest.mark.parametrize(
    ("grants", "allowed"),
    [
        ([], False),
        ([Grant(below("/o/"), Access.BOTH)], True),
        ([Grant(ALL, Access.BOTH)], True),
        ([Grant(below("/o/d/"), Access.READ)], False),
        ([Grant(below("/o/d/"), Access.READ), Grant(below("/o/d/"), Access.WRITE)], True),
        ([Grant(below("/o/d/x/"), Access.BOTH)], False),
        ([Grant(KeyRange(b"/o/d/", b"/o/d/m"), Access.BOTH), Grant(KeyRange(b"/o/d/m", None), Access.BOTH)], True),
        ([Grant(KeyRange(b"/o/d/", b"/o/d/m"), Access.BOTH), Grant(KeyRange(b"/o/d/n", None), Access.BOTH)], False),
        (
            [Grant(KeyRange(b"/o/d/", b"/o/d/z"), Access.BOTH), Grant(KeyRange(b"/o/d/b", b"/o/d/c"), Access.BOTH)],
            False,
        ),
    ],
)
def test_grants_are_joined_before_they_are_compared(grants: list[Grant], allowed: bool) -> None:
    assert allows(grants, below("/o/d/"), Access.BOTH) is allowed


def test_ranges_overlap_if_they_share_a_key() -> None:
    assert below("/o/").overlaps(below("/o/d/"))
    assert ALL.overlaps(below("/o/"))
    assert not below("/a/").overlaps(below("/b/"))
    assert not KeyRange(b"/a", b"/b").overlaps(KeyRange(b"/b", None))
