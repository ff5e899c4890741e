"""Existing accounts get the properties in the documents, and their old ones when no document mentions them any more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ordain.generator.accounts import RECORD, Accounts, main
from ordain.generator.phases import REPORTS
from ordain.generator.safe_tree import home_of
from ordain.transforms.account_lines import FOLDER

PASSWD = "root:x:0:0::/root:/bin/bash\nwww:x:33:33::/var/www:/bin/sh\nann:x:1000:1000::/home/ann:/bin/bash\n"
GROUP = "www:x:33:\nann:x:1000:\nadm:x:4:www\nlog:x:5:\n"


class Machine:
    """A root directory whose accounts the fake commands change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[str] = []
        for path, text in (("passwd", PASSWD), ("group", GROUP), ("shadow", "ann:!:1::::::\n")):
            (root / "etc").mkdir(exist_ok=True)
            (root / "etc" / path).write_text(text)

    def run(self, argv: list[str]) -> str:
        self.ran.append(" ".join(argv))
        passwd, group = self.root / "etc/passwd", self.root / "etc/group"
        if argv[0] == "usermod" and "--shell" in argv:
            rows = [row.split(":") for row in passwd.read_bytes().decode().split("\n") if row]
            shell = argv[argv.index("--shell") + 1]
            text = "".join(":".join([*f[:6], shell if f[0] == argv[-1] else f[6]]) + "\n" for f in rows)
            passwd.write_bytes(text.encode())
        if argv[0] == "systemd-sysusers":
            for path in argv[1:]:
                for line in Path(path).read_text().splitlines():
                    if line.startswith("m "):
                        _, name, into = line.split()
                        group.write_text(group.read_text().replace(f"{into}:x:5:", f"{into}:x:5:{name}"))
        if argv[0] == "gpasswd":
            group.write_text(group.read_text().replace(f"{argv[3]}:x:5:{argv[2]}", f"{argv[3]}:x:5:"))
        return ""

    def wants(self, *users: dict[str, object]) -> dict[str, str]:
        folder = self.root / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for user in users:
            (folder / f"{user['name']}.account").write_text(json.dumps(user))
            memberships = [f"m {user['name']} {group}\n" for group in user.get("groups", [])]  # type: ignore[attr-defined]
            (folder / f"user-1-{user['name']}.conf").write_text("".join(memberships))
        self.ran.clear()
        return Accounts(self.root, self.run).apply()

    @property
    def changes(self) -> list[str]:
        return [line for line in self.ran if not line.startswith("systemd-sysusers")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_properties_are_changed_and_restored(machine: Machine) -> None:
    machine.wants({"name": "www", "shell": "/bin/false"})
    assert machine.changes == ["usermod --shell /bin/false www"]

    machine.wants({"name": "www", "shell": "/bin/false"})
    assert machine.changes == []

    machine.wants()
    assert machine.changes == ["usermod --shell /bin/sh www"]
    assert json.loads((machine.root / RECORD).read_text()) == {}


def test_only_accounts_that_were_added_to_a_group_are_removed_from_it(machine: Machine) -> None:
    machine.wants({"name": "www", "groups": ["adm", "log"]})
    machine.wants({"name": "www", "groups": []})

    assert machine.changes == ["gpasswd --delete www log"]


def test_a_locked_account_expires_and_is_unlocked_again(machine: Machine) -> None:
    machine.wants({"name": "ann", "absent": True})
    assert machine.changes == ["usermod --expiredate 1 ann"]

    machine.wants({"name": "ann", "absent": True})
    assert machine.changes == []

    machine.wants({"name": "ann", "groups": []})
    assert machine.changes == ["usermod --expiredate  ann"]


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0b", "\x1c", "\r"])
def test_a_user_does_not_escape_by_a_line_end_of_unicode_in_their_own_name(machine: Machine, end: str) -> None:
    """chfn(1) lets a user write most of these; getpwnam(3) takes only a line feed for the end of a line."""
    passwd = machine.root / "etc/passwd"
    passwd.write_bytes(PASSWD.replace("ann:x:1000:1000:", f"ann:x:1000:1000:x{end}root").encode())

    machine.wants({"name": "ann", "absent": True, "shell": "/usr/sbin/nologin"})

    assert machine.changes == ["usermod --shell /usr/sbin/nologin --expiredate 1 ann"]
    assert home_of(machine.root, "ann") == "/home/ann"


def test_a_missing_account_is_not_locked(machine: Machine) -> None:
    assert machine.wants({"name": "gone", "absent": True}) == {}
    assert machine.changes == []


def test_a_number_is_never_changed(machine: Machine) -> None:
    problems = machine.wants({"name": "ann", "uid": 2000})

    assert problems == {"users/ann": "its uid is 1000, and is not changed because files belong to it"}
    assert machine.changes == []


def test_without_a_record_nothing_is_restored(machine: Machine) -> None:
    machine.wants({"name": "www", "groups": ["log"]})
    (machine.root / RECORD).write_text("{")

    assert machine.wants() == {}
    assert machine.changes == []


@pytest.mark.parametrize(
    ("line", "item", "what"),
    [
        ("u web 33", "users/web", "the uid 33 belongs to www"),
        ("u web 4", "users/web", "the gid 4, which the main group of web would get as well, belongs to adm"),
        ("g web 33", "groups/web", "the gid 33 belongs to www"),
        (
            "u ann 2000",
            "users/ann",
            "the user ann exists with the uid 1000, which never changes, as files belong to it",
        ),
    ],
)
def test_nothing_is_made_for_a_number_that_somebody_has(machine: Machine, line: str, item: str, what: str) -> None:
    folder = machine.root / FOLDER
    folder.mkdir(parents=True)
    (folder / "system-0-a.conf").write_text(f"{line}\n")
    (folder / "system-0-b.conf").write_text("g other -\n")

    assert Accounts(machine.root, machine.run).apply() == {item: f"{what}; nothing was made"}
    assert machine.ran == [f"systemd-sysusers {folder}/system-0-b.conf"]


def test_an_account_that_was_made_with_another_number_is_removed_again(machine: Machine) -> None:
    folder = machine.root / FOLDER
    folder.mkdir(parents=True)
    (folder / "system-1-web.conf").write_text("g web 70\nu web 70:web - / -\n")

    def run(argv: list[str]) -> str:
        if argv[0] == "systemd-sysusers":
            with (machine.root / "etc/passwd").open("a") as passwd:
                passwd.write("web:x:994:993::/:/bin/sh\n")
            with (machine.root / "etc/group").open("a") as group:
                group.write("web:x:993:\n")
        return machine.run(argv)

    problems = Accounts(machine.root, run).apply()

    assert machine.changes == ["userdel web", "groupdel web"]
    assert problems["users/web"] == "systemd-sysusers gave it the uid 994 instead of 70; it was removed again"


def test_accounts_whose_previous_state_cannot_be_kept_have_a_problem(tmp_path: Path) -> None:
    Machine(tmp_path).wants({"name": "ann", "shell": "/bin/sh"})
    (tmp_path / RECORD).unlink(missing_ok=True)
    folder = (tmp_path / RECORD).parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")

    assert main(["ordain-users", str(tmp_path)]) == 1

    report = json.loads((tmp_path / REPORTS["users"]).read_bytes())
    assert report["problems"]["users"].startswith("its previous state cannot be kept: ")
