"""The program that creates and changes the users and groups of the documents.

    /run/ordain/sysusers/*.conf, *.account ─▶ systemd-sysusers, usermod, gpasswd ─▶ a record, a report, exit status

systemd-sysusers creates missing accounts and changes none. An account is never removed, and its number never changes,
because files belong to it. The record has the previous state of each account, which is restored when no document
mentions the account any more. An account that was created here stays; only its group memberships are removed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ordain.generator.files import replace_synced
from ordain.generator.phases import REPORTS
from ordain.transforms.account_lines import FOLDER, AccountLine, account_lines, account_rows, why_not

RECORD = "etc/ordain/boot/accounts"
"""It is on the root file system, like the accounts, because /var may not be mounted yet."""
KINDS = ("system", "user")
"""systemd-sysusers runs once for each kind, because the number range in a file of users applies to the whole run."""
LOCKED = "1"
"""The expiry date of a locked account, in days after 1970-01-01 (shadow(5)); with it, ssh keys do not work either."""
FIELDS = {"home": ("--home", 5), "shell": ("--shell", 6)}
"""The properties of an existing account that may change: the option of usermod(8), the field of passwd(5)."""


Run = Callable[[list[str]], str]
"""A function that runs a command and returns ``""`` or the error."""


def main(argv: list[str]) -> int:
    """Create and change the accounts; return the exit status 1 if an account is not as the documents want it."""
    root = Path(argv[1] if len(argv) > 1 else "/")
    accounts = Accounts(root, _run)
    problems = accounts.problems
    try:
        accounts.apply()
    except OSError as error:  # without its record, no account could be given its previous state later
        problems["users"] = f"its previous state cannot be kept: {error.filename}: {error.strerror}"
    target = root / REPORTS["users"]
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_synced(target, json.dumps({"problems": problems}).encode())
    for name, problem in problems.items():
        print(f"{name}: {problem}", file=sys.stderr)
    return 1 if problems else 0


class Accounts:
    """The accounts below ``root``, which the commands of ``run`` change."""

    def __init__(self, root: Path, run: Run) -> None:
        self._root, self._run = root, run
        self.problems: dict[str, str] = {}

    def apply(self) -> dict[str, str]:
        """Create and change the accounts; return the problems by item."""
        wanted = [json.loads(path.read_bytes()) for path in sorted((self._root / FOLDER).glob("*.account"))]
        record, before = self._read(), self._accounts()
        before_groups = self._numbers("g").keys()
        members = self._members()
        for kind in KINDS:
            files = [path for path in sorted((self._root / FOLDER).glob(f"{kind}-*.conf")) if self._is_possible(path)]
            if files and (error := self._run(["systemd-sysusers", *map(str, files)])):
                self.problems.setdefault("users", error)
        self._remove_wrong(before, before_groups)
        after = self._accounts()
        for want in wanted:
            name = want["name"]
            if name in after:
                self._check(want, after[name])
            old = record.setdefault(name, {"made": name not in before, "groups": []})
            joined = [group for group in want.get("groups", ()) if name not in members.get(group, ())]
            old["groups"] = sorted({*old["groups"], *joined})
            self._leave(name, old, keep=want.get("groups", ()))
        self._write(record)  # before the previous state is lost
        self._change(wanted, record, after)
        self._write(record)
        return self.problems

    def _numbers(self, kind: str) -> dict[str, str]:
        """Return the numbers of users (u) or groups (g) by name."""
        rows = self._rows("passwd" if kind == "u" else "group")
        return {row[0]: row[2] for row in rows if len(row) > 3}

    def _is_possible(self, path: Path) -> bool:
        """Return whether all accounts of a file can have their numbers.

        systemd-sysusers would give them others, and such an account would be in the way for ever.
        """
        for line in account_lines(path.read_text("utf-8", "surrogateescape")):
            if what := why_not(line, self._numbers("u"), self._numbers("g")):
                self.problems[f"{line.noun}s/{line.name}"] = f"{what}; nothing was made"
                return False
        return True

    def _remove_wrong(self, users: Collection[str], groups: Collection[str]) -> None:
        """Remove accounts that were made just now with another number than the documents say: nothing is theirs yet."""
        lines: list[AccountLine] = []
        for path in sorted((self._root / FOLDER).glob("*.conf")):
            lines += account_lines(path.read_text("utf-8", "surrogateescape"))
        for line in sorted(lines, key=lambda line: line.kind, reverse=True):  # users first, then their groups
            before, program = (users, "userdel") if line.kind == "u" else (groups, "groupdel")
            number = self._numbers(line.kind).get(line.name)
            if line.number and number not in (None, line.number) and line.name not in before:
                what = (
                    f"systemd-sysusers gave it the {line.key} {number} instead of {line.number}; it was removed again"
                )
                self.problems[f"{line.noun}s/{line.name}"] = self._run([program, line.name]) or what

    def _change(
        self, wanted: Iterable[Mapping[str, Any]], record: dict[str, Any], now: Mapping[str, list[str]]
    ) -> None:
        """Change what differs, and restore what no document mentions any more."""
        by_name = {want["name"]: want for want in wanted}
        for name, old in list(record.items()):
            want = by_name.get(name, {})
            if name in now:
                self._usermod(name, want, old, now[name])
            if name not in by_name:
                self._leave(name, old, keep=())
                if not old["made"] or name not in now:
                    del record[name]

    def _usermod(self, name: str, want: Mapping[str, Any], old: dict[str, Any], fields: list[str]) -> None:
        options: list[str] = []
        for key, (option, at) in FIELDS.items():
            if key in want and want[key] != fields[at]:
                if not old["made"]:
                    old.setdefault(key, fields[at])
                options += [option, want[key]]
            elif key not in want and key in old:
                options += [option, old.pop(key)]
        if want.get("absent") and "expires" not in old:
            old["expires"] = self._expires(name)
            options += ["--expiredate", LOCKED]
        elif not want.get("absent") and "expires" in old:
            options += ["--expiredate", old.pop("expires")]
        if options and (error := self._run(["usermod", *options, name])):
            self.problems[f"users/{name}"] = error

    def _leave(self, name: str, old: dict[str, Any], *, keep: Iterable[str]) -> None:
        """Remove ``name`` from the groups to which it was added here, except those to ``keep``."""
        for group in sorted(set(old["groups"]) - set(keep)):
            if name in self._members().get(group, ()) and (error := self._run(["gpasswd", "--delete", name, group])):
                self.problems[f"users/{name}"] = error
                continue
            old["groups"].remove(group)

    def _check(self, want: Mapping[str, Any], fields: list[str]) -> None:
        """Report numbers that differ; only an administrator can change them, because files belong to them."""
        for key, at in (("uid", 2), ("gid", 3)):
            if key in want and str(want[key]) != fields[at]:
                self.problems[f"users/{want['name']}"] = (
                    f"its {key} is {fields[at]}, and is not changed because files belong to it"
                )

    def _accounts(self) -> dict[str, list[str]]:
        return {row[0]: row for row in self._rows("passwd") if len(row) > 6}

    def _members(self) -> dict[str, tuple[str, ...]]:
        return {row[0]: tuple(filter(None, row[3].split(","))) for row in self._rows("group") if len(row) > 3}

    def _expires(self, name: str) -> str:
        return next((row[7] for row in self._rows("shadow") if row[0] == name and len(row) > 7), "")

    def _rows(self, database: str) -> list[list[str]]:
        return account_rows((self._root / "etc" / database).read_bytes())

    def _read(self) -> dict[str, Any]:
        try:
            record = json.loads((self._root / RECORD).read_bytes())
            return {
                name: {"made": bool(row["made"]), **row, "groups": list(row["groups"])} for name, row in record.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # then all accounts count as existing before, and are kept

    def _write(self, record: Mapping[str, Any]) -> None:
        path = self._root / RECORD
        if not record and not path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_synced(path, json.dumps(record, sort_keys=True).encode())


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, check=False, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{argv[0]}: {error}"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return (lines[-1] if lines else f"{argv[0]}: exit status {done.returncode}") if done.returncode else ""
