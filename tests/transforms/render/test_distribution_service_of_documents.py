"""A service may run a unit that the documents define themselves: it need not be installed."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Installed, InstalledUnit, Wanted

MACHINE = Installed(
    units={
        "ssh.service": InstalledUnit(
            name="ssh.service", path="/usr/lib/systemd/system/ssh.service", sections={"Service": (("ExecStart", "/a"),)}
        )
    }
)


def problems_and_member(text: str, unit: str) -> tuple[list[str], tuple[Wanted, bool] | None]:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), MACHINE, shipped=shipped())
    members = {member.unit: (member.wanted, member.ours) for member in compiled.members}
    return [problem.code for problem in compiled.problems], members.get(unit)


@pytest.mark.parametrize(
    ("units", "unit"),
    [
        ("b.service: {Service: {ExecStart: /b}}", "b.service"),
        ("b@.service: {Service: {ExecStart: /b}}", "b@x.service"),
        ("b.timer: {Timer: {OnCalendar: daily}}, b.service: {Service: {ExecStart: /b, Type: oneshot}}", "b.timer"),
    ],
)
def test_a_unit_of_the_documents_is_run(units: str, unit: str) -> None:
    text = f"units: {{{units}}}\nservices: {{a: {{unit: {unit}, state: running}}}}"

    assert problems_and_member(text, unit) == ([], (Wanted.RUNNING, True))


@pytest.mark.parametrize(
    "units",
    [
        "c.service: {Service: {ExecStart: /b}}",
        "b.service.d: {Service: {Nice: 5}}",
        "b@.timer: {Timer: {OnCalendar: daily}}",
    ],
)
def test_a_unit_that_nobody_has_is_not_installed(units: str) -> None:
    codes, _ = problems_and_member(
        f"units: {{{units}}}\nservices: {{a: {{unit: b.service, state: running}}}}", "b.service"
    )

    assert "NotInstalled" in codes
