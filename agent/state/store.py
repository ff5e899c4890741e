"""Generations on disk, and the boot caches that the generator reads.

    root/var/lib/ordain/generations/N/          the history, thinned by age (`history_retention`)
    root/var/lib/ordain/events                  what happened, by whom and when (`history_events`)
    root/etc/ordain/boot/{N,current,fallback}   proven generations as boot caches
    root/run/ordain/boot/current                the trial of this boot
    root/run/ordain/boot/handed                 made in this boot before the agent started, or delivered with the boot
    root/run/ordain/boot/handed.json            the same generation as a whole, if it was made in this boot
    root/run/ordain/applied.json                the running processes: definition and InvocationID by unit
    root/run/ordain/unsaved.json                number and hash of the last one that is not in the history
    root/run/ordain/unsaved/HASH                that generation, and the one before it, as a whole

A power cut at any moment leaves the old or the new file. If a file cannot be written, the result is a `NotPersistent`:
the apply continues, and lasts until the next boot.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ordain.agent.errors import DamagedGeneration
from ordain.agent.generation import canonical
from ordain.agent.json_codec import from_json
from ordain.agent.model import Applied, Generation, Outcome, to_json
from ordain.agent.state import generation_dir as history
from ordain.agent.state import generation_file
from ordain.agent.state.boot_record import boot_id, placed_hash
from ordain.agent.state.history_events import HistoryEvent, event_of, read_events, record_event
from ordain.agent.state.history_retention import KeptGeneration, retained
from ordain.agent.state.holds import with_machine_holds
from ordain.agent.system import atomic_files
from ordain.agent.system.cached_file import CachedFile
from ordain.generator import files
from ordain.generator.cache import Cache, CacheError, pack, unpack
from ordain.generator.choose import BASELINE, HANDED, read_trusted
from ordain.generator.first_boot import HANDED_DIRECTORY, HANDED_OVER
from ordain.transforms.artifacts import Artifact, PlacedFile, UnitFile, UnitLink

if TYPE_CHECKING:
    from ordain.generator.cache import Entry

BOOTABLE = 3
"""The number of numbered, proven generations in the boot directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPersistent:
    """A file could not be written where it would survive a reboot; ``what`` says where and why."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One line of the history. ``saved`` is ISO 8601, UTC; ``damaged`` is why it cannot be read, else ``""``."""

    number: int
    hash: str = ""
    saved: str = ""
    damaged: str = ""


class Store:
    """The generations of the machine below ``root``.

    The last two generations stay in memory, because an apply leads from one to the other. `release_memory` drops all
    but one, which every status needs.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._history = root / "var/lib/ordain/generations"
        self._boot = root / "etc/ordain/boot"
        self._trial = root / "run/ordain/boot/current"
        self._handed = root / HANDED.lstrip("/")
        self._handed_whole = self._handed.with_name(f"{self._handed.name}.json")
        self._baseline = root / BASELINE.lstrip("/")
        self._applied = root / "run/ordain/applied.json"
        self._unsaved = root / "run/ordain/unsaved.json"
        self._unsaved_folder = root / "run/ordain/unsaved"
        self._unsaved_in_memory: dict[str, Generation] = {}
        self._machine_id = root / "etc/machine-id"
        self._in_memory: dict[int, tuple[tuple[int, int], Generation]] = {}
        self._heads: dict[Path, CachedFile[Cache]] = {}
        self._hashes: dict[int, CachedFile[str]] = {}
        self._read_applied = CachedFile(self._applied, lambda data: from_json(Applied, json.loads(data)))

    def restrict_access(self) -> None:
        """Take the access of others to generations, boot caches and documents of the boot. Errors are ignored.

        Earlier versions gave it, and so does an initrd that an earlier version has made. A file in a directory that
        others cannot enter needs no other mode.
        """
        documents = [self._root / path.lstrip("/") for path in (HANDED_DIRECTORY, *HANDED_OVER)]
        for path in (self._history, self._boot, self._trial.parent, *documents):
            with contextlib.suppress(OSError):
                if (mode := path.stat().st_mode) & 0o077:
                    path.chmod(mode & 0o7700)

    def save(self, generation: Generation) -> tuple[Generation, NotPersistent | None]:
        """Write ``generation`` to the history, and return it with its number.

        A generation that equals the last one is not written again. One that equals an older one gets a new number, so
        that the history shows everything that happened, in order. No number is used twice, also if the generation that
        had it could not be written.
        """
        numbers = self._numbers()
        last = self._folder(numbers[-1]) if numbers else None
        if last:
            with contextlib.suppress(DamagedGeneration):
                if self._hash_of(numbers[-1]) == generation.hash:
                    return self.load(numbers[-1]), None
        number = self._new_number(numbers, generation.hash)
        numbered = replace(generation, number=number)
        try:
            history.write(numbered, self._folder(number), last)
            self._keep_in_memory(numbered)
        except OSError as error:
            self._keep_unsaved(numbered)
            return numbered, NotPersistent(what=atomic_files.describe_error(error, self._history))
        with contextlib.suppress(OSError):  # leftovers are removed at the next save
            self._prune()
        return numbered, None

    def _keep_unsaved(self, generation: Generation) -> None:
        """Keep a generation for this boot that is not in the history, and the one before it, from which it leads."""
        with contextlib.suppress(OSError):
            atomic_files.make_folder(self._unsaved_folder, 0o700)
            atomic_files.replace(self._unsaved, json.dumps([generation.number, generation.hash]).encode())
            kept = {generation.hash, placed_hash(self._root)}
            for path in self._unsaved_folder.iterdir():
                if path.name not in kept:
                    path.unlink()
            generation_file.write(generation, self._unsaved_folder / generation.hash)
        self._unsaved_in_memory = {generation.hash: generation}

    def _whole_unsaved(self, head: Cache) -> Generation | None:
        """Return the generation of a cache that is not in the history, if this boot has kept it as a whole."""
        if head.hash not in self._unsaved_in_memory:
            with contextlib.suppress(DamagedGeneration):
                whole = generation_file.read(self._unsaved_folder / head.hash)
                self._unsaved_in_memory = {head.hash: replace(whole, number=head.number)}
        return self._unsaved_in_memory.get(head.hash)

    def has_whole(self, hash: str) -> bool:
        """Return whether the history has the generation with this hash."""
        try:
            return self.load_hash(hash).hash == hash
        except KeyError:
            return False

    def _new_number(self, numbers: Iterable[int], hash: str) -> int:
        """Return a number that only the generation with ``hash`` has had; ``numbers`` are in the history."""
        unsaved, hash_of_unsaved = self._read_unsaved()
        happened = (number for event in self.events() for number in (event.generation, event.rejected))
        highest = max((*numbers, *self._bootable(), *happened), default=0)
        if unsaved >= highest and hash_of_unsaved == hash:
            return unsaved
        return 1 + max(highest, unsaved)

    def _read_unsaved(self) -> tuple[int, str]:
        """Return number and hash of the last generation of this boot that could not be written, else 0 and ""."""
        try:
            number, hash = json.loads(atomic_files.read(self._unsaved))
            return int(number), str(hash)
        except (OSError, ValueError, TypeError):
            return 0, ""

    def load(self, number: int) -> Generation:
        """Return generation ``number``, verified. Raises `DamagedGeneration`, or `KeyError` if it does not exist."""
        folder = self._folder(number)
        if not folder.is_dir():
            raise KeyError(number)
        self._in_memory.pop(number, None)
        generation = history.read(folder)
        self._keep_in_memory(generation)
        return generation

    def _keep_in_memory(self, generation: Generation) -> None:
        """Keep ``generation`` in memory as the last one. Raises `OSError` if it is not on disk any more."""
        number = generation.number
        stamp = history.manifest_stamp(self._folder(number))
        self._in_memory.pop(number, None)
        self._in_memory = {**dict([*self._in_memory.items()][-1:]), number: (stamp, generation)}

    def release_memory(self) -> None:
        """Keep only the parts of the last generation that the agent needs whenever a unit changes its state."""
        for number, (stamp, generation) in [*self._in_memory.items()][-1:]:
            self._in_memory = {number: (stamp, history.with_lazy_json(generation, self._folder(number)))}

    def _from_memory(self, number: int) -> Generation | None:
        """Return generation ``number`` if it is in memory and has not changed on disk."""
        stamp, generation = self._in_memory.pop(number, (None, None))
        if stamp is not None and generation is not None:
            with contextlib.suppress(OSError):
                if history.manifest_stamp(self._folder(number)) == stamp:
                    self._in_memory[number] = stamp, generation
                    return generation
        return None

    def save_outcome(self, outcome: Outcome) -> None:
        """Save the outcome of an apply beside its generation, and as an event of the history; ignore errors."""
        folder = self._folder(outcome.rejected or outcome.generation)
        with contextlib.suppress(OSError):
            if folder.is_dir():
                atomic_files.replace(folder / "outcome.json", canonical(to_json(outcome)))
        with contextlib.suppress(OSError):
            record_event(self._root, event_of(outcome))

    def outcome(self, number: int) -> Outcome | None:
        """Return the saved outcome of the apply of generation ``number``, if there is one."""
        try:
            return from_json(Outcome, json.loads(atomic_files.read(self._folder(number) / "outcome.json")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def load_hash(self, hash: str) -> Generation:
        """Return the newest generation with this hash. Raises `KeyError` if there is none, or only damaged ones."""
        for number in reversed(self._numbers()):
            with contextlib.suppress(DamagedGeneration):
                if self._hash_of(number) == hash:
                    return self._from_memory(number) or self.load(number)
        raise KeyError(hash)

    def _hash_of(self, number: int) -> str:
        """Return the unverified hash of generation ``number``. Raises `DamagedGeneration`."""
        manifest = self._folder(number) / "manifest.json"
        try:
            return self._hashes.setdefault(number, CachedFile(manifest, lambda data: str(json.loads(data)["hash"])))()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedGeneration(f"generation {number} in {manifest.parent}: {error}") from error

    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the generations in the history, oldest first."""
        return tuple(self._numbers())

    def events(self) -> tuple[HistoryEvent, ...]:
        """Return the events of the history, oldest first."""
        return read_events(self._root)

    def history(self) -> tuple[HistoryEntry, ...]:
        """Return the history, oldest first; entries whose manifest cannot be read are marked.

        It reads one file of each generation. `damaged` and a rollback verify all of them.
        """
        return tuple(self._saved(number) for number in self._numbers())

    def damaged(self) -> Iterator[DamagedGeneration]:
        """Verify every byte of every generation, and yield the faults. A hundred of 300 services take seconds."""
        for number in self._numbers():
            try:
                history.read(self._folder(number))
            except DamagedGeneration as damage:
                yield damage

    def describe_missing(self, number: int) -> str:
        """Return the error for a number that no generation has; it names the numbers that exist."""
        numbers = _ranges(self._numbers())
        return f"there is no generation {number}; " + (f"there are {numbers}" if numbers else "the history is empty")

    def commit_trial(self, generation: Generation, boot_id: str) -> None:
        """Have every run of the generator in this boot place ``generation``. Raises `OSError`."""
        atomic_files.make_folder(self._trial.parent, 0o700)
        atomic_files.replace(self._trial, pack(self._cache(generation, boot_id)))

    def commit_handed(self, generation: Generation) -> None:
        """Have the generator place ``generation`` in this boot if it has no other one. Raises `OSError`."""
        atomic_files.make_folder(self._handed.parent, 0o700)
        generation_file.write(generation, self._handed_whole)
        atomic_files.replace(self._handed, pack(self._cache(generation, "")))

    def baseline_of(self, generation: Generation) -> bytes:
        """Return a baseline with ``generation`` that is valid on every machine that boots the image."""
        cache = self._cache(generation, "")
        cache.machine_id = ""
        return pack(cache)

    def commit_proven(self, generation: Generation) -> NotPersistent | None:
        """Make ``generation`` the one that later boots start with."""
        data = pack(self._cache(generation, ""))
        try:
            atomic_files.make_folder(self._boot, 0o700)
            if generation.number:
                atomic_files.replace(self._boot / str(generation.number), data)
            atomic_files.replace(self._boot / "current", data)
            self._forgive(generation.hash)
        except OSError as error:
            return NotPersistent(what=atomic_files.describe_error(error, self._boot))
        with contextlib.suppress(OSError):  # leftovers are removed at the next commit
            for number in self._bootable()[:-BOOTABLE]:
                (self._boot / str(number)).unlink()
        return None

    def _forgive(self, hash: str) -> None:
        """Remove the failed boots of a generation that works now, so that they do not count. Raises `OSError`."""
        attempts = self._boot / "attempts"
        try:
            lines = atomic_files.read(attempts).splitlines(keepends=True)
        except FileNotFoundError:
            return
        rest = b"".join(line for line in lines if not line.startswith(hash.encode()))
        if rest != b"".join(lines):
            atomic_files.replace(attempts, rest)

    def mark_boot_good(self, hash: str = "", *, tried: Collection[str] = ()) -> NotPersistent | None:
        """Make the generation with which this boot completed (``hash``; ``""``: current) the fallback.

        Make it the current one, too, if the hash of the current one is in ``tried``, because boots with that one did
        not complete. Raises `KeyError` if no cache in the boot directory has ``hash``.
        """
        for name in ("current", *map(str, reversed(self._bootable())), "fallback"):
            with contextlib.suppress(OSError, CacheError):
                data = _trusted(self._boot / name)
                if hash in ("", unpack(data).hash):
                    return self._mark(data, tried)
        raise KeyError(hash)

    def proven(self) -> Generation | None:
        """Return the generation that the next boot starts with, if one was ever proven. Raises `DamagedGeneration`."""
        return self._cached(self._boot / "current", None)

    def trial(self, boot_id: str) -> Generation | None:
        """Return the trial of the boot ``boot_id``, if there is one. Raises `DamagedGeneration`."""
        return self._cached(self._trial, boot_id)

    def never_proven(self) -> bool:
        """Return whether there is no undamaged proven generation for the next boot."""
        return not self.proven_hash()

    def proven_hash(self) -> str:
        """Return the hash of the generation that the next boot starts with; "" if there is none, or it is damaged."""
        try:
            head = self._head(self._boot / "current", None)
        except DamagedGeneration:
            return ""
        return head.hash if head else ""

    def applied(self) -> Generation:
        """Return the generation in force: the one that the generator placed in this boot.

        It is not always the one proven last: after boots that did not complete, the generator chooses an older one.
        """
        return self.known(placed_hash(self._root))

    def known(self, hash: str) -> Generation:
        """Return the generation with this hash, wherever it is kept; an empty one if none has it."""
        persistent = (self._boot / "current", self._boot / "fallback", self._handed, self._baseline)
        for path, of_boot in ((self._trial, boot_id(self._root)), *((path, None) for path in persistent)):
            with contextlib.suppress(DamagedGeneration):
                head = self._head(path, of_boot)
                if head is not None and head.hash == hash and (cached := self._cached(path, of_boot)) is not None:
                    return cached
        try:
            return self.load_hash(hash)
        except KeyError:
            return Generation()

    def fallback(self) -> Generation | None:
        """Return the last generation with which a boot completed. Raises `DamagedGeneration`."""
        return self._cached(self._boot / "fallback", None)

    def handed(self) -> Generation | None:
        """Return the generation that was made in this boot before the agent started. Raises `DamagedGeneration`."""
        return self._cached(self._handed, None)

    def baseline(self) -> Generation | None:
        """Return the baseline of the image. Raises `DamagedGeneration`."""
        return self._cached(self._baseline, None)

    def write_applied(self, applied: Applied) -> None:
        """Record the running processes. Raises `OSError`."""
        self._applied.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        atomic_files.replace(self._applied, canonical(to_json(applied)))

    def read_applied(self) -> Applied | None:
        """Return the record of this boot; None if there is none or it cannot be read."""
        try:
            return self._read_applied()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _numbers(self) -> list[int]:
        return _numbered(self._history)

    def _bootable(self) -> list[int]:
        return _numbered(self._boot)

    def _folder(self, number: int) -> Path:
        return self._history / str(number)

    def _saved(self, number: int) -> HistoryEntry:
        try:
            hash, saved = history.head(self._folder(number))
            return HistoryEntry(number=number, hash=hash, saved=saved)
        except DamagedGeneration as error:
            return HistoryEntry(number=number, damaged=str(error))

    def _machine(self) -> str:
        try:
            machine_id = atomic_files.read(self._machine_id).decode("ascii").strip()
        except (OSError, ValueError):
            return ""
        return machine_id if len(machine_id) == 32 else ""

    def _cache(self, generation: Generation, boot_id: str) -> Cache:
        return Cache(
            number=generation.number,
            hash=generation.hash,
            machine_id=self._machine(),
            boot_id=boot_id,
            files=files.write(_files(generation)),
            entries=list(_entries(with_machine_holds(self._root, generation))),
        )

    def _cached(self, path: Path, boot_id: str | None) -> Generation | None:
        head = self._head(path, boot_id)
        if head is None:
            return None
        with contextlib.suppress(KeyError):
            return self.load_hash(head.hash)
        if whole := self._whole_unsaved(head):
            return whole
        with contextlib.suppress(DamagedGeneration):
            if path == self._handed and (whole := generation_file.read(self._handed_whole)).hash == head.hash:
                return whole
        try:
            cache = unpack(_trusted(path))
        except PermissionError:
            raise
        except (OSError, CacheError) as error:
            raise DamagedGeneration(f"{path}: {error}") from error
        # Without a history (a new /var, a prebuilt cache), the artifacts in the cache are enough to plan removals.
        return Generation(number=cache.number, hash=cache.hash, artifacts=tuple(_artifacts(cache)))

    def _head(self, path: Path, boot_id: str | None) -> Cache | None:
        """Return the cache at ``path`` without its entries, or None if it is for another machine or boot.

        Raises `DamagedGeneration`.
        """
        try:
            head = self._heads.setdefault(path, CachedFile(path, _head, _trusted))()
        except FileNotFoundError:
            return None
        except PermissionError:
            raise
        except (OSError, CacheError) as error:
            raise DamagedGeneration(f"{path}: {error}") from error
        if boot_id is not None and head.boot_id != boot_id.replace("-", ""):
            return None
        if head.machine_id not in ("", self._machine()):  # a cloned disk: the generator refuses this cache, too
            raise DamagedGeneration(f"{path}: is a cache of another machine ({head.machine_id})")
        return head

    def _mark(self, data: bytes, tried: Collection[str]) -> NotPersistent | None:
        current = self._boot / "current"
        try:
            atomic_files.replace(self._boot / "fallback", data)
            with contextlib.suppress(CacheError, FileNotFoundError):
                if (bad := unpack(_trusted(current)).hash) in tried:
                    atomic_files.replace(current, data)
                    self._forgive(bad)  # no later boot starts with it any more
        except OSError as error:
            return NotPersistent(what=atomic_files.describe_error(error, self._boot))
        return None

    def _prune(self) -> None:
        """Remove the generations that the history no longer needs (`history_retention`), and no bootable one."""
        named = set(self._bootable())
        for name in ("current", "fallback"):
            with contextlib.suppress(OSError, CacheError):
                named.add(unpack(_trusted(self._boot / name)).number)
        rejected: set[int] = set()
        for event in self.events():
            rejected.discard(event.generation)
            rejected.add(event.rejected)
        generations = []
        for number in self._numbers():
            saved, size = history.saved_and_size(self._folder(number))
            generations.append(KeptGeneration(number=number, saved=saved, size=size, failed=number in rejected))
        kept = retained(generations) | named
        for number in self._numbers():
            if number not in kept:
                history.remove(self._folder(number))
                self._hashes.pop(number, None)


def _trusted(path: Path) -> bytes:
    """Return the bytes of a boot cache as the generator reads them. Raises `OSError`, `CacheError`."""
    return read_trusted(os.fspath(path))


def _head(data: bytes) -> Cache:
    """Return a verified boot cache without its files and entries."""
    cache = unpack(data)
    cache.files, cache.entries = b"", []
    return cache


def _entries(generation: Generation) -> Iterator[Entry]:
    for a in generation.artifacts:
        if isinstance(a, UnitFile):
            yield a.path, a.mode, a.content.encode(), None
        elif isinstance(a, UnitLink):
            yield a.path, 0o777, None, a.target.encode()


def _files(generation: Generation) -> Iterator[PlacedFile]:
    return (a for a in generation.artifacts if isinstance(a, PlacedFile))


def _artifacts(cache: Cache) -> Iterator[Artifact]:
    yield from files.read(cache.files)
    for path, mode, content, link in cache.entries:
        if link is None:
            yield UnitFile(path=path, mode=mode, content=(content or b"").decode())
        else:
            yield UnitLink(path=path, target=link.decode())


def _ranges(numbers: Sequence[int]) -> str:
    """Return sorted numbers in short form.

    >>> _ranges([4, 5, 6, 9])
    '4 to 6, 9'
    """
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        first = ranges.pop()[0] if ranges and ranges[-1][1] == number - 1 else number
        ranges.append((first, number))
    return ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in ranges)


def _numbered(folder: Path) -> list[int]:
    try:
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdecimal())
    except PermissionError:
        raise  # a user who may not look must not be told that there is nothing
    except OSError:
        return []
