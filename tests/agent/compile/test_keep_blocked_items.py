"""Blocked items keep the form in which they worked last."""

from __future__ import annotations

from ordain.agent.compile.compiler import keep_blocked_items
from ordain.agent.model import (
    Generation,
)
from ordain.transforms.artifacts import UnitFile, content_of
from ordain.transforms.model import Member, Wanted


def test_a_blocked_item_keeps_its_last_good_form() -> None:
    def made(text: str, *names: str) -> Generation:
        return Generation(
            hash=text,
            artifacts=tuple(UnitFile(path=f"normal/{n}.service", content=text, item=f"services/{n}") for n in names),
            members=tuple(
                Member(unit=f"{n}.service", item=f"services/{n}", wanted=Wanted.RUNNING, ours=True) for n in names
            ),
        )

    kept = keep_blocked_items(made("new", "web"), made("old", "web", "db", "gone"), {"services/db"})

    assert [(a.path, content_of(a)) for a in kept.artifacts] == [
        ("normal/db.service", "old"),
        ("normal/web.service", "new"),
    ]
    assert [m.unit for m in kept.members] == ["db.service", "web.service"]
    assert kept.hash not in ("new", "old")
    assert keep_blocked_items(made("new", "web"), made("old", "web"), {"services/web"}).hash == "new"
