"""The files that a service reads, and the check before it is told of a change (docs/design/documents.md, rule 14)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ordain.transforms.catalog.names import Names
from ordain.transforms.model import Branch, Leaf, OnChange, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """``uses`` and ``check`` of a `Member`."""

    uses: tuple[tuple[str, OnChange], ...] = ()
    check: tuple[tuple[str, ...], ...] = ()


NOTHING = Reading()
_SILENT = Branch()


def reading(service: Branch, name: str, names: Names, own: Branch = _SILENT) -> Reading:
    """Of the service called ``name``, with what one instance has of its ``own``.

    Its files, and its configuration directory on this OS, count as used without being named.
    """
    directory = directory_of(name, service, names)
    known = names.service(name, "config")
    found = {known: OnChange.AUTO} if known else {}
    for branch in (service, own):
        found |= {path: OnChange.AUTO for _, path, _ in files_of(branch, directory)}
        found |= {path: _on_change(how.value) for path, how in branch.branch("uses").leaves() if how.value is not None}
    check = own.leaf("check") or service.leaf("check") or names.check(name)
    return Reading(
        uses=tuple(sorted(found.items())),
        check=_vectors(check) if check else (),
    )


def _on_change(value: Value) -> OnChange:
    return OnChange.AUTO if value is True else OnChange(str(value))


def files_of(service: Branch, directory: str) -> Iterator[tuple[str, str, Branch]]:
    """The name, the path and the entry of each of a service's own files; a relative name lies in ``directory``."""
    for name, branch in service.branch("files").branches():
        yield name, name if name.startswith("/") else f"{directory.rstrip('/')}/{name}", branch


def directory_of(name: str, service: Branch, names: Names) -> str:
    """The configuration directory of a service on this OS."""
    own = service.branch("directories").value("configuration")
    first = own[0] if isinstance(own, tuple) and own else None
    return names.service(name, "config") or f"/etc/{first or name}/"


def _vectors(leaf: Leaf) -> tuple[tuple[str, ...], ...]:
    value = leaf.value
    if not isinstance(value, tuple):
        return ()
    return tuple(tuple(map(str, argv)) for argv in value if isinstance(argv, tuple))
