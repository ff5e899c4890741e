"""Generations on disk: they are read as they were written, or not at all, whenever the power is cut."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.errors import DamagedGeneration
from ordain.agent.generation import digest
from ordain.agent.model import Applied, AppliedUnit, Generation, Job, Outcome, Plan, Verb
from ordain.agent.state.history_events import HistoryEvent, record_event
from ordain.agent.state.history_retention import LATEST
from ordain.agent.state.store import BOOTABLE, NotPersistent, Store
from ordain.generator.cache import unpack
from ordain.transforms.artifacts import RegularFile, UnitFile, UnitLink, row
from ordain.transforms.model import Member, OnRemove, Wanted

BOOT = "0123456789abcdef0123456789abcdef"
MACHINE = "fedcba9876543210fedcba9876543210"


def generation(user: str) -> Generation:
    artifacts = (
        RegularFile(path="/etc/web.conf", content="port=80\n", mode=0o640, item="files//etc/web.conf"),
        UnitFile(path="normal/db.service", content="[Service]\nUser=db\n", item="services/db"),
        UnitLink(path="normal/ordain-services.target.wants/web.service", target="../web.service", item="services/web"),
        UnitFile(path="normal/web.service", content=f"[Service]\r\nUser={user}\nDescription=ä\n", item="services/web"),
    )
    members = (
        Member(unit="db.service", item="services/db", wanted=Wanted.RUNNING, ours=True),
        Member(unit="web.service", item="services/web", wanted=Wanted.STOPPED, ours=True, on_remove=OnRemove.KEEP),
    )
    document = {"services": {"web": {"user": user, "limits": {"tasks": 3}}}}
    return Generation(
        hash=digest(document, artifacts, members),
        artifacts=artifacts,
        members=members,
        document=document,
        provenance={"services/web/user": {"layer": "web", "path": "web.yaml", "line": 3, "overrode": []}},
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text(f"{MACHINE}\n")
    return Store(tmp_path)


def history_folder(root: Path) -> Path:
    return root / "var/lib/ordain/generations"


def test_a_saved_generation_is_loaded_unchanged(store: Store) -> None:
    saved, trouble = store.save(generation("a"))

    assert trouble is None
    assert saved == replace(generation("a"), number=1)
    assert store.load(1) == saved
    assert store.load_hash(saved.hash) == saved


def test_only_root_reads_generations_and_boot_caches(store: Store, tmp_path: Path) -> None:
    saved, _ = store.save(generation("www"))
    store.commit_proven(saved)
    store.commit_trial(saved, "boot")

    folders = [tmp_path / "var/lib/ordain/generations", tmp_path / "etc/ordain/boot", tmp_path / "run/ordain/boot"]
    for folder in folders:
        for path in (folder, *(file for file in folder.rglob("*") if file.is_file())):
            assert path.stat().st_mode & 0o077 == 0, path

    handed = tmp_path / "run/ordain/documents"
    handed.mkdir()
    one = tmp_path / "run/ordain/document.json"
    one.write_text("{}")
    one.chmod(0o644)
    for folder in (*folders, handed):
        folder.chmod(0o755)  # as an earlier version left it
    store.restrict_access()
    assert [folder.stat().st_mode & 0o777 for folder in (*folders, handed)] == [0o700] * 4
    assert one.stat().st_mode & 0o777 == 0o600


def test_a_generation_that_equals_the_last_one_gets_no_new_number(store: Store) -> None:
    store.save(generation("a"))

    assert store.save(generation("a"))[0].number == 1


def test_a_generation_that_equals_an_older_one_gets_a_new_number(store: Store) -> None:
    for user in ("a", "b", "a"):
        store.save(generation(user))

    assert [entry.number for entry in store.history()] == [1, 2, 3]
    assert store.load_hash(generation("a").hash).number == 3


def test_the_units_of_a_generation_are_plain_files(store: Store, tmp_path: Path) -> None:
    store.save(generation("a"))

    folder = history_folder(tmp_path) / "1"
    assert (folder / "artifacts/normal/db.service").read_text() == "[Service]\nUser=db\n"
    assert (folder / "artifacts/root/etc/web.conf").read_text() == "port=80\n"
    assert sorted(p.name for p in folder.iterdir()) == [
        "artifacts",
        "document.json",
        "manifest.json",
        "provenance.json",
    ]


def test_a_file_that_did_not_change_is_stored_once(store: Store, tmp_path: Path) -> None:
    store.save(generation("a"))
    store.save(generation("b"))

    first, second = history_folder(tmp_path) / "1", history_folder(tmp_path) / "2"
    assert (first / "artifacts/normal/db.service").samefile(second / "artifacts/normal/db.service")
    assert not (first / "artifacts/normal/web.service").samefile(second / "artifacts/normal/web.service")


@pytest.mark.parametrize(
    "name",
    ["document.json", "provenance.json", "manifest.json", "artifacts/normal/db.service", "artifacts/root/etc/web.conf"],
)
@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "garbage"])
def test_a_damaged_generation_is_reported_and_not_used(store: Store, tmp_path: Path, name: str, damage: str) -> None:
    store.save(generation("a"))
    path = history_folder(tmp_path) / "1" / name
    data = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(data[:-3])
        case "changed":
            path.write_bytes(data.replace(b"web", b"wob").replace(b"db", b"dc").replace(b"80", b"81"))
        case "gone":
            path.unlink()
        case "garbage":
            path.write_bytes(b"\xff\x00[]")

    with pytest.raises(DamagedGeneration, match="generation 1 in "):
        store.load(1)
    with pytest.raises(KeyError):
        store.load_hash(generation("a").hash)
    assert next(str(fault) for fault in store.damaged()).startswith("generation 1 in ")
    assert bool(store.history()[0].damaged) == (name == "manifest.json" and damage != "changed")
    assert store.save(generation("a"))[0].number == 2
    assert store.load(2).hash == generation("a").hash


def test_damage_does_not_spread_to_the_next_generation(store: Store, tmp_path: Path) -> None:
    store.save(generation("a"))
    (history_folder(tmp_path) / "1/artifacts/normal/db.service").write_text("broken")

    store.save(generation("b"))

    assert store.load(2).artifacts == generation("b").artifacts


def test_a_path_outside_of_the_generation_is_refused(store: Store) -> None:
    bad = replace(generation("a"), artifacts=(UnitFile(path="normal/../../../x", content="x"),))

    with pytest.raises(ValueError, match="is outside of the generation"):
        store.save(bad)


def test_the_last_generations_and_those_in_the_boot_directory_are_kept(store: Store) -> None:
    for number in range(LATEST + 5):
        saved, _ = store.save(generation(f"user{number}"))
        if number in (1, 2):
            store.commit_proven(saved)
        if number == 1:
            store.mark_boot_good()

    assert [entry.number for entry in store.history()] == [2, 3, *range(6, LATEST + 6)]
    assert store.save(generation("next"))[0].number == LATEST + 6


def test_numbers_continue_from_the_boot_directory_if_the_history_is_lost(store: Store, tmp_path: Path) -> None:
    for user in ("a", "b"):
        store.commit_proven(store.save(generation(user))[0])
    shutil.rmtree(tmp_path / "var")

    proven = store.proven()

    assert proven is not None
    assert (proven.number, proven.hash) == (2, generation("b").hash)
    assert {a.path: {**row(a), "item": ""} for a in generation("b").artifacts} == {
        a.path: row(a) for a in proven.artifacts
    }
    assert store.save(generation("c"))[0].number == 3


def test_the_number_of_a_generation_that_could_not_be_written_is_not_used_again(store: Store, tmp_path: Path) -> None:
    """A file below a file is one of the reasons why no directory of a generation can be made."""
    store.save(generation("a"))
    artifacts = (RegularFile(path="/a", content=""), RegularFile(path="/a/b", content=""))
    cannot_be = Generation(hash=digest({}, artifacts, ()), artifacts=artifacts)

    numbers = [store.save(each)[0].number for each in (cannot_be, cannot_be, generation("b"), generation("b"))]

    assert numbers == [2, 2, 3, 3]
    assert store.numbers() == (1, 3)
    assert store.save(cannot_be)[0].number == 4
    assert Store(tmp_path).save(cannot_be)[0].number == 4


def test_a_generation_that_is_not_in_the_history_is_whole_in_this_boot(store: Store, tmp_path: Path) -> None:
    """A boot cache has no members, so the status would show no unit, and no administrator could hold one."""
    first, _ = store.save(generation("a"))
    assert store.has_whole(first.hash)
    shutil.rmtree(history_folder(tmp_path))
    history_folder(tmp_path).write_text("no directory")
    unsaved, trouble = store.save(generation("b"))
    assert isinstance(trouble, NotPersistent)
    store.commit_proven(unsaved)

    for other in (store, Store(tmp_path)):
        assert other.known(unsaved.hash) == unsaved
        assert not other.has_whole(unsaved.hash)
    (kept,) = (tmp_path / "run/ordain/unsaved").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700

    history_folder(tmp_path).unlink()
    assert store.save(generation("b")) == (unsaved, None)
    assert store.has_whole(unsaved.hash)


def test_a_number_in_the_events_is_not_used_again(store: Store, tmp_path: Path) -> None:
    """After a reboot, they may be all that is known of a generation that could not be written."""
    record_event(tmp_path, HistoryEvent(time="2026-11-28T12:00:00+00:00", generation=4, rejected=5))

    assert store.save(generation("a"))[0].number == 6


def test_a_proven_generation_is_bound_to_the_machine_but_not_to_a_boot(store: Store, tmp_path: Path) -> None:
    saved, _ = store.save(generation("a"))

    assert store.proven() is None
    assert store.commit_proven(saved) is None
    cache = unpack((tmp_path / "etc/ordain/boot/current").read_bytes())
    assert (cache.number, cache.hash, cache.machine_id, cache.boot_id) == (1, saved.hash, MACHINE, "")
    assert [entry[0] for entry in cache.entries] == [
        "normal/db.service",
        "normal/web.service",
        "normal/ordain-services.target.wants/web.service",
    ]
    assert store.proven() == saved
    assert stat.S_IMODE((tmp_path / "etc/ordain/boot/current").stat().st_mode) & 0o022 == 0


def test_a_trial_is_valid_only_in_its_boot(store: Store) -> None:
    saved, _ = store.save(generation("a"))

    assert store.trial(BOOT) is None
    store.commit_trial(saved, BOOT)
    assert store.trial(BOOT) == saved
    assert store.trial("0" * 32) is None
    assert store.proven() is None


def test_the_boot_directory_has_the_last_proven_generations_by_number(store: Store, tmp_path: Path) -> None:
    for number in range(BOOTABLE + 2):
        store.commit_proven(store.save(generation(f"user{number}"))[0])

    assert sorted(p.name for p in (tmp_path / "etc/ordain/boot").iterdir()) == ["3", "4", "5", "current"]


def test_the_fallback_changes_only_after_a_good_boot(store: Store) -> None:
    first, _ = store.save(generation("a"))
    store.commit_proven(first)
    with pytest.raises(KeyError):
        store.mark_boot_good("no such hash")
    assert store.fallback() is None

    assert store.mark_boot_good() is None
    store.commit_proven(store.save(generation("b"))[0])
    assert store.fallback() == first

    assert store.mark_boot_good(first.hash) is None
    assert store.fallback() == first


def test_a_damaged_boot_cache_is_reported(store: Store, tmp_path: Path) -> None:
    store.commit_proven(store.save(generation("a"))[0])
    (tmp_path / "etc/ordain/boot/current").write_bytes(b"ordain-cache 1 garbage")

    with pytest.raises(DamagedGeneration, match="etc/ordain/boot/current"):
        store.proven()


def test_the_record_of_an_apply_is_read_back(store: Store, tmp_path: Path) -> None:
    applied = Applied(number=3, hash="c0ffee", units={"web.service": AppliedUnit(hash="ab", invocation_id="cd")})

    assert store.read_applied() is None
    store.write_applied(applied)
    assert store.read_applied() == applied
    (tmp_path / "run/ordain/applied.json").write_text('{"number": 3, "units": []}')
    assert store.read_applied() is None


def test_the_outcome_of_an_apply_is_stored_with_its_generation(store: Store) -> None:
    saved, _ = store.save(generation("a"))
    job = Job(unit="web.service", verb=Verb.RESTART, reason="changed")
    outcome = Outcome(generation=saved.number, hash=saved.hash, plan=Plan(to_hash=saved.hash, jobs=(job,)))

    assert store.outcome(saved.number) is None
    store.save_outcome(outcome)
    assert store.outcome(saved.number) == outcome
    assert store.load(saved.number) == saved
    bad = Outcome(generation=saved.number, hash="", plan=Plan(), rejected=saved.number + 1)
    store.save_outcome(bad)  # belongs to the generation that was rolled back, so this one keeps its own
    assert store.outcome(saved.number) == outcome
    store.save_outcome(Outcome(generation=99, hash="", plan=Plan()))
    assert store.outcome(99) is None


BROKEN, DONE = 77, 78
FAULTS = ("open", "write", "fsync", "rename", "link", "mkdir", "unlink")


class Disk:
    """A version of `os` with a fault at one step, counted over all calls that change the disk.

    With ``power``, the process dies at that step, and everything that was not synced is lost: the content of files, and
    with ``names`` also names in directories. Without ``power``, this step and every later one raise ``ENOSPC``. The
    calls that succeed change the real disk.
    """

    def __init__(self, at: int, *, power: bool, names: bool = False) -> None:
        self.at, self.power, self.names = at, power, names
        self.step = 0
        self.unsynced: dict[int, int] = {}
        self.undo: list[tuple[str, Callable[[], object]]] = []
        self.real = {name: getattr(os, name) for name in FAULTS}

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in FAULTS:
            patch.setattr(os, name, self._faulty(name))

    def _faulty(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return self.real["open"](*args, **kwargs)
            self.step += 1
            if self.step >= self.at:
                if not self.power:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if name == "write":
                    self.real["write"](args[0], args[1][: len(args[1]) // 2])
                self.die()
            before = self._before(name, args)
            result = self.real[name](*args, **kwargs)
            self._after(name, args, result, before)
            return result

        return call

    def _before(self, name: str, args: tuple[Any, ...]) -> bytes | None:
        if name == "rename" and Path(args[1]).is_file():
            return Path(args[1]).read_bytes()
        if name == "unlink" and Path(args[0]).is_file():
            return Path(args[0]).read_bytes()
        return None

    def _after(self, name: str, args: tuple[Any, ...], result: Any, before: bytes | None) -> None:
        unlink, rename = self.real["unlink"], self.real["rename"]
        match name:
            case "open":
                self.unsynced[os.fstat(result).st_ino] = os.dup(result)
                self._named(args[0], lambda: unlink(args[0]))
            case "fsync":
                path = str(Path(f"/proc/self/fd/{args[0]}").readlink())
                self.unsynced.pop(os.fstat(args[0]).st_ino, None)
                self.undo = [(folder, undo) for folder, undo in self.undo if folder != path]
            case "rename":
                self._named(args[1], lambda: rename(args[1], args[0]))
                if before is not None:
                    self.undo.insert(-1, (self.undo[-1][0], lambda: self._put(args[1], before)))
            case "link":
                self._named(args[1], lambda: unlink(args[1]))
            case "mkdir":
                self._named(args[0], lambda: shutil.rmtree(args[0]))
            case "unlink" if before is not None:
                self._named(args[0], lambda: self._put(args[0], before))

    def _named(self, path: Any, undo: Callable[[], object]) -> None:
        self.undo.append((str(Path(path).parent), undo))

    def _put(self, path: Any, data: bytes) -> None:
        descriptor = self.real["open"](path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.real["write"](descriptor, data)

    def die(self, status: int = BROKEN) -> None:
        for name, real in self.real.items():
            setattr(os, name, real)
        for descriptor in self.unsynced.values():
            os.ftruncate(descriptor, 0)
        if self.names:
            for _, undo in reversed(self.undo):
                undo()
        os._exit(status)


def broken_at_every_step(
    root: Path, work: Callable[[Store], object], check: Callable[[Store, bool], object], disk: Callable[[int], Disk]
) -> int:
    """Run ``work`` on copies of ``root``, with a fault at each step in turn, and finally after the last step.

    Call ``check`` on each result; its second argument tells whether all steps were done. Return the number of steps.
    """
    step = 0
    while True:
        step += 1
        copy = root.with_name(f"{root.name}-{step}")
        shutil.copytree(root, copy, symlinks=True)
        child = os.fork()
        if child == 0:
            faulty = disk(step)
            try:
                faulty.install(pytest.MonkeyPatch())
                work(Store(copy))
                if faulty.step < step and faulty.power:
                    faulty.die(DONE)
                os._exit(DONE if faulty.step < step else BROKEN)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (DONE, BROKEN)
        check(Store(copy), status == DONE)
        shutil.rmtree(copy)
        if status == DONE:
            return step


DISKS = {
    "killed": lambda step: Disk(step, power=True),
    "power cut, unsynced names lost": lambda step: Disk(step, power=True, names=True),
    "disk full": lambda step: Disk(step, power=False),
}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """Return a directory in memory, where the hundreds of syncs cost nothing; `Disk` decides which of them count."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def machine(memory: Path) -> Path:
    root = memory / "machine"
    root.mkdir()
    first, _ = Store(root).save(generation("a"))
    Store(root).commit_proven(first)
    Store(root).mark_boot_good()
    return root


@pytest.mark.parametrize("disk", DISKS.values(), ids=DISKS)
@pytest.mark.thorough
def test_a_fault_at_any_step_of_a_save_leaves_the_old_or_the_new(machine: Path, disk: Callable[[int], Disk]) -> None:
    def check(store: Store, done: bool) -> None:
        assert [entry.damaged for entry in store.history()] in ([["", ""]] if done else [[""], ["", ""]])
        assert store.load(1).artifacts == generation("a").artifacts
        saved, trouble = store.save(generation("b"))
        assert (saved.number, trouble) == (2, None)
        assert store.load(2) == saved

    assert broken_at_every_step(machine, lambda s: s.save(generation("b")), check, disk) > 20


@pytest.mark.parametrize("disk", DISKS.values(), ids=DISKS)
@pytest.mark.thorough
def test_a_fault_at_any_step_of_a_first_save_leaves_nothing_or_the_new(
    memory: Path, disk: Callable[[int], Disk]
) -> None:
    root = memory / "machine"
    root.mkdir()

    def check(store: Store, done: bool) -> None:
        assert [entry.damaged for entry in store.history()] in ([[""]] if done else [[], [""]])
        assert store.save(generation("a"))[0].number == 1
        assert store.load(1).hash == generation("a").hash

    assert broken_at_every_step(root, lambda s: s.save(generation("a")), check, disk) > 20


@pytest.mark.parametrize("disk", DISKS.values(), ids=DISKS)
def test_a_fault_at_any_step_of_a_commit_leaves_a_proven_generation_and_the_fallback(
    machine: Path, disk: Callable[[int], Disk]
) -> None:
    second, _ = Store(machine).save(generation("b"))
    hashes = {generation("a").hash, second.hash}

    def check(store: Store, done: bool) -> None:
        proven, fallback = store.proven(), store.fallback()
        assert proven is not None
        assert proven.hash in ({second.hash} if done else hashes)
        assert fallback is not None
        assert fallback.hash == generation("a").hash
        assert store.commit_proven(second) is None
        assert store.proven() == second

    assert broken_at_every_step(machine, lambda s: s.commit_proven(second), check, disk) > 5


@pytest.mark.parametrize("disk", DISKS.values(), ids=DISKS)
def test_a_fault_at_any_step_of_marking_a_boot_good_leaves_a_fallback(
    machine: Path, disk: Callable[[int], Disk]
) -> None:
    second, _ = Store(machine).save(generation("b"))
    Store(machine).commit_proven(second)

    def check(store: Store, done: bool) -> None:
        fallback = store.fallback()
        assert fallback is not None
        assert fallback.hash in ({second.hash} if done else {generation("a").hash, second.hash})

    assert broken_at_every_step(machine, lambda s: s.mark_boot_good(), check, disk) > 3


def test_a_generation_whose_boots_fail_is_replaced_and_may_be_proven_again(
    machine: Path,
) -> None:
    store = Store(machine)
    second, _ = store.save(generation("b"))
    store.commit_proven(second)
    attempts = machine / "etc/ordain/boot/attempts"
    attempts.write_text(f"{second.hash} 1\nother 2\n{second.hash} 3\n")

    store.mark_boot_good(generation("a").hash, tried={second.hash})
    demoted = store.proven()
    counted = attempts.read_text()
    attempts.write_text(f"{second.hash} 1\nother 2\n{second.hash} 3\n")
    store.commit_proven(second)

    assert demoted is not None
    assert demoted.hash == generation("a").hash
    assert counted == "other 2\n"
    assert attempts.read_text() == "other 2\n"


def test_a_full_disk_is_reported_with_the_path(machine: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    second, _ = Store(machine).save(generation("b"))
    with monkeypatch.context() as patch:
        Disk(1, power=False).install(patch)
        saved, save_trouble = Store(machine).save(generation("c"))
        commit_trouble = Store(machine).commit_proven(second)
        mark_trouble = Store(machine).mark_boot_good()

    assert saved.number == 3
    for trouble, where in ((save_trouble, "generations"), (commit_trouble, "boot"), (mark_trouble, "boot")):
        assert isinstance(trouble, NotPersistent)
        assert where in trouble.what
        assert "No space left on device" in trouble.what


ODD: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a directory": Path.mkdir,
    "a socket": lambda path: os.mknod(path, 0o600 | stat.S_IFSOCK),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a file of users": lambda path: os.chmod(path, 0o666 + 0 * path.write_bytes(b"garbage")),  # noqa: PTH101
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_whatever_is_in_place_of_a_proven_cache_is_replaced_by_the_next_commit(
    store: Store, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    saved, _ = store.save(generation("a"))
    store.commit_proven(saved)
    for name in ("current", "1"):
        (tmp_path / "etc/ordain/boot" / name).unlink()
        make(tmp_path / "etc/ordain/boot" / name)

    assert store.never_proven()
    with pytest.raises(KeyError):
        store.mark_boot_good(saved.hash)
    assert store.commit_proven(saved) is None
    assert store.proven_hash() == saved.hash
    assert store.mark_boot_good(saved.hash) is None


def test_a_cache_that_another_process_replaced_is_read_again(store: Store, tmp_path: Path) -> None:
    """Use two stores on one disk, like an agent and an ordainctl that runs without it."""
    ours, theirs = Store(tmp_path), store
    first, second = (theirs.save(generation(str(number)))[0] for number in (1, 2))
    for wanted in (first, second, first):
        theirs.commit_proven(wanted)
        found = ours.proven()
        assert found is not None
        assert found.hash == wanted.hash
    (tmp_path / "etc/ordain/boot/current").write_bytes(b"nonsense")
    with pytest.raises(DamagedGeneration):
        ours.proven()
