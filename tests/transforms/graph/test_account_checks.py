"""Numbers that somebody else has block an account; accounts that nobody makes are warned about."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Severity
from ordain.transforms.model import MachineAccounts

MACHINE = MachineAccounts(
    users={"root": ("0", "0"), "www-data": ("33", "33"), "ann": ("1000", "1000")},
    groups={"root": "0", "www-data": "33", "ann": "1000", "adm": "4"},
    complete=True,
    shells=frozenset({"/bin/sh", "/bin/bash", "/usr/bin/zsh"}),
)


def found(text: str, machine: MachineAccounts | None = MACHINE) -> list[tuple[str, str, str]]:
    """Return item, code and text of each problem of a layer with the sections ``text``."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), accounts=machine, shipped=shipped())
    codes = ("NumberTaken", "NoSuchAccount", "NoSuchShell")
    return [(p.item, p.code, p.what) for p in compiled.problems if p.code in codes]


@pytest.mark.parametrize(
    ("text", "item", "what"),
    [
        ("users: {web: {uid: 33}}", "users/web", "the uid 33 belongs to www-data"),
        ("users: {web: {gid: 33}}", "users/web", "the gid 33 belongs to www-data"),
        (
            "users: {web: {uid: 4}}",
            "users/web",
            "the gid 4, which the main group of web would get as well, belongs to adm",
        ),
        ("groups: {web: {gid: 33}}", "groups/web", "the gid 33 belongs to www-data"),
        ("users: {ann: {uid: 2000}}", "users/ann", "the user ann exists with the uid 1000, which never changes"),
        ("groups: {ann: {gid: 2000}}", "groups/ann", "the group ann exists with the gid 1000, which never changes"),
        ("users: {web: {uid: 65535}}", "users/web", "the uid 65535 is reserved"),
        ("users: {a: {uid: 2000}, b: {uid: 2000}}", "users/b", "the uid 2000 belongs to a"),
        ("groups: {a: {gid: 2000}, b: {gid: 2000}}", "groups/b", "the gid 2000 belongs to a"),
        ("groups: {a: {gid: 2000}}\nusers: {b: {uid: 2000}}", "users/b", "the gid 2000, which the main group"),
    ],
)
def test_a_number_of_somebody_else_blocks_the_account(text: str, item: str, what: str) -> None:
    ((blocked_item, code, said),) = found(text)

    assert (blocked_item, code) == (item, "NumberTaken")
    assert said.startswith(what)


@pytest.mark.parametrize(
    "text",
    [
        "users: {web: {uid: 2000}}",
        "users: {ann: {uid: 1000, groups: [adm]}}",
        "users: {web: {uid: 4, group: adm}}",
        "users: {web: {uid: 2000, gid: 2000}}",
        "groups: {a: {gid: 2000}}\nusers: {b: {uid: 2000, group: a}}",
        "services: {a: {command: /bin/a, user: ann, group: adm}}",
        "services: {a: {command: /bin/a, user: '4711'}}",
        "services: {a: {command: /bin/a, user: ghost, dynamic-user: true}}",
        "services: {a: {command: /bin/a, user: web}}\nusers: {web: {}}",
        "files: {/etc/a: {content: a, owner: web, group: team}}\nusers: {web: {}}\ngroups: {team: {}}",
    ],
)
def test_an_account_that_can_be_had_is_not_a_problem(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "item", "what"),
    [
        ("services: {a: {command: /bin/a, user: wbe}}", "services/a", "there is no user wbe on this machine"),
        ("services: {a: {command: /bin/a, group: admm}}", "services/a", "there is no group admm on this machine"),
        ("services: {a: {command: /bin/a, supplementary-groups: [adm, kvmm]}}", "services/a", "there is no group kvmm"),
        (
            "services: {a: {command: /bin/a, listen: {stream: /run/a, user: ghost}}}",
            "services/a",
            "there is no user ghost",
        ),
        (
            "units: {a.service: {Service: {ExecStart: /bin/a, User: ghost}}}",
            "units/a.service",
            "there is no user ghost",
        ),
        ("files: {/etc/a: {content: a, owner: ghost}}", "files/~1etc~1a", "there is no user ghost"),
        ("files: {/etc/a: {content: a, group: ghost}}", "files/~1etc~1a", "there is no group ghost"),
        (
            "users: {ann: {groups: [dialuot]}}",
            "users/ann",
            "there is no group dialuot, so one is made for the user ann",
        ),
    ],
)
def test_an_account_that_nobody_makes_is_warned_about(text: str, item: str, what: str) -> None:
    ((warned, code, said),) = found(text)

    assert (warned, code) == (item, "NoSuchAccount")
    assert said.startswith(what)


@pytest.mark.parametrize("machine", [None, MachineAccounts()])
def test_nothing_is_missing_where_the_accounts_are_not_known(machine: MachineAccounts | None) -> None:
    assert found("services: {a: {command: /bin/a, user: ghost}}", machine) == []


def test_a_blocked_account_is_not_made() -> None:
    documents, _ = read("d.yaml", b"ordain: v1\nkind: Layer\nname: d\nusers: {web: {uid: 33}}\n")
    compiled = compile(documents, facts_for("debian-13"), accounts=MACHINE, shipped=shipped())

    assert [p.severity for p in compiled.problems] == [Severity.BLOCKED]
    assert [a for a in compiled.artifacts if "web" in a.path] == []


def of_system(text: str, system: str) -> list[tuple[str, str, str]]:
    """Return item, code and text of each problem on a system whose accounts are not read."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    return [(p.item, p.code, p.what) for p in compile(documents, facts_for(system), shipped=shipped()).problems]


@pytest.mark.parametrize(
    ("system", "text", "what"),
    [
        ("debian-12", "users: {bob: {uid: 33}}", "the uid 33 belongs to www-data"),
        ("ubuntu-24.04", "users: {list: {uid: 1005}}", "the user list exists with the uid 38"),
        ("debian-12", "groups: {wheel: {gid: 27}}", "the gid 27 belongs to sudo"),
        ("rocky-9", "groups: {x: {gid: 10}}", "the gid 10 belongs to wheel"),
    ],
)
def test_numbers_that_a_system_has_everywhere_are_known_without_a_machine(system: str, text: str, what: str) -> None:
    ((_, code, said),) = of_system(text, system)

    assert code == "NumberTaken"
    assert said.startswith(what)


@pytest.mark.parametrize("system", ["debian-12", "fedora-42", "arch"])
@pytest.mark.parametrize(
    "text",
    ["users: {nobody: {uid: 1234}}", "users: {nobody: {}}", "groups: {nogroup: {}}", "groups: {nobody: {gid: 5}}"],
)
def test_nobody_cannot_be_changed(system: str, text: str) -> None:
    assert {code for _, code, _ in of_system(text, system)} - {"NumberTaken"} == {"Vital"}


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("users: {games: {}}", True),
        ("users: {games: {groups: [adm]}}", True),
        ("users: {games: {system: true, groups: [adm]}}", False),
        ("users: {games: {uid: 5}}", False),
        ("users: {alice: {}}", False),
        ("users: {root: {}}", False),
    ],
)
def test_an_ordinary_user_with_the_name_of_a_system_user_is_warned_of(text: str, warned: bool) -> None:
    doubtful = [what for _, code, what in of_system(text, "debian-12") if code == "Doubtful"]

    assert doubtful == (
        ["games is a system user (uid 5), and would get the home directory /home/games"] if warned else []
    )


@pytest.mark.parametrize(
    ("shell", "machine", "warned"),
    [
        ("/bin/bash", MACHINE, False),
        ("/usr/sbin/nologin", MACHINE, False),
        ("/bin/false", MACHINE, False),
        ("/bin/fish", MACHINE, True),
        ("/bin/fish", MachineAccounts(complete=True), False),
    ],
)
def test_a_shell_that_the_machine_does_not_have_is_told(shell: str, machine: MachineAccounts, warned: bool) -> None:
    wanted = f"{shell} is not in /etc/shells of this machine, so that the user cannot log in"

    assert found(f"users: {{eve: {{shell: {shell}}}}}", machine) == (
        [("users/eve", "NoSuchShell", wanted)] if warned else []
    )


@pytest.mark.parametrize(
    ("words", "blocked_home"),
    [
        ("home: /usr", "/usr"),
        ("home: /root/", "/root"),
        ("home: /var/lib", "/var/lib"),
        ("home: /proc/self", "/proc/self"),
        ("home: /srv/eve", ""),
        ("home: /bin, system: true", ""),
        ("{}", ""),
    ],
)
def test_a_directory_of_the_system_is_not_the_home_of_a_user(words: str, blocked_home: str) -> None:
    account = words if words == "{}" else f"{{{words}}}"
    documents, _ = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\nusers: {{eve: {account}}}\n".encode())
    problems = compile(documents, facts_for("debian-13"), shipped=shipped()).problems

    assert [p.what.split()[0] for p in problems if p.code == "Vital"] == ([blocked_home] if blocked_home else [])
