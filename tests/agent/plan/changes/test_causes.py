"""Every change names the place in the documents that asks for it."""

from __future__ import annotations

from dataclasses import replace

from ordain.agent.model import Generation
from ordain.agent.plan.changes.diff import diff
from ordain.agent.plan.describe import describe_change
from ordain.transforms.artifacts import UnitFile, UnitLink
from ordain.transforms.model import Member, Wanted
from ordain.transforms.render.cause_comments import Cause

WEB = Member(unit="web.service", item="services/web", wanted=Wanted.RUNNING, ours=True)


def generation(text: str) -> Generation:
    unit = UnitFile(path="normal/web.service", content=text, item="services/web")
    return Generation(hash=text, artifacts=(unit,), members=(WEB,))


OLD = generation(
    "[Service]\n# base.yaml:7 base services/web/user\nUser=a\n# base.yaml:9 base services/web/nice\nNice=1\n"
)
NEW = generation("[Service]\n# web.yaml:3 web services/web/user\nUser=b\nGroup=b\n")


def test_a_change_names_its_place_and_a_removed_key_its_old_place() -> None:
    found = {change.key: change for change in diff(OLD, NEW)}

    assert found["User"].causes == (Cause(path="web.yaml", line=3, layer="web", pointer="services/web/user"),)
    assert found["User"].artifact == "normal/web.service"
    assert found["Group"].causes == found["User"].causes
    assert found["Nice"].causes == (Cause(path="base.yaml", line=9, layer="base", pointer="services/web/nice"),)
    assert describe_change(found["User"]) == "[Service] User: a → b  (web.yaml:3 services/web/user)"


def test_a_new_unit_names_its_item() -> None:
    (change,) = diff(Generation(), NEW)

    assert change.causes == (Cause(path="web.yaml", line=3, layer="web", pointer="services/web"),)


def test_a_mask_names_the_state_that_asks_for_it() -> None:
    mask = UnitLink(path="early/web.service", target="/dev/null", item="services/web")
    said = {"services/web/state": {"path": "web.yaml", "line": 5, "layer": "web", "overrode": []}}
    masked = replace(generation(""), artifacts=(mask,), provenance=said)

    (change,) = diff(NEW, masked)

    assert change.causes == (Cause(path="web.yaml", line=5, layer="web", pointer="services/web/state"),)


def test_a_comment_applies_only_to_its_section() -> None:
    text = "[Unit]\n# web.yaml:2 web services/web/after\nAfter=a.service\n[Service]\nUser=b\n"

    found = {change.key: change.causes for change in diff(generation("[Service]\nUser=a\n"), generation(text))}

    assert found["User"] == ()
    assert found["After"][0].line == 2
