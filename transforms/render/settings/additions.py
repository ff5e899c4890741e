"""Values that are added to sections of the documents: those of settings, and the services that have a role.

This is separate from the settings themselves, which few first boots have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ordain.transforms.model import Branch, Leaf, Tree
from ordain.transforms.systemd.sysctl_files import parameter_path

MOVED = {("host", "time-servers"): "time-servers"}
"""Keys that are a setting by now, and its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A value that a setting adds to another section: its path from the root of the documents, and the leaf."""

    path: tuple[str, ...]
    leaf: Leaf


def with_moved_keys(tree: Branch) -> Branch:
    """Return ``tree`` with the settings that are written under the older name of a key, unless it has both."""
    for (section, key), name in MOVED.items():
        child = tree.branch(section).children.get(key)
        if child is not None and name not in tree.branch("settings"):
            tree = _set(tree, ("settings", name), child)
    return tree


def without_moved_keys(section: str, branch: Branch) -> Branch:
    """Return a section without the keys that are settings by now."""
    kept = {key: child for key, child in branch.children.items() if (section, key) not in MOVED}
    return replace(branch, children=kept) if len(kept) < len(branch.children) else branch


def add(tree: Branch, additions: Iterable[Addition]) -> Branch:
    """Return ``tree`` with the values of ``additions``, but for those that it has already."""
    for addition in additions:
        if present(tree, addition) is None:
            tree = _set(tree, addition.path, addition.leaf)
    return tree


def present(tree: Branch, addition: Addition) -> Leaf | None:
    """Return the value that ``tree`` has where ``addition`` puts one."""
    *above, last = addition.path
    for name in above:
        tree = tree.branch(name)
    if addition.path[0] == "sysctl":
        last = next((name for name in tree if parameter_path(name) == parameter_path(last)), last)
    return tree.leaf(last)


def _set(tree: Branch, path: tuple[str, ...], child: Tree) -> Branch:
    name, *rest = path
    below = _set(_at(tree, name, child), tuple(rest), child) if rest else child
    return replace(tree, children={**tree.children, name: below})


def _at(tree: Branch, name: str, child: Tree) -> Branch:
    """Return the map ``name`` of ``tree``, or a new one with the place of ``child``."""
    return tree.branch(name) if name in tree else Branch(where=child.where, layer=child.layer)
