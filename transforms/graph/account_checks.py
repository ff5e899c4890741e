"""Accounts that a machine cannot have as the documents say, and accounts that units and files name but nobody makes.

systemd-sysusers would choose another number without an error, and PID 1 would notice a missing user only when it starts
the service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ordain.transforms.account_lines import FOLDER, AccountLine, account_lines, memberships, why_not
from ordain.transforms.artifacts import Artifact, PlacedDirectory, PlacedFile, RegularFile, UnitFile
from ordain.transforms.decimal_numbers import clamped
from ordain.transforms.errors import Problem, blocked, did_you_mean, warning
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import MachineAccounts
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.systemd import unit_file

_KEYS = {
    ("Service", "User"): ("user", "user"),
    ("Service", "Group"): ("group", "group"),
    ("Service", "SupplementaryGroups"): ("group", "supplementary-groups"),
    ("Socket", "SocketUser"): ("user", "listen/user"),
    ("Socket", "SocketGroup"): ("group", "listen/group"),
}
"""The settings that name an account, with its kind and the key of a service that becomes the setting."""
_NO_LOGIN = ("/nologin", "/false", "/true", "/sync")
"""Programs for accounts that nobody logs in to; /etc/shells does not have them."""
FIRST_ORDINARY = 1000
"""The first number of ordinary users (SYSTEM_UID_MAX of systemd, UID_MIN of login.defs(5))."""
_RANGES = (
    (60001, 60513, "systemd-homed gives to users of its own"),
    (60578, 60705, "systemd gives to users of greeters"),
    (61184, 65519, "systemd gives to services with DynamicUser="),
)
"""Numbers that systemd gives out by itself, and to whom (https://systemd.io/UIDS-GIDS)."""
_DYNAMIC = lazy_pattern(r"^DynamicUser=(yes|true|on|1)$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Declared:
    line: AccountLine
    item: str


def account_problems(items: Iterable[RenderedItem], machine: MachineAccounts, place_of: PlaceOf) -> Iterator[Problem]:
    """Yield a problem for each number that somebody else has, and for each account that is named and missing.

    ``machine`` are the accounts that exist.
    """
    artifacts = [artifact for item in items for artifact in item.artifacts]
    files = [a for a in artifacts if isinstance(a, RegularFile) and a.path.startswith(f"/{FOLDER}/")]
    declared = [
        _Declared(line, file.item)
        for file in files
        if file.path.endswith(".conf")
        for line in account_lines(file.content)
    ]
    yield from _numbers(declared, machine, place_of)
    yield from _homes(artifacts, declared, machine, place_of)
    if machine.shells:
        yield from _shells(files, machine, place_of)
    if machine.complete:
        yield from _missing(artifacts, files, declared, machine, place_of)


def _numbers(declared: Iterable[_Declared], machine: MachineAccounts, place_of: PlaceOf) -> Iterator[Problem]:
    uids = {name: uid for name, (uid, _) in machine.users.items()}
    made: dict[str, dict[str, str]] = {"u": {}, "g": {}}
    groups_first = sorted(declared, key=lambda account: account.line.kind)  # a user may want the number of one
    for account in groups_first:
        line, item = account.line, account.item
        what = why_not(line, uids, machine.groups)
        if not what and line.number:
            what = why_not(line, made["u"], made["g"])
            made[line.kind].setdefault(line.name, line.number)
        if not what and line.group and (gid := _gid(line.group, declared)) and line.name in machine.users:
            actual = machine.users[line.name][1]
            if actual != gid:
                what = f"the user {line.name} exists with the gid {actual}, which never changes, as files belong to it"
        if what:
            where = place_of_key(item, (line.key,), place_of)
            yield blocked(item, where, what, f"choose another {line.key}, or leave it out", "NumberTaken")
        elif owner := _giver(line.number):
            what = f"the {line.key} {line.number} is one of those that {owner}, and two may get the same"
            where = place_of_key(item, (line.key,), place_of)
            yield warning(item, where, what, f"choose a {line.key} from 1000 to 59999, or leave it out", "Doubtful")


def _giver(number: str) -> str:
    """Return who gives out this number by itself, ``""`` if nobody does."""
    value = clamped(number) if number.isdecimal() else 0
    return next((who for first, last, who in _RANGES if first <= value <= last), "")


def _homes(
    artifacts: Iterable[Artifact], declared: Iterable[_Declared], machine: MachineAccounts, place_of: PlaceOf
) -> Iterator[Problem]:
    """Warn of system users of the machine that the documents describe as ordinary ones, and that get a home so."""
    homes: dict[str, str] = {}
    for artifact in artifacts:
        if isinstance(artifact, PlacedDirectory) and artifact.home == artifact.path:
            homes[artifact.item] = artifact.path
    for account in declared:
        uid = machine.users.get(account.line.name, ("", ""))[0]
        of_system = account.line.kind == "u" and uid.isdecimal() and 0 < clamped(uid) < FIRST_ORDINARY
        if of_system and not account.line.number and (home := homes.get(account.item, "")):
            what = f"{account.line.name} is a system user (uid {uid}), and would get the home directory {home}"
            yield warning(account.item, place_of(account.item), what, "write `system: true`", "Doubtful")


def _shells(files: Iterable[RegularFile], machine: MachineAccounts, place_of: PlaceOf) -> Iterator[Problem]:
    """Warn of login shells that the machine does not have: sshd and login refuse such a user (shells(5))."""
    for file in files:
        shell = json.loads(file.content).get("shell", "") if file.path.endswith(".account") else ""
        if shell and shell not in machine.shells and not shell.endswith(_NO_LOGIN):
            what = f"{shell} is not in /etc/shells of this machine, so that the user cannot log in"
            hint = did_you_mean(shell, machine.shells) or "install the package that has it, or write another shell"
            yield warning(file.item, place_of_key(file.item, ("shell",), place_of), what, hint, "NoSuchShell")


def _gid(group: str, declared: Iterable[_Declared]) -> str:
    return next(
        (account.line.number for account in declared if account.line.kind == "g" and account.line.name == group), ""
    )


def _missing(
    artifacts: Iterable[Artifact],
    files: Iterable[RegularFile],
    declared: Iterable[_Declared],
    machine: MachineAccounts,
    place_of: PlaceOf,
) -> Iterator[Problem]:
    made: Mapping[str, set[str]] = {
        "user": {account.line.name for account in declared if account.line.kind == "u"},
        # A user whose main group is not named gets one of its own name.
        "group": {account.line.name for account in declared},
    }
    known = {"user": machine.users.keys() | made["user"], "group": machine.groups.keys() | made["group"]}
    for file in files:
        for user, group in memberships(file.content) if file.path.endswith(".conf") else ():
            if group not in known["group"]:
                what = f"there is no group {group}, so one is made for the user {user}"
                hint = _hint("group", group, known["group"])
                place = place_of_key(file.item, (f"groups/{group}",), place_of)
                yield warning(file.item, place, what, hint, "NoSuchAccount")
    for artifact in artifacts:
        for kind, name, key in _named(artifact):
            if name not in known[kind]:
                what = f"there is no {kind} {name} on this machine"
                place = place_of_key(artifact.item, (key,), place_of)
                yield warning(artifact.item, place, what, _hint(kind, name, known[kind]), "NoSuchAccount")


def _hint(kind: str, name: str, known: Iterable[str]) -> str:
    near = did_you_mean(name, known)
    made = f"make it in `{kind}s`, or install the package that does"
    return f"{near} else {made}" if near else made


def _named(artifact: Artifact) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and key of each account that ``artifact`` names; numbers and specifiers are left out."""
    if isinstance(artifact, UnitFile):
        yield from _named_by_unit(artifact.content)
    elif isinstance(artifact, PlacedFile):
        for kind, key, name in (("user", "owner", artifact.owner), ("group", "group", artifact.group)):
            if name and not name.isdecimal():
                yield kind, name, key


@lru_cache(maxsize=8192)
def _named_by_unit(content: str) -> tuple[tuple[str, str, str], ...]:
    """Return the same for a unit file, which most compiles have seen before."""
    dynamic = _DYNAMIC.search(content)
    return tuple(
        (kind, word, own)
        for section, key, value in unit_file.parse(content)
        for kind, own in [_KEYS.get((section, key), ("", ""))]
        if kind and not (dynamic and key in ("User", "Group"))
        for word in value.split()
        if not word.isdecimal() and "%" not in word
    )
