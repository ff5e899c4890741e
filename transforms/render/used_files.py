"""The files that a service uses, and the check that a change of them must pass (docs/design/documents.md, rule 14)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ordain.transforms.catalog.names import Names
from ordain.transforms.model import Branch, Leaf, OnChange, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedFiles:
    """The fields ``uses`` and ``check`` of a `Member`."""

    uses: tuple[tuple[str, OnChange], ...] = ()
    check: tuple[tuple[str, ...], ...] = ()


_NO_INSTANCE = Branch()


def used_files(service: Branch, name: str, names: Names, instance: Branch = _NO_INSTANCE) -> UsedFiles:
    """Return the files that the service called ``name`` uses, with those of one ``instance``.

    A service uses its own ``files``, and its configuration directory on this OS, even if ``uses`` does not name them.
    """
    directory = configuration_directory(name, service, names)
    known = names.service(name, "config")
    uses = {known: OnChange.AUTO} if known else {}
    for branch in (service, instance):
        uses |= {path: OnChange.AUTO for _, path, _ in own_files(branch, directory)}
        uses |= {path: _on_change(how.value) for path, how in branch.branch("uses").leaves() if how.value is not None}
    check = instance.leaf("check") or service.leaf("check") or names.check(name)
    return UsedFiles(uses=tuple(sorted(uses.items())), check=_vectors(check) if check else ())


def _on_change(value: Value) -> OnChange:
    return OnChange.AUTO if value is True else OnChange(str(value))


def own_files(service: Branch, directory: str) -> Iterator[tuple[str, str, Branch]]:
    """Yield name, path and entry of each of the service's ``files``; relative names are below ``directory``."""
    for name, branch in service.branch("files").branches():
        yield name, name if name.startswith("/") else f"{directory.rstrip('/')}/{name}", branch


def configuration_directory(name: str, service: Branch, names: Names) -> str:
    """Return the configuration directory of a service on this OS."""
    own = service.branch("directories").value("configuration")
    first = own[0] if isinstance(own, tuple) and own else None
    return names.service(name, "config") or f"/etc/{first or name}/"


def _vectors(leaf: Leaf) -> tuple[tuple[str, ...], ...]:
    value = leaf.value
    if not isinstance(value, tuple):
        return ()
    return tuple(tuple(map(str, argv)) for argv in value if isinstance(argv, tuple))
