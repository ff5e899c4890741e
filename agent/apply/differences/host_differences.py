"""Values of the machine itself, read again and compared: kernel parameters and modules, accounts, the host.

The programs that apply them (systemd-sysctl, systemd-modules-load, systemd-sysusers) exit with 0 when they ignore some.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ordain.agent.apply.differences.difference import Difference, condition, pointer_to, section
from ordain.agent.model import Change, Effect, Generation, Observed
from ordain.agent.plan.changes.causes import values_with_causes
from ordain.generator.accounts import LOCKED
from ordain.transforms.account_lines import FOLDER, AccountLine, account_lines, account_rows
from ordain.transforms.artifacts import RegularFile, UnitFile
from ordain.transforms.decimal_numbers import clamped
from ordain.transforms.machine import locales, rootfs, time_zones
from ordain.transforms.render.paths import SYSCTL
from ordain.transforms.systemd import sysctl_files
from ordain.transforms.systemd.sysctl_files import parameter_path

SYSCTL_READER, HOSTNAME_READER = "systemd-sysctl.service", "ordain-hostname.service"
MODULES_READER = "systemd-modules-load.service"
OPEN_FILES = "LimitNOFILE"
PER_INTERFACE = ("net/ipv4/conf/", "net/ipv6/conf/", "net/ipv4/neigh/", "net/ipv6/neigh/", "net/mpls/conf/")
"""Parameters below these directories exist once their network interface does."""
Row = list[str]
"""The fields of a line of passwd(5), group(5) or shadow(5)."""


def kernel_parameters(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the kernel parameters that are missing or have another value. Names with globs are left out."""
    for name, value in section(generation, "sysctl").items():
        path = parameter_path(name)
        if "*" in path:
            continue
        pointer = pointer_to("sysctl", name)
        try:
            actual = (root / "proc/sys" / path).read_text()
        except FileNotFoundError:
            yield _missing_parameter(generation, root, name, path, pointer)
            continue
        except (OSError, UnicodeDecodeError):
            continue  # it is write-only
        if actual.strip() and _normal(actual) != _normal(str(value)):
            shown = " ".join(actual.split())
            if by := _read_after_ours(root, path):
                what = f"the kernel parameter {name} is {shown}, not {value}: {by}, which is read later, sets it, too"
                hint = f"remove the line from {by}, or correct the documents; an apply cannot change it"
                reported = condition(generation, "KernelParameter", pointer, what, hint, item="sysctl")
                yield Difference(condition=reported, pointer=pointer, actual=shown)
                continue
            change = Change(unit=SYSCTL_READER, key=name, old=(shown,), new=(str(value),), effect=Effect.RESTART)
            what = f"the kernel parameter {name} is {shown}, not {value}"
            reported = condition(generation, "KernelParameter", pointer, what, item="sysctl")
            yield Difference(condition=reported, pointer=pointer, actual=shown, changes=(change,))


def _read_after_ours(root: Path, path: str) -> str:
    """Return the last file that systemd-sysctl reads after ours and that sets the parameter at ``path``, or ``""``."""
    files: dict[str, str] = {}
    for directory in reversed(sysctl_files.DIRECTORIES):
        files |= {name: f"{directory}/{name}" for name in rootfs.names(root, directory)}
    for name in sorted(files, reverse=True):
        if name <= SYSCTL.rpartition("/")[2]:
            return ""
        with contextlib.suppress(OSError):  # such as a link to /dev/null, which hides a file of another directory
            text = (rootfs.read(root, files[name]) or b"").decode(errors="replace")
            if sysctl_files.is_read(files[name]) and path in sysctl_files.assignments(text):
                return files[name]
    return ""


def _missing_parameter(generation: Generation, root: Path, name: str, path: str, pointer: str) -> Difference:
    for directory in PER_INTERFACE:
        interface, _, key = path.removeprefix(directory).partition("/")
        if path.startswith(directory) and key and not (root / "proc/sys" / directory / interface).exists():
            what = f"the kernel parameter {name} waits for the network interface {interface}"
            hint = "udev sets it when the interface appears; write a / for a dot in the name of an interface"
            reported = condition(generation, "InterfaceMissing", pointer, what, hint, item="sysctl", fault=False)
            return Difference(condition=reported, pointer=pointer, actual="waits for its interface")
    what = f"there is no kernel parameter {name}"
    hint = "check the spelling, and load the module that brings it (`modules`)"
    reported = condition(generation, "KernelParameter", pointer, what, hint, item="sysctl")
    return Difference(condition=reported, pointer=pointer, actual="missing")


def _normal(value: str) -> list[str]:
    """Return the words of a value, with numbers in one form."""
    words = []
    for word in value.split():
        try:
            words.append(str(int(word, 0)))
        except ValueError:
            words.append(word)
    return words


def kernel_modules(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the kernel modules that are not loaded, and those that are although the documents forbid it."""
    wanted = section(generation, "modules")
    if not wanted:
        return
    loaded = {_module(name) for name in rootfs.names(root, "sys/module")}
    builtin = _builtin_modules(root)
    contained = rootfs.exists(root, "run/systemd/container")
    for name, words in wanted.items():
        forbidden = isinstance(words, Mapping) and words.get("blacklist") is True
        present = _module(name) in loaded | builtin
        pointer = pointer_to("modules", name)
        if forbidden and present:
            how = "built into the kernel" if _module(name) in builtin else "loaded"
            what = f"the kernel module {name} is {how}, although the documents forbid it"
            hint = "no module is ever unloaded; it stays out from the next boot on"
            reported = condition(generation, "KernelModule", pointer, what, hint, item="modules", fault=False)
            yield Difference(condition=reported, pointer=pointer, actual=how)
        elif not forbidden and not present:
            what = f"the kernel module {name} is not loaded"
            hint = "see `journalctl -b -u systemd-modules-load`: the kernel may lack it"
            if contained:
                hint = "the host of this container loads modules"
            change = Change(unit=MODULES_READER, key=name, new=("loaded",), effect=Effect.RESTART)
            reported = condition(generation, "KernelModule", pointer, what, hint, item="modules", fault=not contained)
            yield Difference(
                condition=reported, pointer=pointer, actual="not loaded", changes=() if contained else (change,)
            )


def _module(name: str) -> str:
    """Return the name of a module as /sys/module has it: ``-`` and ``_`` are the same to the kernel."""
    return name.replace("-", "_")


def _builtin_modules(root: Path) -> frozenset[str]:
    """Return the modules that are a part of the running kernel."""
    release = (rootfs.read(root, "proc/sys/kernel/osrelease") or b"").decode(errors="replace").strip()
    for folder in ("usr/lib/modules", "lib/modules"):
        if release and (data := rootfs.read(root, f"{folder}/{release}/modules.builtin")):
            paths = data.decode(errors="replace").splitlines()
            return frozenset(_module(path.rpartition("/")[2].partition(".ko")[0]) for path in paths)
    return frozenset()


def accounts(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the users and groups that are not as the documents say: their numbers, groups, home, shell and lock."""
    files = [a for a in generation.artifacts if isinstance(a, RegularFile) and a.path.startswith(f"/{FOLDER}/")]
    if not files:
        return
    machine = _Accounts(root)
    declared: dict[str, AccountLine] = {}
    for file in files:
        for line in account_lines(file.content) if file.path.endswith(".conf") else ():
            if line.kind == "u":
                declared[line.name] = line
            elif file.item.startswith("groups/"):
                yield from _group(line, file, machine, generation)
    for file in files:
        if file.path.endswith(".account"):
            words = json.loads(file.content)
            yield from _user(words, declared.get(words["name"]), file, machine, generation)


class _Accounts:
    """The accounts of the machine: users, groups by name and by number, and dates on which accounts expire."""

    def __init__(self, root: Path) -> None:
        self.users = {row[0]: row for row in _rows(root, "etc/passwd") if len(row) > 6}
        groups = [row for row in _rows(root, "etc/group") if len(row) > 3]
        self.groups = {row[0]: row for row in groups}
        self.group_names = {row[2]: row[0] for row in reversed(groups)}
        self.expires = {row[0]: row[7] for row in _rows(root, "etc/shadow") if len(row) > 7}


def _rows(root: Path, database: str) -> Iterable[Row]:
    return account_rows(rootfs.read(root, database) or b"")


def _group(line: AccountLine, file: RegularFile, machine: _Accounts, generation: Generation) -> Iterator[Difference]:
    row = machine.groups.get(line.name)
    if row is None:
        yield _account(file, generation, f"the group {line.name} does not exist", "missing")
    elif line.number and row[2] != line.number:
        what = f"the group {line.name} has the gid {row[2]}, not {line.number}"
        yield _account(file, generation, what, row[2], fixed=True)


def _user(
    words: Mapping[str, Any], line: AccountLine | None, file: RegularFile, machine: _Accounts, generation: Generation
) -> Iterator[Difference]:
    name = words["name"]
    row = machine.users.get(name)
    if words.get("absent"):
        if row is not None and machine.expires.get(name, LOCKED) != LOCKED:
            yield _account(file, generation, f"the user {name} is not locked", "not locked")
        return
    if row is None:
        yield _account(file, generation, f"the user {name} does not exist", "missing")
        return
    main = machine.group_names.get(row[3], row[3])
    for key, wanted, actual in (
        ("uid", str(words.get("uid", "")), row[2]),
        ("gid", str(words.get("gid", "")), row[3]),
        ("main group", line.group if line else "", main),
    ):
        if wanted and actual != wanted:
            what = f"the user {name} has the {key} {actual}, not {wanted}"
            yield _account(file, generation, what, actual, fixed=True)
            break
    for key, at in (("home", 5), ("shell", 6)):
        if key in words and row[at] != words[key]:
            what = f"the user {name} has the {key} {row[at] or 'none'}, not {words[key]}"
            yield _account(file, generation, what, row[at], key=key, wanted=words[key])
    for group in words.get("groups", ()):
        if group != main and name not in machine.groups.get(group, ["", "", "", ""])[3].split(","):
            what = f"the user {name} is not in the group {group}"
            yield _account(file, generation, what, "not a member", key=f"groups {group}", wanted="member")


def _account(
    file: RegularFile,
    generation: Generation,
    what: str,
    actual: str,
    *,
    fixed: bool = False,
    key: str = "account",
    wanted: str = "present",
) -> Difference:
    """Return the difference of an account. ``fixed``: only an administrator can correct it, as files belong to it."""
    pointer, place = file.item, file.item
    if place not in generation.provenance:
        place = min((p for p in generation.provenance if p.startswith(f"{file.item}/")), default=place)
    hint = "see `journalctl -u ordain-users`; `ordainctl apply` tries again"
    if fixed:
        hint = "Ordain never changes a number that is in use: change the documents, or the account yourself"
    reported = condition(generation, "Account", place, what, hint, item=pointer)
    if fixed:
        return Difference(condition=reported, pointer=pointer, actual=actual)
    change = Change(unit=file.path, key=key, old=(actual,), new=(wanted,), effect=Effect.NOTHING)
    return Difference(condition=reported, pointer=pointer, actual=actual, path=file.path, file_changes=(change,))


def host_name(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the host name of the kernel if the documents set another one."""
    wanted = section(generation, "host").get("hostname")
    actual = (rootfs.read(root, "proc/sys/kernel/hostname") or b"").decode(errors="replace").strip()
    if wanted and actual and actual != wanted:
        change = Change(unit=HOSTNAME_READER, key="hostname", old=(actual,), new=(wanted,), effect=Effect.RESTART)
        what = f"the host name is {actual}, not {wanted}"
        reported = condition(generation, "HostName", "host/hostname", what, item="host")
        yield Difference(condition=reported, pointer="host/hostname", actual=actual, changes=(change,))


def time_zone(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the time zone if the machine has no data about it: then all programs use UTC."""
    zone = section(generation, "host").get("timezone")
    if zone and time_zones.is_missing(root, zone):
        what = f"there is no time zone {zone} on this machine, so all programs use UTC"
        hint = "check the spelling (`timedatectl list-timezones`), or install the package tzdata"
        reported = condition(generation, "TimeZone", "host/timezone", what, hint, item="host")
        yield Difference(condition=reported, pointer="host/timezone", actual="UTC")


def locale(generation: Generation, root: Path, environment: Iterable[str] | None) -> Iterator[Difference]:
    """Yield the locale if the machine does not have it, or if PID 1 starts services with another one.

    ``environment`` is that of PID 1, None if it is not known. Running programs and logins keep the locale that they
    were started with.
    """
    wanted, pointer = section(generation, "host").get("locale"), "host/locale"
    if not wanted:
        return
    if locales.is_missing(root, wanted):
        what = f"there is no locale {wanted} on this machine, so programs use C"
        hint = "check the spelling (`locale -a`), or make it (Debian: the package locales, locale-gen)"
        reported = condition(generation, "Locale", pointer, what, hint, item="host")
        yield Difference(condition=reported, pointer=pointer, actual="missing")
        return
    lang = next((line[5:] for line in environment or () if line.startswith("LANG=")), "not set")
    if environment is not None and locales.normalized(lang) != locales.normalized(wanted):
        what = f"PID 1 starts services with the locale {lang}, not {wanted}"
        hint = f"it takes {wanted} at the next boot, or now with `systemctl set-environment LANG={wanted}`"
        reported = condition(generation, "Locale", pointer, what, hint, item="host", fault=False)
        yield Difference(condition=reported, pointer=pointer, actual=lang)


def keymap(generation: Generation, observed: Observed, root: Path) -> Iterator[Difference]:
    """Yield the keymap if the program that would load it into the consoles is not installed."""
    if "keymap" not in section(generation, "host"):
        return
    for member in generation.members:
        if member.item == "host" and observed.unit(member.unit).load_state == "not-found":
            what = f"no console has the keymap: {member.unit}, which would load it, is not installed"
            hint = f"install the package of {member.unit.removesuffix('.service')}"
            contained = rootfs.exists(root, "run/systemd/container")
            reported = condition(generation, "Keymap", "host/keymap", what, hint, item="host", fault=not contained)
            yield Difference(condition=reported, pointer="host/keymap", actual="not loaded")


def open_files(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the limits of open files that are above fs.nr_open.

    The kernel refuses such a limit (setrlimit(2), EPERM), and PID 1 then starts the service with its own limit, without
    a word (setrlimit_closest() of systemd).
    """
    files = [file for file in generation.artifacts if isinstance(file, UnitFile) and f"{OPEN_FILES}=" in file.content]
    most = (rootfs.read(root, "proc/sys/fs/nr_open") or b"").decode(errors="replace").strip() if files else ""
    for file in files if most.isdecimal() else ():
        for value, cause in values_with_causes(file.content, "Service", OPEN_FILES):
            limit = value.rpartition(":")[2]
            if limit.isdecimal() and clamped(limit) > int(most):
                pointer = cause.pointer if cause else file.item
                what = f"the kernel allows {most} open files (fs.nr_open), so that no process can have {limit}"
                hint = f"set `sysctl: {{fs.nr_open: {limit}}}` and restart the service, or write a smaller number"
                reported = condition(generation, "OpenFiles", pointer, what, hint, item=file.item)
                yield Difference(condition=reported, pointer=pointer, actual=f"at most {most}")
