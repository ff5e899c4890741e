"""Units that PID 1 would refuse, and types of units that the system cannot have, found by the compile."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.compile import load_check
from ordain.agent.compile.compile_cache import read_machine
from ordain.agent.compile.compiler import compile_generation
from ordain.agent.compile.load_check import refusals, unloadable_units
from ordain.agent.compile.supported_types import unsupported_types
from ordain.agent.model import Generation
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.errors import Severity
from ordain.transforms.model import Member, Wanted
from support.machines.stand_in_pid1 import make_machine

GOOD = "[Service]\nExecStart=/bin/true\n"
TWO = "[Service]\nExecStart=/bin/true\nExecStart=/bin/false\n"
needs_systemd = pytest.mark.skipif(not Path(load_check.PROGRAM).exists(), reason="systemd-analyze is not installed")


def generation(**units: str) -> Generation:
    """Return a generation with these units; ``__`` stands for ``@``, ``_`` for a dot, and ``9`` for a drop-in."""
    artifacts, members = [], []
    for word, content in units.items():
        name = word.replace("__", "@").replace("_", ".")
        artifacts.append(UnitFile(path=f"normal/{name}", content=content, item=f"services/{name}"))
        if "@." not in name:
            members.append(Member(unit=name, item=f"services/{name}", wanted=Wanted.RUNNING, ours=True))
    return Generation(hash="new", artifacts=tuple(artifacts), members=tuple(members))


def refused(new: Generation, last: Generation | None = None) -> list[str]:
    return [unit for _, unit, _ in unloadable_units(new, last or Generation())]


@needs_systemd
def test_only_units_that_pid_1_refuses_are_found_with_their_reason() -> None:
    new = generation(good_service=GOOD, two_service=TWO, warned_service=f"{GOOD}Unknown=1\n", bare_timer="[Timer]\n")

    found = {unit: reason for _, unit, reason in unloadable_units(new, Generation())}

    assert found.keys() == {"two.service", "bare.timer"}
    assert found["two.service"].startswith("Service has more than one ExecStart= setting")


@needs_systemd
def test_a_template_is_checked_by_an_instance_of_it() -> None:
    template = UnitFile(path="normal/w@.service", content=TWO, item="services/w")
    member = Member(unit="w@a.service", item="services/w", wanted=Wanted.RUNNING, ours=True)

    assert refused(Generation(artifacts=(template,), members=(member,))) == ["w@a.service"]


@needs_systemd
def test_a_drop_in_is_checked_together_with_its_unit() -> None:
    drop_in = UnitFile(path="normal/good.service.d/00-ordain.conf", content=TWO, item="units/good.service.d")
    new = generation(good_service=GOOD)

    found = list(unloadable_units(Generation(artifacts=(*new.artifacts, drop_in), members=new.members), new))

    assert [(item, unit) for item, unit, _ in found] == [("units/good.service.d", "good.service")]


@needs_systemd
def test_a_unit_that_has_not_changed_is_not_checked_again() -> None:
    assert refused(generation(two_service=TWO), generation(two_service=TWO)) == []


@needs_systemd
def test_more_units_than_one_call_can_name_are_all_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_check, "ARGUMENTS_BYTES", 20)
    new = generation(**{f"u{number}_service": TWO for number in range(5)})

    assert refused(new) == [f"u{number}.service" for number in range(5)]


def test_without_systemd_analyze_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_check, "PROGRAM", "/nonexistent")

    assert refused(generation(two_service=TWO)) == []


def test_a_refusal_without_a_reason_of_its_own_is_still_one() -> None:
    assert refusals("Unit a.service has a bad unit file setting.\nUnit b.service not found.\n") == {
        "a.service": "its settings are invalid"
    }


def system(root: Path, *, misc: str = "", mounts: str = "", container: bool = False, device: bool = False) -> Path:
    for path, text in {"proc/self/mountinfo": mounts, "proc/misc": misc, "proc/swaps": ""}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path, wanted in {"run/systemd/container": container, "dev/autofs": device}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if wanted:
            (root / path).touch()
    return root


AUTOFS = "35 24 0:31 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n"


@pytest.mark.parametrize(
    ("described", "types"),
    [
        ({"misc": "235 autofs\n"}, ()),
        ({}, ("automount",)),
        ({"misc": "235 autofs\n", "container": True}, ("automount", "swap")),
        ({"mounts": AUTOFS, "container": True}, ("swap",)),
        ({"device": True, "container": True}, ("swap",)),
    ],
    ids=[
        "a host",
        "a kernel without autofs",
        "a container",
        "a container with an automount",
        "a container with autofs",
    ],
)
def test_the_types_that_a_system_cannot_have_are_those_that_pid_1_refuses(
    tmp_path: Path, described: dict[str, object], types: tuple[str, ...]
) -> None:
    assert unsupported_types(system(tmp_path, **described)) == types  # type: ignore[arg-type]


def test_nothing_is_said_about_a_system_that_does_not_run(tmp_path: Path) -> None:
    assert unsupported_types(tmp_path) == ()


DOCUMENT = b"""
ordain: v1
kind: Layer
name: a
mounts: {/srv/a: {what: one, type: tmpfs, automount: true}, /srv/b: {what: two, type: tmpfs}}
swaps: {/swap: {}}
"""


def test_mounts_that_the_system_cannot_have_are_blocked_and_the_others_are_not(tmp_path: Path) -> None:
    make_machine(tmp_path)
    system(tmp_path, container=True)

    new, problems = compile_generation([("/a.yaml", DOCUMENT)], read_machine(tmp_path), Generation())

    blocked = [p for p in problems if p.severity is Severity.BLOCKED]
    assert [(p.item, p.code, p.where.line) for p in blocked] == [
        ("mounts/~1srv~1a", "UnsupportedType", 5),
        ("swaps/~1swap", "UnsupportedType", 6),
    ]
    assert [member.unit for member in new.members] == ["srv-b.mount"]
