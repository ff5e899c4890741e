"""The section ``settings``: each setting is an item with files, and adds values to other sections.

    tree ─render_settings─▶ (RenderedItem, additions) of each setting ─add─▶ tree, with the values in other sections

An added value has the place of the setting in the documents, so that all that follows works as for the other values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ordain.transforms.catalog.names import Names
from ordain.transforms.catalog.setting_systems import holes
from ordain.transforms.document.text.node import pointer_below
from ordain.transforms.errors import Problem, blocked, did_you_mean, is_blocked
from ordain.transforms.model import Branch, Leaf, Tree, strings
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.settings.additions import Addition, add, present
from ordain.transforms.render.settings.setting_values import PlainValue, default_value, typed_value
from ordain.transforms.render.settings.setting_writes import SettingsMachine, chosen_writes, write_setting
from ordain.transforms.template.expand import Scope, expand

Elsewhere = Callable[[str], tuple[str, ...]]
"""The known systems that write a setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedSetting:
    """One setting: its item, and the values that it adds to other sections."""

    item: RenderedItem
    additions: tuple[Addition, ...] = ()


def render_settings(tree: Branch, machine: SettingsMachine, elsewhere: Elsewhere) -> Iterator[RenderedSetting]:
    """Yield each setting of ``tree`` in the order of their names."""
    names = machine.names
    section = tree.branch("settings")
    values: dict[str, PlainValue] = {}
    checked: dict[str, tuple[Leaf, tuple[Problem, ...]]] = {}
    for name, child in sorted(section.children.items()):
        values[name], problems = _value(name, child, names, machine.scope)
        checked[name] = (child if isinstance(child, Leaf) else child.here, problems)
    names.asked.clear()  # the rows that one setting uses: those that were read for all of them do not count
    machine = replace(machine, made=_made(tree), values=_WithDefaults(values, names))
    for name, (leaf, problems) in checked.items():
        names.setting(name)  # recorded as used by this setting
        item = pointer_below("settings", name)
        if is_blocked(problems):
            yield RenderedSetting(item=RenderedItem(pointer=item, problems=problems))
            continue
        writes = chosen_writes(names.setting(name), machine)
        if reason := next(holes(writes, names), ""):
            hole = _hole(item, leaf, reason, names.setting(name), elsewhere(name))
            yield RenderedSetting(item=RenderedItem(pointer=item, problems=(hole,)))
            continue
        written = write_setting(item, leaf, values[name], writes, machine)
        additions = tuple(written.additions)
        problems = (*written.problems, *_clashes(item, tree, additions))
        if is_blocked(problems):
            yield RenderedSetting(item=RenderedItem(pointer=item, problems=problems))
            continue
        tree = add(tree, additions)
        made = RenderedItem(
            pointer=item, artifacts=tuple(written.artifacts), members=tuple(written.members), problems=problems
        )
        yield RenderedSetting(item=made, additions=additions)


class _WithDefaults(dict[str, PlainValue]):
    """The values of settings by name; one that no document sets has its default."""

    def __init__(self, values: Mapping[str, PlainValue], names: Names) -> None:
        super().__init__(values)
        self._names = names

    def get(self, name: str, default: PlainValue = None) -> PlainValue:  # type: ignore[override]
        if name in self:
            return self[name]
        return default_value(self._names.setting(name))


def _value(name: str, child: Tree, names: Names, scope: Scope) -> tuple[PlainValue, tuple[Problem, ...]]:
    """Return the checked value of a setting, and its problems."""
    item = pointer_below("settings", name)
    if name not in names.settings():
        place = child if isinstance(child, Leaf) else child.here
        hint = did_you_mean(name, names.settings()) or "define it: `settings` of a Transform has its type and writes"
        return None, (blocked(item, place.where, f"there is no setting {name}", hint, "Unmapped"),)
    expanded, problems = expand(Branch(children={name: child}), scope, item)
    if problems:
        return None, problems
    return typed_value(item, expanded.children[name], names.setting(name))


def _hole(item: str, leaf: Leaf, reason: str, definition: Branch, systems: tuple[str, ...]) -> Problem:
    """Return the problem that this system cannot have a setting, because of ``reason``."""
    what = f"{reason}; systems that write it: {', '.join(systems) or 'none of those known'}"
    hint = str(definition.value("instead", "place the file that its program reads in `files`"))
    return blocked(item, leaf.where, what, hint, "Unmapped")


def _made(tree: Branch) -> frozenset[str]:
    """Return the units that the documents define whole."""
    own = (f"{name}.service" for name, service in tree.branch("services").branches() if "command" in service)
    return frozenset((*(name for name in tree.branch("units") if not name.endswith(".d")), *own))


def _clashes(item: str, tree: Branch, additions: Iterable[Addition]) -> Iterator[Problem]:
    for addition in additions:
        other = present(tree, addition)
        if other is not None and strings(other.value) != strings(addition.leaf.value):
            shown = " ".join(strings(other.value))
            what = (
                f"it needs {'/'.join(addition.path)} to be {' '.join(strings(addition.leaf.value))}, which is {shown}"
            )
            hint = f"remove one of them; the other is at {other.where}"
            yield blocked(item, addition.leaf.where, what, hint, "Clash")
