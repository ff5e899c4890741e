"""The last good copy of a store: all that machines read, in memory and in one file, as of one moment.

The file is a line with a digest, and JSON: the store that it is a copy of, the time, and all entries. It is replaced as
a whole. A file that is damaged, or of another store, is as none. Nobody trusts it further than the relay itself:
machines verify releases, and secrets are sealed.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ordain.agent.delivery.database import relay_wire
from ordain.agent.delivery.database.database import Listing, StoredEntry
from ordain.agent.delivery.database.etcd_wire import range_end
from ordain.agent.delivery.release.publish_lock import RELEASES
from ordain.agent.errors import Failure
from ordain.agent.system import atomic_files
from ordain.transforms.decimal_numbers import is_decimal

MAX_BYTES = 512 << 20
"""The limit for the file."""
_FORM = b"ordain relay copy 1 "


@dataclass(frozen=True, kw_only=True)
class LastCopy:
    """The entries of the store at ``location`` as of ``revision``; ``taken`` is the time, in seconds since 1970.

    ``settle_sec`` and ``compares_ranges`` are those of the store (`Database`). ``highest`` has the highest number of a
    release that any copy of this store had, by channel; a file of an earlier version knows those of its own entries.
    """

    location: str
    entries: Mapping[str, StoredEntry] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    revision: str = ""
    taken: int = 0
    settle_sec: float = 0.0
    compares_ranges: bool = False
    highest: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def _keys(self) -> list[str]:
        return sorted(self.entries)

    def list(self, prefixes: Iterable[str]) -> Listing:
        """Return the entries with ``prefixes``; the revision is that of these entries, on every relay the same."""
        chosen: dict[str, StoredEntry] = {}
        for prefix in prefixes:
            first, end = bisect_left(self._keys, prefix), bisect_left(self._keys, range_end(prefix))
            chosen |= {key: self.entries[key] for key in self._keys[first:end]}
        entries = tuple(chosen[key] for key in sorted(chosen))
        conflicts = {key: self.conflicts[key] for key in chosen if key in self.conflicts}
        lines = [f"{entry.key} {entry.version}" for entry in entries] + [f"! {key}" for key in conflicts]
        digest = hashlib.sha256("\n".join(lines).encode())
        return Listing(entries=entries, revision=digest.hexdigest()[:16], conflicts=conflicts)

    def get(self, key: str) -> StoredEntry | None:
        """Return one entry."""
        return self.entries.get(key)

    def older_channels(self) -> dict[str, int]:
        """Return the channels whose releases are all lower than one that an earlier copy had, and their number now.

        A channel without releases is left out: an administrator may have removed it.
        """
        numbers = release_numbers(self.entries)
        return {channel: number for channel, number in numbers.items() if number < self.highest.get(channel, 0)}

    def save(self, path: Path) -> None:
        """Replace the file at ``path``. Raises `OSError`."""
        value = {
            "location": self.location,
            "taken": self.taken,
            "store": [self.revision, self.settle_sec, self.compares_ranges],
            "conflicts": dict(self.conflicts),
            "highest": dict(self.highest),
            "entries": [relay_wire.entry_json(entry) for entry in self.entries.values()],
        }
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest().encode()
        atomic_files.replace(path, _FORM + digest + b"\n" + data)


def release_numbers(keys: Iterable[str]) -> dict[str, int]:
    """Return the highest number of a release that ``keys`` name, by channel."""
    numbers: dict[str, int] = {}
    for key in keys:
        channel, _, number = key.removeprefix(RELEASES).rpartition("/")
        if key.startswith(RELEASES) and channel and is_decimal(number):
            numbers[channel] = max(int(number), numbers.get(channel, 0))
    return numbers


def load_copy(path: Path, location: str) -> LastCopy | None:
    """Return the copy in the file at ``path``, None if there is no file.

    Raises `Failure` for a file that is damaged, or a copy of another store than ``location``.
    """
    try:
        head, _, data = atomic_files.read(path, MAX_BYTES).partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, path)) from None
    if head != _FORM + hashlib.sha256(data).hexdigest().encode():
        raise Failure(f"{path}: the copy of the store is damaged; it is not used")
    try:
        value = json.loads(data)
        entries = [relay_wire.entry_of(entry) for entry in value["entries"]]
        revision, settle_sec, compares_ranges = value["store"]
        by_key = {entry.key: entry for entry in entries}
        highest = value["highest"] if "highest" in value else release_numbers(by_key)
        copy = LastCopy(
            location=value["location"],
            entries=by_key,
            conflicts=value["conflicts"],
            revision=revision,
            taken=value["taken"],
            settle_sec=settle_sec,
            compares_ranges=compares_ranges,
            highest={str(channel): int(number) for channel, number in highest.items()},
        )
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise Failure(f"{path}: the copy of the store cannot be read: {error}; it is not used") from None
    if copy.location != location:
        raise Failure(f"{path}: it is a copy of {copy.location}; it is not used, and replaced by one of {location}")
    return copy
