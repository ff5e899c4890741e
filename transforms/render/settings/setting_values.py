"""The value of a setting, checked against its definition: what the templates of the definition get.

A list becomes a list, a map and a record become maps; a key of a record that is not set is its default, or null. A text
in the result has only the characters that its type allows (`document.formats.setting_types`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ordain.transforms.document.formats.setting_types import FLAG, RECORD, SCALARS, SettingType, parse_type
from ordain.transforms.errors import Problem, blocked, did_you_mean
from ordain.transforms.model import Branch, Leaf, Tree, Value, strings

PlainValue = str | int | bool | None | list["PlainValue"] | dict[str, "PlainValue"]


def typed_value(item: str, tree: Tree, definition: Branch) -> tuple[PlainValue, tuple[Problem, ...]]:
    """Return the value ``tree`` of the setting ``item``, and the problems for which the machine cannot have it."""
    reader = _Reader(item)
    value = reader.value(tree, _type_of(definition), definition)
    return value, tuple(reader.problems)


def default_value(definition: Branch) -> PlainValue:
    """Return the value that a setting has where no document sets one, None for none. Raises `ValueError`."""
    leaf = definition.leaf("default")
    if leaf is None:
        return None
    value, problems = typed_value("", leaf, definition)
    if problems:
        raise ValueError(problems[0].what)
    return value


def _type_of(definition: Branch) -> SettingType:
    return parse_type(str(definition.value("type", "text")))


@dataclass(slots=True)
class _Reader:
    item: str
    problems: list[Problem] = field(default_factory=list)

    def value(self, tree: Tree, kind: SettingType, bounds: Branch) -> PlainValue:
        if kind.outer[:1] == ("map",):
            return self.map(tree, kind, bounds)
        if kind.inner == RECORD:
            return self.record(tree, bounds)
        if isinstance(tree, Branch):
            return self.wrong(tree.here, "a map", _words(kind), "write the value itself")
        if kind.outer:
            items = tree.value if isinstance(tree.value, tuple) else (tree.value,)
            return [self.scalar(item, tree, kind, bounds) for item in items]
        if isinstance(tree.value, tuple):
            return self.wrong(tree, "a list", _words(kind), "write one value")
        return self.scalar(tree.value, tree, kind, bounds)

    def map(self, tree: Tree, kind: SettingType, bounds: Branch) -> PlainValue:
        if isinstance(tree, Leaf):
            return self.wrong(tree, _shown(tree), "a map", "write names with their values below")
        names = SettingType(str(bounds.value("names", "name")))
        values: dict[str, PlainValue] = {}
        for name, child in sorted(tree.children.items()):
            self.scalar(name, child if isinstance(child, Leaf) else child.here, names, Branch())
            values[name] = self.value(child, kind.below, bounds)
        return values

    def record(self, tree: Tree, bounds: Branch) -> PlainValue:
        if isinstance(tree, Leaf):
            return self.wrong(tree, _shown(tree), "a map", f"write {', '.join(bounds.branch('keys'))} below")
        keys = dict(bounds.branch("keys").branches())
        for name, child in tree.children.items():
            if name not in keys:
                place = child if isinstance(child, Leaf) else child.here
                self.block(
                    place, f"there is no key {name}", did_you_mean(name, keys) or f"known keys: {', '.join(keys)}"
                )
        return {name: self.key(name, tree, own) for name, own in keys.items()}

    def key(self, name: str, record: Branch, bounds: Branch) -> PlainValue:
        child = record.children.get(name) or bounds.leaf("default")
        if child is not None:
            return self.value(child, _type_of(bounds), bounds)
        if bounds.value("required"):
            self.block(record.here, f"the key {name} is missing", str(bounds.value("about", "")))
        return None

    def scalar(self, value: Value, leaf: Leaf, kind: SettingType, bounds: Branch) -> str | int | bool | None:
        title, read = SCALARS[kind.inner]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words = strings(bounds.value("words", ()))
        if words:
            if text not in words:
                hint = did_you_mean(text, words) or f"write one of {', '.join(words)}"
                self.block(leaf, f"{_quoted(text)} is not one of {', '.join(words)}", hint)
            return text
        if kind.inner == FLAG or isinstance(value, bool):
            if kind.inner == FLAG and text in ("true", "false"):
                return text == "true"
            self.block(leaf, f"{_quoted(text)} is not {title}", "" if kind.inner == FLAG else "write it in quotes")
            return None
        try:
            result = read(text)
        except ValueError as error:
            self.block(leaf, f"{_quoted(text)} is not {title}", str(error))
            return None
        for what, hint in _out_of_bounds(result, bounds):
            self.block(leaf, what, hint)
        return result

    def wrong(self, leaf: Leaf, shown: str, wanted: str, hint: str) -> PlainValue:
        self.block(leaf, f"{shown} is not {wanted}", hint)
        return None

    def block(self, leaf: Leaf, what: str, hint: str) -> None:
        self.problems.append(blocked(self.item, leaf.where, what, hint))


def _out_of_bounds(value: str | int, bounds: Branch) -> Iterator[tuple[str, str]]:
    least, most = bounds.value("least"), bounds.value("most")
    if isinstance(value, int) and isinstance(least, int) and value < least:
        yield f"{value} is too small", f"write {least} at least"
    if isinstance(value, int) and isinstance(most, int) and value > most:
        yield f"{value} is too large", f"write {most} at most"


def _words(kind: SettingType) -> str:
    title = SCALARS[kind.inner][0]
    return f"a list of values, each of them {title}" if kind.outer else title


def _shown(leaf: Leaf) -> str:
    return "a list" if isinstance(leaf.value, tuple) else _quoted(str(leaf.value))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
