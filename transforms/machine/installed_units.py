"""Reads the unit files of a machine and merges them as its systemd would.

    root/ ──read_installed──▶ Installed

Source: systemd.unit(5), "Unit File Load Path"; the order of drop-ins is that of
``unit_file_find_dropin_paths()`` in systemd's src/shared/unit-file.c. Directories of generators and those under /run
are only read if the caller names them, because their files exist for this boot only. A unit that systemd generates from
a SysV script counts like a file (`sysv_scripts`), and so does one that only another generator defines, such as podman's
(`generated_units`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ordain.transforms.machine import generated_units, rootfs, sysv_scripts
from ordain.transforms.machine.activation_sources import read_activation_sources
from ordain.transforms.model import Installed, InstalledUnit, Link
from ordain.transforms.systemd import unit_file, unit_name

DIRECTORIES = (
    "etc/systemd/system.control",  # systemctl set-property
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
"""The unit directories that outlive a boot, the one with the highest precedence first."""
DIRECTORIES_NOW = (
    DIRECTORIES[0],
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    DIRECTORIES[1],
    "run/systemd/system",
    "run/systemd/generator",
    *DIRECTORIES[2:],
    "run/systemd/generator.late",
)
"""The same with the directories for this boot: of generators, of ``systemctl --runtime`` and of Ordain."""
DEPENDENCIES = ("wants", "requires", "upholds")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file that systemd would read: its ``path``, and the ``real`` path after all links, "" for a mask.

    ``text`` is the content of a file that a generator makes at boot.
    """

    path: str
    real: str
    text: str | None = None


@dataclass(slots=True, kw_only=True)
class _Directories:
    """The contents of the unit directories, by name.

    ``drop_ins`` maps NAME of ``NAME.d`` to its files by the rank of the directory; ``links`` maps ``NAME.wants``.
    """

    fragments: dict[str, _File] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    drop_ins: dict[str, dict[int, dict[str, _File]]] = field(default_factory=dict)
    links: dict[str, dict[int, dict[str, _File]]] = field(default_factory=dict)


def read_installed(root: Path, directories: Sequence[str] = DIRECTORIES) -> Installed:
    """Return the unit files below ``root`` that systemd would load."""
    contents = _scan(root, directories)
    _add_scripts(root, contents)
    if set(generated_units.DIRECTORIES).isdisjoint(directories):
        _add_generated(root, contents)
    aliases = {name: end for name in contents.aliases if (end := _end(contents.aliases, name))}
    others: dict[str, list[str]] = {}
    for alias, name in sorted(aliases.items()):
        others.setdefault(name, []).append(alias)
    links = tuple(_links(contents))
    wanted = {*contents.fragments, *_with_own_drop_ins(contents), *_instances(links)}
    units = {
        name: unit
        for name in sorted({aliases.get(name, name) for name in wanted})
        if (unit := _unit(name, others.get(name, ()), contents))
    }
    return Installed(units=units, aliases=aliases, links=links, activation_sources=read_activation_sources(root))


def _scan(root: Path, directories: Sequence[str]) -> _Directories:
    contents = _Directories()
    real = [rootfs.resolve(os.fspath(root), directory) for directory in directories]
    for rank, (shown, path) in enumerate(zip(directories, real, strict=True)):
        if path in real[:rank]:  # /lib is usually a link to usr/lib
            continue
        for entry in _entries(path):
            stem, _, kind = entry.name.rpartition(".")
            place = f"/{shown}/{entry.name}"
            if kind == "d":
                contents.drop_ins.setdefault(stem, {})[rank] = {
                    name: file for name, file in _files(root, place) if name.endswith(".conf")
                }
            elif kind in DEPENDENCIES:
                contents.links.setdefault(entry.name, {})[rank] = dict(_files(root, place))
            elif unit_name.is_valid(entry.name) and not _known(contents, entry.name):
                _add(root, entry, place, real, contents)
    return contents


def _add_scripts(root: Path, contents: _Directories) -> None:
    """Add the units that systemd-sysv-generator makes; a unit file of the same name replaces them."""
    late = len(DIRECTORIES_NOW)
    for script in sysv_scripts.read_scripts(root):
        if _known(contents, script.unit):
            continue
        made = _File(path=f"/{sysv_scripts.GENERATED}/{script.unit}", real=script.path, text=script.text)
        contents.fragments[script.unit] = made
        for alias in script.provides:
            if not _known(contents, alias):
                contents.aliases[alias] = script.unit
        for target in script.targets:
            path = f"/{sysv_scripts.GENERATED}/{target}.wants/{script.unit}"
            links = contents.links.setdefault(f"{target}.wants", {}).setdefault(late, {})
            links[script.unit] = _File(path=path, real=script.path)


def _add_generated(root: Path, contents: _Directories) -> None:
    """Add the units that other generators have made for this boot, with their aliases and what starts them."""
    tops = [rootfs.resolve(os.fspath(root), directory) for directory in generated_units.DIRECTORIES]
    made: set[str] = set()
    for shown, top in zip(generated_units.DIRECTORIES, tops, strict=True):
        for entry in _entries(top):
            if not unit_name.is_valid(entry.name) or _known(contents, entry.name) or entry.is_symlink():
                continue
            if entry.is_file() and not generated_units.is_ours(entry.path):
                contents.fragments[entry.name] = _File(path=f"/{shown}/{entry.name}", real=entry.path)
                made.add(entry.name)
    for rank, (shown, top) in enumerate(zip(generated_units.DIRECTORIES, tops, strict=True), len(DIRECTORIES_NOW)):
        for entry in _entries(top) if made else ():
            target, _, kind = entry.name.rpartition(".")
            place = f"/{shown}/{entry.name}"
            if kind in DEPENDENCIES and not target.startswith("ordain-"):
                files = {n: f for n, f in _files(root, place) if {n, unit_name.template_of(n)} & made}
                contents.links.setdefault(entry.name, {}).setdefault(rank, {}).update(files)
            elif entry.is_symlink() and unit_name.is_valid(entry.name) and not _known(contents, entry.name):
                file = _resolve(root, place)
                if file and file.real.rpartition("/")[2] in made:
                    _add(root, entry, place, tops, contents)


def _known(contents: _Directories, name: str) -> bool:
    return name in contents.fragments or name in contents.aliases


def _add(root: Path, entry: os.DirEntry[str], place: str, directories: list[str], contents: _Directories) -> None:
    """Add the unit file ``entry``: a fragment, a mask or an alias."""
    name = entry.name
    if not entry.is_symlink():
        if entry.is_file():
            contents.fragments[name] = _File(path=place, real=entry.path)
        return
    file = _resolve(root, place)
    if file is None:
        return
    directory, _, target = file.real.rpartition("/")
    if directory in directories and target != name:
        if alias := _aliased(name, target):
            if alias == name:
                contents.fragments[name] = file
            else:
                contents.aliases[name] = alias
        return
    contents.fragments[name] = file


def _aliased(name: str, target: str) -> str:
    """Return the unit that ``name`` becomes an alias of by a link to ``target``, "" if systemd ignores the link.

    >>> _aliased("autovt@tty1.service", "getty@.service"), _aliased("a.service", "b.socket")
    ('getty@tty1.service', '')
    """
    if not unit_name.is_valid(target) or unit_name.unit_type(name) != unit_name.unit_type(target):
        return ""
    prefix, wanted, suffix = unit_name.split(target)
    _, instance, _ = unit_name.split(name)
    if wanted == "" and instance:
        return f"{prefix}@{instance}.{suffix}"
    return target if (instance is None, instance == "") == (wanted is None, wanted == "") else ""


def _end(aliases: Mapping[str, str], name: str) -> str:
    """Return the end of a chain of aliases, "" if the chain is a circle."""
    seen = {name}
    while (name := aliases[name]) in aliases:
        if name in seen:
            return ""
        seen.add(name)
    return name


def _unit(name: str, aliases: Iterable[str], contents: _Directories) -> InstalledUnit | None:
    """Return the unit ``name``, None if it has neither a fragment nor drop-ins."""
    fragment = contents.fragments.get(name) or contents.fragments.get(unit_name.template_of(name))
    drop_ins = _drop_ins(name, aliases, contents)
    if fragment is None and not drop_ins:
        return None
    path = fragment.path if fragment else ""
    content = _content(fragment) if fragment else " "
    if not content:
        return InstalledUnit(name=name, path=path, sections={}, masked=True)
    return _merged(name, path, content, tuple((file.path, _content(file)) for file in drop_ins))


@lru_cache(maxsize=4096)
def _merged(name: str, path: str, content: str, drop_ins: tuple[tuple[str, str], ...]) -> InstalledUnit:
    """Return a unit of the text of its fragment, and of the paths and texts of its drop-ins.

    An apply reads all units of the machine twice, and from one read to the next one hardly a file changes.
    """
    texts = dict(drop_ins)
    sections: dict[str, list[tuple[str, str]]] = {}
    for text in (content, *texts.values()):
        for section, key, value in _settings(text):
            sections.setdefault(section, []).append((key, value))
    return InstalledUnit(
        name=name,
        path=path,
        sections={section: tuple(lines) for section, lines in sections.items()},
        drop_ins=tuple(texts),
        drop_in_keys={path: frozenset((s, k) for s, k, _ in _settings(text)) for path, text in texts.items()},
    )


@lru_cache(maxsize=4096)
def _settings(text: str) -> tuple[tuple[str, str, str], ...]:
    """Return `unit_file.parse` of a text, which several units may have in common."""
    return unit_file.parse(text)


def forget_settings() -> None:
    """Free the memory of the unit files that were read: half a MiB for those of Debian."""
    _merged.cache_clear()
    _settings.cache_clear()
    drop_in_names.cache_clear()


def _drop_ins(name: str, aliases: Iterable[str], contents: _Directories) -> tuple[_File, ...]:
    """Return the drop-ins of a unit in systemd's order: by file name; of two with one name, the first directory counts.

    A link to /dev/null is among them, as in systemd's DropInPaths: it masks the others of its name.
    """
    chosen: dict[str, _File] = {}
    for unit in (name, *aliases, unit_name.unit_type(name)):
        directories = [
            (rank, place, files)
            for place, dropped in enumerate(drop_in_names(unit))
            if dropped in contents.drop_ins
            for rank, files in contents.drop_ins[dropped].items()
        ]
        for _, _, files in sorted(directories, key=lambda d: d[:2]):
            for file_name, file in files.items():
                chosen.setdefault(file_name, file)
    return tuple(file for _, file in sorted(chosen.items()))


@lru_cache(maxsize=4096)
def drop_in_names(name: str) -> tuple[str, ...]:
    """Return the names whose drop-ins a unit takes, the closest first; a name may come twice.

    This is the recursion of ``unit_file_find_dirs()``. The prefixes of a template lose its ``@``.

    >>> drop_in_names("a-b@x.service")
    ('a-b@x.service', 'a-b@.service', 'a-.service', 'a-@x.service', 'a-@.service')
    """
    if name in unit_name.TYPES:
        return (name,)
    names = [name]
    prefix, instance, suffix = unit_name.split(name)
    if instance:
        names += drop_in_names(f"{prefix}@.{suffix}")
    dash = prefix.rfind("-", 0, -1)
    if dash > 0:
        at = f"@{instance}" if instance else ""
        names += drop_in_names(f"{prefix[: dash + 1]}{at}.{suffix}")
    return tuple(names)


def _with_own_drop_ins(contents: _Directories) -> Iterator[str]:
    """Yield units that have drop-ins of their own; ``foo-.service.d`` and ``service.d`` belong to several units."""
    for name in contents.drop_ins:
        if unit_name.is_valid(name) and not unit_name.split(name)[0].endswith("-"):
            yield name


def _instances(links: Iterable[Link]) -> Iterator[str]:
    """Return the instances that exist because a link names them."""
    return (link.name for link in links if unit_name.template_of(link.name))


def _links(contents: _Directories) -> Iterator[Link]:
    """Yield the dependencies by link; a link to /dev/null masks the link of that name in later directories."""
    for directory, places in sorted(contents.links.items()):
        target, _, kind = directory.rpartition(".")
        if not unit_name.is_valid(target):
            continue
        first: dict[str, _File] = {}
        for _, files in sorted(places.items()):
            first = files | first
        for name, file in sorted(first.items()):
            if file.real and unit_name.is_valid(name):
                yield Link(target=target, kind=kind, name=name, path=file.path)


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError:
        return []


def _files(root: Path, place: str) -> Iterator[tuple[str, _File]]:
    """Yield the files and links in a directory, which may itself be a link."""
    try:
        path = rootfs.resolve(os.fspath(root), place)
    except OSError:
        return
    for entry in _entries(path):
        shown = f"{place}/{entry.name}"
        if not entry.is_symlink():
            yield entry.name, _File(path=shown, real=entry.path)
        elif file := _resolve(root, shown, dangling=True):
            yield entry.name, file


def _resolve(root: Path, place: str, *, dangling: bool = False) -> _File | None:
    """Return the file that the link ``place`` leads to, None if it is missing and ``dangling`` is false."""
    try:
        real = rootfs.resolve(os.fspath(root), place)
        if real == os.path.join(root, "dev/null"):  # noqa: PTH118 -- hot: pathlib triples it
            return _File(path=place, real="")
        return _File(path=place, real=real) if dangling or os.path.isfile(real) else None  # noqa: PTH113
    except OSError:
        return None


def _content(file: _File) -> str:
    """Return the text of a unit file, "" for a mask, " " if it cannot be read, so that only its name is known."""
    if not file.real:
        return ""
    if file.text is not None:
        return file.text
    try:
        return rootfs.read_resolved(file.real).decode("utf-8", "replace")
    except OSError:
        return " "
