"""Files in a directory whose reader ignores or refuses them, because of their name or mode, and says nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ordain.transforms.artifacts import Artifact, CredentialFile, RegularFile, SymbolicLink
from ordain.transforms.catalog.data_tables import read_table
from ordain.transforms.errors import Problem, warning
from ordain.transforms.graph.crontab_lines import faults_of_crontab
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key
from ordain.transforms.lazy_patterns import LazyPattern, lazy_pattern
from ordain.transforms.model import Facts

TABLE = Path(__file__).parents[1] / "data" / "drop-in-directories.yaml"
_ANYWHERE = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
"""The directories that a first * in the table means."""
_FOR_PEOPLE = lazy_pattern(r"README.*|\.placeholder|\.keep")
"""Files that packages put into such directories, and that no reader is meant to take."""
_CONTENT = "content"
_MODES = (("not-writable", 0o022, "that others may write", "0644"), ("private", 0o077, "that others may read", "0600"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """A row of the table; ``names`` are read, ``only`` are the names that the row is about."""

    program: str
    page: str
    names: LazyPattern[str]
    only: LazyPattern[str]
    wanted: str
    systems: frozenset[str]
    flags: frozenset[str]


def ignored_files(artifacts: Iterable[Artifact], facts: Facts, place_of: PlaceOf) -> Iterator[Problem]:
    """Warn of each file of the documents that its reader ignores or refuses on a system with ``facts``."""
    system = {facts.id, *facts.like}
    for artifact in artifacts:
        if not isinstance(artifact, (RegularFile, SymbolicLink, CredentialFile)):
            continue
        folder, _, name = artifact.path.rpartition("/")
        for reader in _readers().get(folder, ()):
            if (reader.systems and not reader.systems & system) or not reader.only.fullmatch(name):
                continue
            for key, what, hint in _faults(artifact, name, reader):
                place = place_of_key(artifact.item, (key,) if key else (), place_of)
                yield warning(artifact.item, place, f"{what} ({reader.page})", hint, "Doubtful")


def _faults(
    file: RegularFile | SymbolicLink | CredentialFile, name: str, reader: _Reader
) -> Iterator[tuple[str, str, str]]:
    """Yield the key of each fault, the fault and a hint."""
    if _FOR_PEOPLE.fullmatch(name):
        return
    if not reader.names.fullmatch(name):
        yield "", f"{reader.program} ignores {file.path}", f"choose a name {reader.wanted}"
        return
    if isinstance(file, SymbolicLink):
        return
    for flag, bits, words, usual in _MODES:
        if flag in reader.flags and file.mode & bits:
            what = f"{reader.program} refuses {file.path}, a file {words} (mode {file.mode:04o})"
            yield "mode", what, f"write mode {usual}"
    if "executable" in reader.flags and not file.mode & 0o111:
        yield "mode", f"{reader.program} does not run {file.path}, which is not executable", "write mode 0755"
    if "of-root" in reader.flags and file.owner not in ("", "root", "0"):
        what = f"{reader.program} refuses {file.path}, a file of {file.owner}"
        yield "owner", what, "remove `owner`: the file belongs to root then"
    if isinstance(file, RegularFile):
        yield from _faults_of_lines(file, reader)


def _faults_of_lines(file: RegularFile, reader: _Reader) -> Iterator[tuple[str, str, str]]:
    if "newline" in reader.flags and file.content and not file.content.endswith("\n"):
        what = f"the last line of {file.path} has no line end, so that {reader.program} ignores it or the whole file"
        yield _CONTENT, what, "write the content as `content: |` with the lines below it"
    for number, fault, hint in faults_of_crontab(file.content) if "crontab" in reader.flags else ():
        what = f"line {number} of {file.path}: {fault}, so that {reader.program} ignores it or the whole file"
        yield _CONTENT, what, hint


@cache
def _readers() -> Mapping[str, tuple[_Reader, ...]]:
    """Return the readers of each directory."""
    readers: dict[str, tuple[_Reader, ...]] = {}
    for row in read_table(TABLE).values():
        reader = _Reader(
            program=row["reader"],
            page=row["page"],
            names=lazy_pattern(row.get("names", ".*")),
            only=lazy_pattern(row.get("only", ".*")),
            wanted=row.get("wanted", ""),
            systems=frozenset(row.get("systems", ())),
            flags=frozenset(key for key, value in row.items() if value is True),
        )
        for directory in row["directories"]:
            top, _, rest = directory.partition("/")
            for path in (f"{above}/{rest}" for above in _ANYWHERE) if top == "*" else (directory,):
                readers[path] = (*readers.get(path, ()), reader)
    return readers
