"""The files by which an administrator or the distribution overrides or extends a unit of ours."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ordain.agent.condition import StatusCondition
from ordain.agent.model import Effect, Generation
from ordain.agent.plan.changes.causes import directive_causes
from ordain.agent.plan.changes.diff import PlacedUnit, Values, placed_units
from ordain.agent.plan.changes.directive_effects import effect
from ordain.agent.plan.explain import OverrideFile
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.installed_units import drop_in_names, read_installed
from ordain.transforms.systemd.unit_file import parse
from ordain.transforms.systemd.unit_name import template_of, unit_type

RUNTIME_DIRECTORIES = (
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/system",
)
"""Directories that end with the boot, so `read_installed` skips them; highest precedence first (systemd.unit(5))."""


ADMINISTRATOR_DIRECTORIES = (
    "etc/systemd/system.control",
    *RUNTIME_DIRECTORIES[:2],
    "etc/systemd/system",
    RUNTIME_DIRECTORIES[2],
)
"""Directories whose files take precedence over ours, highest first.

``systemctl set-property`` writes to the two that end in ``.control``.
"""


ATTACHED_DIRECTORIES = ("etc/systemd/system.attached", "run/systemd/system.attached")
"""The directories of portable services (portablectl(1))."""
BEFORE_OURS = (*ADMINISTRATOR_DIRECTORIES, *ATTACHED_DIRECTORIES, "run/systemd/generator.early")
"""Directories in which PID 1 looks for unit files before it looks in that of the generator."""


def override_files(root: Path, unit: str, *, ours: bool) -> tuple[OverrideFile, ...]:
    """Return the files for ``unit`` that are not ours, in the order in which systemd reads them.

    ``ours``: the whole unit is ours, so that another unit file replaces it. Otherwise we only add drop-ins to it.
    """
    return tuple(_override_files(root, unit, ours))


def _override_files(root: Path, unit: str, ours: bool) -> Iterator[OverrideFile]:
    installed = read_installed(root).units.get(unit)
    for directory in RUNTIME_DIRECTORIES:
        if (fragment := _fragment(root, f"{directory}/{unit}", replaces=True)) is not None:
            yield fragment
    if installed and installed.path:
        # The generator's normal directory comes after /etc and before /usr, so only a file in /etc replaces ours.
        replaces = installed.path.lstrip("/").startswith("etc/")
        if replaces or not ours:
            yield OverrideFile(path=f"/{installed.path.lstrip('/')}", masks=installed.masked, replaces=replaces)
    runtime = list(_drop_ins(root, RUNTIME_DIRECTORIES, (*drop_in_names(unit), unit_type(unit))))
    for path in sorted([*(installed.drop_ins if installed else ()), *runtime], key=lambda p: p.rpartition("/")[2]):
        yield OverrideFile(path=f"/{path.lstrip('/')}", assignments=_assignments(root, path))


def hiding_files(root: Path, generation: Generation) -> Mapping[str, str]:
    """Return by unit the unit file of somebody else that PID 1 reads, or will read, instead of ours.

    A mask is left out, because the plan reports it.
    """
    names = {directory: frozenset(rootfs.names(root, directory)) for directory in BEFORE_OURS}
    fragments = {a.path.partition("/")[2] for a in generation.artifacts if isinstance(a, UnitFile)}
    hidden: dict[str, str] = {}
    for name in sorted(fragments & frozenset().union(*names.values())):
        path = next(f"{directory}/{name}" for directory in BEFORE_OURS if name in names[directory])
        fragment = _fragment(root, path, replaces=True)
        if fragment is None or not fragment.masks:
            hidden[name] = f"/{path}"
    by_template = {m.unit: hidden[name] for m in generation.members if (name := template_of(m.unit)) in hidden}
    return by_template | hidden


def administrator_files(root: Path, units: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the files in /etc and /run by which an administrator changes each of ``units``.

    Masks are left out, and so are drop-ins for all units of a type. Two hundred units cost as much as one: each
    directory is listed once, and few units have drop-ins.
    """
    entries = {f"{d}/{name}" for d in ADMINISTRATOR_DIRECTORIES for name in rootfs.names(root, d)}
    files: dict[str, tuple[str, ...]] = {}
    for unit in units:
        places = [f"{d}/{unit}" for d in ADMINISTRATOR_DIRECTORIES]
        own = [path for path in places if path in entries and not (root / path).is_symlink()]
        names = [n for n in drop_in_names(unit) if any(f"{d}/{n}.d" in entries for d in ADMINISTRATOR_DIRECTORIES)]
        drop_ins = _drop_ins(root, ADMINISTRATOR_DIRECTORIES, names)
        if paths := [f"/{path}" for path in dict.fromkeys([*own, *drop_ins])]:
            files[unit] = tuple(paths)
    return files


def overridden_values(
    root: Path, generation: Generation, files: Mapping[str, tuple[str, ...]], unread: Collection[str] = ()
) -> Iterator[StatusCondition]:
    """Yield a condition for each value of ``generation`` that a drop-in of an administrator overrides.

    ``files`` are those of `administrator_files`; PID 1 has not read them yet for the units in ``unread``. It is not a
    fault, because an administrator has decided it (docs/design/contract.md, rule 21).
    """
    placed = placed_units(generation) if files else {}
    for unit in sorted(files.keys() & placed.keys()):
        ours, drop_ins = placed[unit], [path for path in files[unit] if ".d/" in path]
        actual = with_drop_ins(ours, drop_in_texts(root, drop_ins))
        assigned = {(s, key): path for path, text in actual.files if path in drop_ins for s, key, _ in parse(text)}
        for (section, key), path in sorted(assigned.items()):
            wanted, now = ours.values.get((section, key), ()), actual.values.get((section, key), ())
            if _is_overridden(section, wanted, now):
                _, causes = directive_causes(ours.files, section, key)
                place = f"{causes[-1].path}:{causes[-1].line}: " if causes and causes[-1].path else ""
                about = f"{place}{unit}: [{section}] {key}"
                when = "will be, after `systemctl daemon-reload`," if unit in unread else "is"
                values = [" ".join(value).strip() or "not set" for value in (now, wanted)]
                restart = f", then `systemctl restart {unit}`" * (effect(section, key, now, wanted) is Effect.RESTART)
                yield StatusCondition(
                    code="OverriddenValue",
                    what=f"{about} {when} {values[0]}, not {values[1]}: {path} overrides the documents",
                    hint=f"remove it from {path} and run `systemctl daemon-reload`{restart}; or change the documents",
                    item=ours.item or "",
                    public=f"{about} is not that of the documents: {path} overrides it",
                )


def drop_in_texts(root: Path, files: Iterable[str]) -> Mapping[str, str]:
    """Return the content of those ``files`` (`administrator_files`) that are drop-ins, by path."""
    return {path: _text(root, path.lstrip("/")) for path in files if ".d/" in path}


def with_drop_ins(ours: PlacedUnit, drop_ins: Mapping[str, str]) -> PlacedUnit:
    """Return a unit with ``drop_ins`` of an administrator, its files in the order in which PID 1 reads them.

    Drop-ins are read by name; of two with the same name PID 1 reads only that of the first directory.
    """
    fragment = tuple(file for file in ours.files if file[0] == ours.fragment)
    named = {path.rpartition("/")[2]: (path, text) for path, text in ours.files if path != ours.fragment}
    for path in reversed(tuple(drop_ins)):
        named[path.rpartition("/")[2]] = path, drop_ins[path]
    return replace(ours, files=(*fragment, *(named[name] for name in sorted(named))))


def _is_overridden(section: str, wanted: Values, actual: Values) -> bool:
    """Return whether ``actual`` is another value than ``wanted``. A dependency that is only added overrides none."""
    before, after = ([_in_bytes(value) for value in values] for values in (wanted, actual))
    if not before or before == after:
        return False
    return section not in ("Unit", "Install") or not set(before) <= set(after)


def _in_bytes(value: str) -> str:
    """Return a size in bytes, as `systemctl set-property` writes it; any other value as it is.

    >>> _in_bytes("100M"), _in_bytes("yes")
    ('104857600', 'yes')
    """
    if not (size := re.fullmatch(r"([0-9]+)([KMGT])", value)):
        return value
    return str(int(size[1]) << 10 * (1 + "KMGT".index(size[2])))


def _drop_ins(root: Path, directories: Iterable[str], units: Iterable[str]) -> Iterator[str]:
    names = dict.fromkeys(units)
    for directory in directories:
        for unit in names:
            for name in rootfs.names(root, f"{directory}/{unit}.d"):
                if name.endswith(".conf"):
                    yield f"{directory}/{unit}.d/{name}"


def _fragment(root: Path, path: str, *, replaces: bool) -> OverrideFile | None:
    if (root / path).is_symlink() and rootfs.chase(root, path) == root / "dev/null":
        return OverrideFile(path=f"/{path}", masks=True, replaces=replaces)
    data = rootfs.read(root, path)
    return None if data is None else OverrideFile(path=f"/{path}", masks=not data, replaces=replaces)


def _assignments(root: Path, path: str) -> tuple[tuple[str, str, str], ...]:
    return tuple(parse(_text(root, path)))


def _text(root: Path, path: str) -> str:
    try:
        return (rootfs.read(root, path) or b"").decode("utf-8", "replace")
    except OSError:
        return ""
