"""Files of a generation that are placed and restored: previous files, links, owners, crashes, changes by others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ordain.agent.generation import digest
from ordain.agent.model import Generation
from ordain.agent.state.store import Store
from ordain.generator import files, safe_tree
from ordain.generator.cache import Cache, CacheError, pack, unpack
from ordain.generator.files import FilePlacement, PlacementReport
from ordain.transforms.artifacts import (
    AbsentFile,
    CredentialFile,
    OnFileRemove,
    PlacedDirectory,
    PlacedFile,
    RegularFile,
    SymbolicLink,
)
from ordain.transforms.forbidden_paths import why_forbidden

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files get owners")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:4711:4712::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nweb:x:4712:\n")
    return tmp_path


def place(root: Path, *wanted: PlacedFile) -> PlacementReport:
    return FilePlacement(root, "main").run(wanted)


def text(path: Path) -> tuple[str, int]:
    return path.read_text(), path.stat().st_mode & 0o7777


@pytest.mark.parametrize("act", ["edit", "delete"])
def test_a_file_that_a_held_service_uses_stays_as_an_administrator_left_it(root: Path, act: str) -> None:
    old, new = (RegularFile(path="/etc/a", content=text) for text in ("1", "2"))
    place(root, old)
    edited = root / "etc/a"
    if act == "edit":
        edited.write_text("mine")
    else:
        edited.unlink()
    (root / files.HELD).parent.mkdir(parents=True)
    (root / files.HELD).write_text('["/etc/a"]')

    report = place(root, new)
    assert "kept" in report.notes["/etc/a"]
    assert (edited.read_text() if edited.exists() else None) == ("mine" if act == "edit" else None)

    (root / files.HELD).unlink()
    place(root, new)
    assert edited.read_text() == "2"


ODD = {
    "an empty directory": Path.mkdir,
    "a directory with files": lambda path: (path / "inner").mkdir(parents=True),
    "a FIFO": os.mkfifo,
    "a link": lambda path: path.symlink_to("/etc/passwd"),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
@pytest.mark.parametrize("wanted", ["file", "directory", "link"])
def test_anything_in_place_of_ours_is_replaced(root: Path, make: Callable[[Path], object], wanted: str) -> None:
    ours: dict[str, PlacedFile] = {
        "file": RegularFile(path="/etc/a", content="ours"),
        "directory": PlacedDirectory(path="/etc/a"),
        "link": SymbolicLink(path="/etc/a", target="b"),
    }
    place(root, ours[wanted])
    path = root / "etc/a"
    path.rmdir() if wanted == "directory" else path.unlink()
    make(path)

    problems = place(root, ours[wanted]).problems

    if wanted != "directory" and (path / "inner").is_dir():
        assert problems == {"/etc/a": "a directory with files of others is at this path; move it away"}
        (path / "inner").rmdir()
        problems = place(root, ours[wanted]).problems
    assert problems == {}
    assert (path.is_symlink(), path.is_dir()) == (wanted == "link", wanted == "directory")


def test_a_held_service_gets_a_file_that_nobody_has_changed(root: Path) -> None:
    (root / files.HELD).parent.mkdir(parents=True)
    (root / files.HELD).write_text('["/etc/a"]')
    for content in ("1", "2"):
        place(root, RegularFile(path="/etc/a", content=content))
        assert (root / "etc/a").read_text() == content


def test_files_are_read_as_they_were_written() -> None:
    wanted = (
        RegularFile(path="/etc/a", content="ä\n", mode=0o600, owner="web"),
        SymbolicLink(path="/run/b", target="/etc/a"),
    )
    cache = unpack(pack(Cache(entries=[("normal/a.target", 0o644, b"[Unit]\n", None)], files=files.write(wanted))))

    assert files.read(cache.files) == wanted
    assert [entry[0] for entry in cache.entries] == ["normal/a.target"]
    assert files.read(unpack(pack(Cache(entries=[], files=files.write(wanted)))).files) == wanted
    with pytest.raises(CacheError):
        files.read(b'[{"path": "/etc/a", "colour": 1}]')


def test_a_file_is_placed_with_its_owner_and_the_directories_above_it(root: Path) -> None:
    report = place(root, RegularFile(path="/etc/app/conf.d/a", content="a", mode=0o640, owner="web", group="web"))

    placed = root / "etc/app/conf.d/a"
    assert report.problems == {}
    assert text(placed) == ("a", 0o640)
    assert (placed.stat().st_uid, placed.stat().st_gid) == (4711, 4712)
    assert [path.name for path in placed.parent.iterdir()] == ["a"], "nothing beside it"

    place(root)
    assert not (root / "etc/app").exists()


def test_a_directory_that_others_use_is_kept(root: Path) -> None:
    place(root, PlacedDirectory(path="/etc/app"), RegularFile(path="/etc/app/a", content="a"))
    (root / "etc/app/theirs").touch()

    report = place(root)

    assert [path.name for path in (root / "etc/app").iterdir()] == ["theirs"]
    assert (report.problems, report.notes) == ({}, {"/etc/app": "is not empty, so it is kept"})


@pytest.mark.parametrize("changes", [1, 3])
def test_the_previous_file_is_restored_with_its_mode_and_owner(root: Path, changes: int) -> None:
    motd = root / "etc/motd"
    motd.write_text("theirs")
    motd.chmod(0o600)
    os.chown(motd, 4711, 4712)

    for number in range(changes):
        place(root, RegularFile(path="/etc/motd", content=f"ours {number}"))
        assert text(motd) == (f"ours {number}", 0o644)
    place(root)

    assert text(motd) == ("theirs", 0o600)
    assert (motd.stat().st_uid, motd.stat().st_gid) == (4711, 4712)
    assert list((root / "var/lib/ordain/files/backup").iterdir()) == []


def test_a_link_is_replaced_without_being_followed_and_is_restored(root: Path) -> None:
    (root / "etc/target").write_text("target")
    (root / "etc/resolv.conf").symlink_to("target")

    place(root, RegularFile(path="/etc/resolv.conf", content="ours"))

    assert not (root / "etc/resolv.conf").is_symlink()
    assert (root / "etc/target").read_text() == "target"
    place(root)
    assert (root / "etc/resolv.conf").readlink() == Path("target")


def test_links_in_a_path_are_refused(root: Path) -> None:
    (root / "home").mkdir()
    (root / "home/.ssh").symlink_to("../etc")

    report = place(
        root, RegularFile(path="/home/.ssh/authorized_keys", content="key"), RegularFile(path="/etc/good", content="")
    )

    assert "/home/.ssh is a link to ../etc" in report.problems["/home/.ssh/authorized_keys"]
    assert not (root / "etc/authorized_keys").exists()
    assert (root / "etc/good").exists(), "one that cannot be costs no other"


def test_an_absent_file_is_restored(root: Path) -> None:
    (root / "etc/default").write_text("theirs")

    place(root, AbsentFile(path="/etc/default"))
    assert not (root / "etc/default").exists()

    place(root)
    assert (root / "etc/default").read_text() == "theirs"


def test_a_file_with_on_remove_keep_is_kept(root: Path) -> None:
    place(root, RegularFile(path="/etc/a", content="ours", on_remove=OnFileRemove.KEEP))
    place(root)

    assert (root / "etc/a").read_text() == "ours"
    assert json.loads((root / "var/lib/ordain/files/placed.json").read_text()) == {}


def test_a_change_by_others_is_replaced_while_the_documents_have_the_file_and_kept_afterwards(root: Path) -> None:
    wanted = RegularFile(path="/etc/a", content="ours")
    place(root, wanted)
    (root / "etc/a").write_text("by somebody else")

    report = place(root, wanted)
    assert (root / "etc/a").read_text() == "ours"
    assert "changed by somebody else" in report.notes["/etc/a"]

    (root / "etc/a").write_text("by somebody else")
    report = place(root)
    assert (root / "etc/a").read_text() == "by somebody else"
    assert "changed after it was placed" in report.notes["/etc/a"]
    assert place(root) == PlacementReport(), "a later run has nothing to do"


def test_a_correct_file_is_not_touched(root: Path) -> None:
    wanted = RegularFile(path="/etc/a", content="ours")
    place(root, wanted)
    before = (root / "etc/a").stat()

    place(root, wanted)

    after = (root / "etc/a").stat()
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)


@pytest.mark.parametrize("calls", range(1, 4))
def test_a_run_after_a_power_cut_completes_the_work(root: Path, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (root / "etc" / name).write_text("theirs")
    wanted = [RegularFile(path=f"/etc/{name}", content="ours") for name in "abc"]
    real, left = safe_tree.write_state, [calls]

    def cut(*arguments: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(safe_tree, "write_state", cut)
    with pytest.raises(KeyboardInterrupt):
        place(root, *wanted)
    monkeypatch.undo()

    place(root, *wanted)
    assert [(root / "etc" / name).read_text() for name in "abc"] == ["ours"] * 3
    place(root)
    assert [(root / "etc" / name).read_text() for name in "abc"] == ["theirs"] * 3


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (RegularFile(path="/etc/passwd", content=""), "the machine depends on /etc/passwd"),
        (RegularFile(path="/proc/sys/kernel/x", content=""), "no file may be placed in /proc"),
        (RegularFile(path="/etc/../etc/shadow", content=""), "is not an absolute path"),
        (RegularFile(path="/etc/a", content="", owner="nobody-here"), "there is no user nobody-here"),
        (RegularFile(path="/etc/a", content="", group="nobody-here"), "there is no group nobody-here"),
        (CredentialFile(path="/etc/a", credential="key"), "this machine has no credential key"),
        (RegularFile(path="/etc/a", content="", mount="/srv"), "/srv is not mounted"),
        (RegularFile(path="/etc/folder", content=""), "a directory is at this path"),
        (AbsentFile(path="/etc/folder"), "a directory is at this path, and only"),
        (RegularFile(path="/etc/passwd/a", content=""), "/etc/passwd is not a directory"),
        (PlacedDirectory(path="/etc/group"), "the machine depends on"),
    ],
)
def test_a_file_that_cannot_be_placed_is_reported_and_leaves_no_trace(root: Path, file: PlacedFile, why: str) -> None:
    (root / "etc/folder").mkdir()
    before = sorted((root / "etc").rglob("*"))

    report = place(root, file)

    assert why in report.problems[file.path]
    assert sorted((root / "etc").rglob("*")) == before


@pytest.mark.parametrize("obstacle", ["file", "link"])
def test_a_file_that_no_document_names_is_forgotten_if_something_else_is_above_it(root: Path, obstacle: str) -> None:
    """Otherwise it would be reported at each later run. The file of others stays."""
    file, above = RegularFile(path="/etc/a/b", content="x"), root / "etc/a"
    place(root, file)
    above.rename(root / "etc/elsewhere")
    above.write_text("theirs") if obstacle == "file" else above.symlink_to("elsewhere")
    assert "/etc/a is " in place(root, file).problems["/etc/a/b"]

    assert place(root).problems == {}
    assert os.path.lexists(above)


def test_a_file_below_a_file_of_the_same_documents_is_reported_only_while_they_name_it(root: Path) -> None:
    file, below = RegularFile(path="/etc/a", content="x"), RegularFile(path="/etc/a/b", content="x")

    assert place(root, file, below).problems == {"/etc/a/b": "/etc/a is not a directory"}
    assert place(root, file).problems == {}
    assert (root / "etc/a").read_text() == "x"


@pytest.mark.parametrize("folder", ["run/credentials/@system", "run/ordain/credentials/@system", "etc/credstore"])
def test_a_file_is_made_of_a_credential_of_the_machine_or_of_the_boot(root: Path, folder: str) -> None:
    (root / folder).mkdir(parents=True)
    (root / folder / "key").write_text("secret")

    place(root, CredentialFile(path="/etc/a", credential="key", mode=0o600))

    assert text(root / "etc/a") == ("secret", 0o600)


def test_a_placed_file_is_kept_if_it_cannot_be_placed_again(root: Path) -> None:
    (root / "etc/credstore").mkdir()
    (root / "etc/credstore/key").write_text("secret")
    wanted = CredentialFile(path="/etc/a", credential="key", mode=0o600)
    place(root, wanted)
    (root / "etc/credstore/key").unlink()

    report = place(root, wanted)

    assert "no credential key" in report.problems["/etc/a"]
    assert text(root / "etc/a") == ("secret", 0o600)


def test_a_damaged_record_is_reported_and_does_no_harm(root: Path) -> None:
    place(root, RegularFile(path="/etc/a", content="ours"))
    (root / "var/lib/ordain/files/placed.json").write_text('{"/etc/a": {}}')

    report = place(root, RegularFile(path="/etc/a", content="ours"))

    assert report.problems == {}
    assert any("damaged" in note for note in report.notes.values())
    assert (root / "etc/a").read_text() == "ours"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/etc", "/etc/", "/etc/fstab", "/dev/null", "/etc/systemd/system/a.service", "/etc/nsswitch.conf"),
        *("/etc/pam.d/login", "/bin/sh", "/usr/bin/bash", "/usr/lib/systemd/systemd", "/lib64/ld-linux-x86-64.so.2"),
        *("/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/ordain/0.1.0/a.py", "/etc/systemd/system-generators/a"),
        *("/run/systemd/transient/a.service", "/etc/systemd/system.control/a", "/run/systemd/generator.late/a"),
        *("/run/ordain/sysusers/a.account", "/run/ordain/journal"),
    ],
)
def test_vital_paths_are_refused(path: str) -> None:
    assert why_forbidden(path)[0]


def test_only_the_sections_of_accounts_make_files_for_ordain_users() -> None:
    assert why_forbidden("/run/ordain/sysusers/a.account", by_section=True) == ("", "")
    assert why_forbidden("/run/ordain/journal", by_section=True)[0]


@pytest.mark.parametrize(
    "path",
    ["/etc/a", "/usr/lib/app/libc.so.6", "/etc/systemd/network/a.network", "/home/a/.ssh/authorized_keys", "/run/a"],
)
def test_other_paths_are_accepted(path: str) -> None:
    assert why_forbidden(path) == ("", "")


def test_every_kind_of_file_is_stored_in_the_history(tmp_path: Path) -> None:
    artifacts = (
        AbsentFile(path="/etc/absent"),
        RegularFile(path="/etc/empty", content=""),
        CredentialFile(path="/etc/key", credential="key"),
        SymbolicLink(path="/etc/link", target="/etc/empty"),
        PlacedDirectory(path="/home/a", owner="a"),
        RegularFile(path="/home/a/b", content="b"),
    )
    store = Store(tmp_path)
    saved, _ = store.save(Generation(hash=digest({}, artifacts, ()), artifacts=artifacts))

    assert store.load(saved.number) == saved


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the owner of a directory")
@pytest.mark.parametrize("obstacle", ["link", "directory", "sparse file"])
def test_an_obstacle_in_a_directory_of_a_user_is_reported_with_the_user(root: Path, obstacle: str) -> None:
    (root / "etc/passwd").write_text("alice:x:2001:2001::/home/alice:/bin/sh\n")
    (root / "etc/group").write_text("alice:x:2001:\n")
    ssh = root / "home/alice/.ssh"
    ssh.parent.mkdir(parents=True)
    if obstacle == "link":
        ssh.symlink_to("/tmp")
    elif obstacle == "directory":
        (ssh / "keys").mkdir(parents=True)
    else:
        ssh.mkdir()
        with (ssh / "keys").open("wb") as file:
            file.truncate(1 << 40)
    os.chown(ssh.parent, 2001, 2001)

    wanted = RegularFile(path="/home/alice/.ssh/keys", content="key", owner="alice", group="alice")
    report = place(root, wanted, RegularFile(path="/etc/a", content="a"))

    assert report.users == {"/home/alice/.ssh/keys": "alice"}
    assert "user alice can change" in report.problems["/home/alice/.ssh/keys"]
    assert (root / "etc/a").read_text() == "a"


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the owner of a directory")
def test_root_places_no_file_of_its_own_in_a_directory_of_a_user(root: Path) -> None:
    (root / "etc/passwd").write_text("alice:x:2001:2001::/home/alice:/bin/sh\n")
    (root / "etc/group").write_text("alice:x:2001:\n")
    (root / "srv/app").mkdir(parents=True)
    os.chown(root / "srv/app", 2001, 2001)

    report = place(root, RegularFile(path="/srv/app/a", content="a"))
    assert "set `owner: alice`" in report.problems["/srv/app/a"]
    assert not (root / "srv/app/a").exists()

    report = place(root, RegularFile(path="/srv/app/b/a", content="a", owner="alice", group="alice"))
    assert report.problems == {}
    assert (root / "srv/app/b").stat().st_uid == 2001


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the owner of a directory")
@pytest.mark.parametrize("owners", [(2001, 0), (2001, 2002), (2001, 2002, 2001), (0, 2001, 0)])
def test_a_directory_of_a_user_that_holds_one_of_another_is_not_entered(root: Path, owners: tuple[int, ...]) -> None:
    (root / "etc/passwd").write_text("alice:x:2001:2001::/home/alice:/bin/sh\n")
    (root / "etc/group").write_text("alice:x:2001:\n")
    folder = root / "srv"
    folder.mkdir()
    for depth, owner in enumerate(owners):
        folder /= str(depth)
        folder.mkdir()
        os.chown(folder, owner, owner)

    path = f"/{(folder / 'a').relative_to(root)}"
    report = place(root, RegularFile(path=path, content="a", owner="alice", group="alice"))

    assert "belong to different users; user alice can change" in report.problems[path]
    assert report.users == {path: "alice"}
    assert not (folder / "a").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the owner of a directory")
def test_a_directory_that_was_exchanged_after_the_check_gets_no_file_of_another(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "srv/app").mkdir(parents=True)
    monkeypatch.setattr(safe_tree, "user_above", lambda *_: 0)
    os.chown(root / "srv/app", 2001, 2001)

    report = place(root, RegularFile(path="/srv/app/a", content="a"))

    assert "belongs to another user" in report.problems["/srv/app/a"]
    assert not (root / "srv/app/a").exists()


def test_no_file_is_placed_if_its_previous_state_cannot_be_kept(root: Path) -> None:
    (root / "etc/motd").write_text("old")
    wanted = [RegularFile(path="/etc/motd", content="new"), RegularFile(path="/etc/other", content="new")]
    (root / "var").write_text("in the way")

    report = place(root, *wanted)

    reason = f"its previous state cannot be kept: {root}/var/lib/ordain/files/placed.json: Not a directory"
    assert report.problems == {"/etc/motd": reason, "/etc/other": reason}
    assert (root / "etc/motd").read_text() == "old"
    assert not (root / "etc/other").exists()
