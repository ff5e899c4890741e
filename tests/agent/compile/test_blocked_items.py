"""Blocked items keep the form in which they worked last."""

from __future__ import annotations

from typing import Any

from ordain.agent.compile.blocked_items import keep_last_form, keep_last_values
from ordain.agent.model import Generation
from ordain.agent.plan.changes.setting_changes import setting_changes
from ordain.transforms.artifacts import UnitFile, content_of
from ordain.transforms.errors import NOWHERE, blocked
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

    kept = keep_last_form(made("new", "web"), made("old", "web", "db", "gone"), {"services/db"})

    assert [(a.path, content_of(a)) for a in kept.artifacts] == [
        ("normal/db.service", "old"),
        ("normal/web.service", "new"),
    ]
    assert [m.unit for m in kept.members] == ["db.service", "web.service"]
    assert kept.hash not in ("new", "old")
    assert keep_last_form(made("new", "web"), made("old"), set()).hash == "new"


def applied(document: dict[str, Any], line: int) -> Generation:
    """Return a generation of a document, all of whose values are in one line."""
    pointers = ("units/a.service/Service/Nice", "services/web/command", "services/web/after", "sysctl/vm.swappiness")
    place = {"path": "a.yaml", "line": line, "layer": "a"}
    return Generation(hash=f"line {line}", document=document, provenance=dict.fromkeys(pointers, place))


def test_a_blocked_item_has_its_last_values_in_the_document_and_no_change_is_shown() -> None:
    good = applied({"units": {"a.service": {"Service": {"Nice": "5"}}}, "sysctl": {"vm.swappiness": "1"}}, 1)
    wrong = applied({"units": {"a.service": {"Service": {"Nice": "500"}}}, "sysctl": {"vm.swappiness": "2"}}, 7)

    kept = keep_last_values(wrong, good, [blocked("units/a.service", NOWHERE, "wrong")])

    assert kept.document == {"units": {"a.service": {"Service": {"Nice": "5"}}}, "sysctl": {"vm.swappiness": "2"}}
    assert [(change.unit, change.new) for change in setting_changes(good, kept, (), ())] == [("sysctl", ("2",))]
    assert kept.provenance["units/a.service/Service/Nice"]["line"] == 1
    assert kept.provenance["sysctl/vm.swappiness"]["line"] == 7


def test_an_item_blocked_since_it_was_written_is_not_in_the_document() -> None:
    """So neither its first form nor its removal is shown as a change."""
    before = applied({"sysctl": {"vm.swappiness": "1"}}, 1)
    wrong = applied({"services": {"web": {"command": ["/x"]}}, "sysctl": {"vm.swappiness": "1"}}, 7)

    kept = keep_last_values(wrong, before, [blocked("services/web", NOWHERE, "wrong")])

    assert kept.document == before.document
    assert "services/web/command" not in kept.provenance
    assert not setting_changes(before, kept, (), ())
    assert not setting_changes(kept, before, (), ())


def test_an_unchanged_value_of_a_blocked_item_has_its_place_of_now() -> None:
    document = {"services": {"web": {"command": ["/x"]}}}

    kept = keep_last_values(applied(document, 7), applied(document, 1), [blocked("services/web", NOWHERE, "wrong")])

    assert kept.provenance["services/web/command"]["line"] == 7
