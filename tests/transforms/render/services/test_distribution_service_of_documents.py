"""A service may run a unit that the documents define themselves: it need not be installed."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Installed, InstalledUnit, OnChange, Wanted

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


QUADLET = "files: {/etc/containers/systemd/b.container: {content: '[Container]'}}\n"


def test_the_service_of_a_quadlet_runs_once_its_generator_has_made_it() -> None:
    text = f"{QUADLET}services: {{a: {{unit: b.service, state: running}}}}"
    documents, _ = read("x.yaml", f"ordain: v1\nkind: Layer\nname: x\n{text}".encode())
    made = InstalledUnit(name="b.service", path="/run/systemd/generator/b.service", sections={})
    found = Installed(units={"b.service": made})

    before = compile(documents, facts_for("debian-13"), MACHINE, shipped=shipped())
    after = compile(documents, facts_for("debian-13"), found, shipped=shipped())

    (missing,) = (problem for problem in before.problems if problem.code == "NotInstalled")
    assert missing.hint == (
        "a generator makes it from /etc/containers/systemd/b.container, once that is placed: "
        "is the generator installed? `systemctl daemon-reload` runs it again"
    )
    assert [problem.code for problem in after.problems] == []
    (member,) = after.members
    assert (member.unit, member.wanted) == ("b.service", Wanted.RUNNING)
    assert member.uses == (("/etc/containers/systemd/b.container", OnChange.RESTART),)


@pytest.mark.parametrize("section", ["services: {b: {command: /b}}", "units: {b.service: {Service: {ExecStart: /b}}}"])
def test_a_unit_of_another_generator_is_not_hidden(section: str) -> None:
    made = InstalledUnit(name="b.service", path="/run/systemd/generator/b.service", sections={})
    documents, _ = read("x.yaml", f"ordain: v1\nkind: Layer\nname: x\n{section}".encode())
    compiled = compile(documents, facts_for("debian-13"), Installed(units={"b.service": made}), shipped=shipped())

    assert [str(problem.what) for problem in compiled.problems] == [
        "b.service is a unit of another generator (/run/systemd/generator/b.service), and ours would hide it"
    ]
