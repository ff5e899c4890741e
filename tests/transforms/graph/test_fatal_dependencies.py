"""A unit that starts with the machine neither ends the system with it nor stops what the machine needs."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read


def found(text: str) -> list[str]:
    """Return pointer and code of each problem of a document on Debian 13."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), shipped=shipped())
    return [f"{p.where.pointer} {p.code}" for p in compiled.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: {a: {command: /a, wants: [reboot.target]}}", "services/a/wants Vital"),
        ("services: {a: {command: /a, requires: [poweroff.target]}}", "services/a/requires Vital"),
        ("services: {a: {command: /a, conflicts: [basic.target]}}", "services/a/conflicts Vital"),
        ("services: {a: {command: /a, systemd: {Unit: {BindsTo: halt.target}}}}",
         "services/a/systemd/Unit/BindsTo Vital"),
        ("units: {a.service: {Unit: {Wants: reboot.target}, Service: {ExecStart: /a},"
         " Install: {WantedBy: multi-user.target}}}",
         "units/a.service/Unit/Wants Vital"),
        ("services: {ssh: {state: running, wants: [systemd-reboot.service]}}", "services/ssh/wants Vital"),
    ],
)  # fmt: skip
def test_a_dependency_that_ends_the_system_is_blocked(text: str, problem: str) -> None:
    assert problem in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {command: /a, after: [network], conflicts: [shutdown.target], before: [shutdown.target]}}",
        "services: {a: {command: /a, conflicts: [rescue.target, umount.target], on-failure: [reboot.target]}}",
        "services: {a: {command: /a, type: oneshot, schedule: weekly, wants: [reboot.target]}}",
        "services: {a: {command: /a, state: stopped, wants: [reboot.target]}}",
        "units: {a.timer: {Timer: {OnCalendar: weekly, Unit: reboot.target}, Install: {WantedBy: timers.target}}}",
    ],
)
def test_a_dependency_at_a_time_of_its_own_is_accepted(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: {a: {command: /a, after: [getty@.service]}}", "services/a/after/getty@.service UnknownName"),
        ("sysctl: {fs.file-max: 0}", "sysctl/fs.file-max Vital"),
        ("sysctl: {vm/max_map_count: 10}", "sysctl/vm~1max_map_count Vital"),
        ("swaps: {/run/swap: {}}", "swaps/~1run~1swap Doubtful"),
        ("units: {dev-shm-s.swap: {Swap: {What: /dev/shm/s}}}", "units/dev-shm-s.swap/Swap/What Doubtful"),
    ],
)
def test_a_value_that_cannot_work_is_reported(text: str, problem: str) -> None:
    assert problem in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {command: /a, after: [getty@tty1.service]}}",
        "sysctl: {fs.file-max: 9223372036854775807, vm.max_map_count: 262144}",
        "swaps: {/swapfile: {}, /dev/zram0: {}, /runner/swap: {}}",
    ],
)
def test_a_value_that_works_is_accepted(text: str) -> None:
    assert found(text) == []
