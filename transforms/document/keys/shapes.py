"""The shapes that a value of a document can have. Each has a JSON Schema and makes the canonical form.

The alternatives of a shape always differ in their JSON type (a string or ``{template: …}``, a list or a map), so that
the schema needs no ``anyOf``, and an error is about the alternative that was meant. Every value may be ``null``, which
removes the value of lower layers (docs/design/documents.md, rule 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ordain.transforms.document.formats.command_line import BadCommandLine, split
from ordain.transforms.document.text.node import Node, Number, pointer_below
from ordain.transforms.errors import Problem, Where
from ordain.transforms.model import Branch, Leaf, Template, Tree, Value

Schema = dict[str, Any]

TEMPLATE: Schema = {
    "properties": {"template": {"type": "string", "title": "the text of a jinja2 template"}},
    "required": ["template"],
    "additionalProperties": False,
}


@dataclass(slots=True)
class Position:
    """The place of a value while it is brought to canonical form; it collects problems that no schema can find."""

    layer: str
    pointer: str = ""
    problems: list[Problem] = field(default_factory=list)

    def below(self, key: str | int) -> Position:
        """Return the position of ``key`` in this map or list; its problems go into the same list."""
        return Position(self.layer, pointer_below(self.pointer, key), self.problems)

    def where(self, place: Where) -> Where:
        """Return ``place`` with this pointer."""
        return replace(place, pointer=self.pointer)

    def leaf(self, value: Value, node: Node) -> Leaf:
        """Return a leaf that comes from ``node``."""
        return Leaf(value=value, where=self.where(node.where), layer=self.layer)

    def branch(self, children: Mapping[str, Tree], place: Where) -> Branch:
        """Return a map at ``place``."""
        return Branch(children=children, where=self.where(place), layer=self.layer)


class Shape(Protocol):
    """The form of a value. ``about`` is a sentence for the reference, ``title`` a noun for errors."""

    @property
    def about(self) -> str:
        """Return the sentence about the value for the reference."""

    def schema(self) -> Schema:
        """Return the JSON Schema (2020-12)."""

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return the canonical form of a value that fits the schema."""


def _annotated(schema: Schema, title: str, about: str, example: str) -> Schema:
    extra = {"title": title, "description": about, "examples": [example] if example else None}
    return {**{key: value for key, value in extra.items() if value}, **schema}


def _text(node: Node) -> Value:
    """Return a string, or the template that will make it."""
    if isinstance(node.value, Mapping):
        return Template(str(node.value["template"].value))
    return str(node.value)


@dataclass(frozen=True, slots=True)
class String:
    """A string or a template. ``format`` names a check of `formats`."""

    about: str = ""
    title: str = "a string"
    format: str = ""
    example: str = ""
    template: bool = True

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        types = ["string", "object", "null"] if self.template else ["string", "null"]
        form: Schema = {"format": self.format} if self.format else {}
        return _annotated(
            {"type": types, **form, **(TEMPLATE if self.template else {})},
            self.title,
            self.about,
            self.example,
        )

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds `str` or `Template`."""
        return at.leaf(None if node.value is None else _text(node), node)


@dataclass(frozen=True, slots=True)
class Flag:
    """A value that is true or false."""

    about: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return _annotated({"type": ["boolean", "null"]}, "true or false", self.about, "")

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds `bool`."""
        return at.leaf(node.value if isinstance(node.value, bool) else None, node)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number in a range."""

    about: str = ""
    least: int = 0
    most: int = 2**32 - 1

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        title = f"a whole number from {self.least} to {self.most}"
        return _annotated(
            {"type": ["integer", "null"], "minimum": self.least, "maximum": self.most}, title, self.about, ""
        )

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds `int`."""
        return at.leaf(int(node.value.number) if isinstance(node.value, Number) else None, node)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]
    about: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        title = "one of " + ", ".join(self.words)
        return _annotated({"enum": [*self.words, None]}, title, self.about, "")

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds `str`."""
        return at.leaf(None if node.value is None else str(node.value), node)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of strings; one string is shorthand for a list of one. Layers replace the list as a whole.

    ``template``: a template may stand for the whole list.
    """

    item: String
    about: str = ""
    example: str = ""
    template: bool = True

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        form: Schema = {"format": self.item.format} if self.item.format else {}
        item = {key: value for key, value in self.item.schema().items() if key != "description"}
        item["type"] = [kind for kind in item["type"] if kind != "null"]
        schema = {
            "type": ["string", "array", "object", "null"] if self.template else ["string", "array", "null"],
            **form,
            "items": item,
            **(TEMPLATE if self.template else {}),
            "x-merge": "sequence",
        }
        return _annotated(schema, f"{self.item.title}, or a list of them", self.about, self.example)

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds a tuple of strings and templates."""
        if node.value is None:
            return at.leaf(None, node)
        items = node.value if isinstance(node.value, tuple) else (node,)
        return at.leaf(tuple(_text(item) for item in items), node)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """An argument vector, or a list of them; a string is split as a shell does, but not expanded (rule 10)."""

    about: str = ""
    example: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        word: Schema = {"type": ["string", "object"], "title": "a word", **TEMPLATE}
        vector = {
            **word,
            "type": ["string", "array", "object"],
            "title": "a word, or a list of words",
            "items": word,
            "minItems": 1,
        }
        schema = {
            "type": ["string", "array", "null"],
            "format": "command",
            "items": vector,
            "minItems": 1,
            "x-merge": "sequence",
        }
        return _annotated(
            schema, "a command: a string, a list of words, or a list of such lists", self.about, self.example
        )

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds a tuple of argument vectors, each a tuple of strings and templates."""
        if node.value is None:
            return at.leaf(None, node)
        if isinstance(node.value, str):
            return at.leaf((self.words(node.value),), node)
        assert isinstance(node.value, tuple)
        if not any(isinstance(item.value, tuple) for item in node.value):
            return at.leaf((tuple(map(_text, node.value)),), node)
        vectors: list[tuple[Value, ...]] = []
        for item in node.value:
            if isinstance(item.value, tuple):
                vectors.append(tuple(map(_text, item.value)))
            elif isinstance(item.value, str):
                vectors.append(self.words(item.value))
            else:
                what = "a template cannot make a whole command"
                at.problems.append(Problem(where=at.where(item.where), what=what, hint="write a list of words"))
        return at.leaf(tuple(vectors), node)

    @staticmethod
    def words(text: str) -> tuple[str, ...]:
        """Return the words of a command line; the format in the schema has reported wrong quotes already."""
        try:
            return split(text)
        except BadCommandLine:
            return (text,)


@dataclass(frozen=True, slots=True)
class MemberWord:
    """The value of a member of a set: ``true`` or a string, which is one of ``words`` if there are any."""

    words: tuple[str, ...] = ()
    about: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        if self.words:
            return _annotated({"enum": [True, *self.words, None]}, f"true, {' or '.join(self.words)}", self.about, "")
        return _annotated(
            {"type": ["string", "boolean", "null"], "not": {"const": False}},
            "true or a string",
            self.about,
            "",
        )

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds True or `str`."""
        value = node.value if isinstance(node.value, bool) or node.value is None else str(node.value)
        return at.leaf(value, node)


@dataclass(frozen=True, slots=True)
class Set:
    """A set of names: ``{NAME: true}``; a list, or a single name, as shorthand. Layers add names; null removes one.

    ``of`` is the shape of the value of a name, such as the keys of an instance; without it, only true is allowed.
    """

    about: str = ""
    title: str = "a name"
    format: str = ""
    of: Shape | None = None
    example: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        form: Schema = {"format": self.format} if self.format else {}
        name: Schema = {"type": "string", "title": self.title, **form}
        schema = {
            "type": ["string", "array", "object", "null"],
            **form,
            "items": name,
            "propertyNames": name,
            "additionalProperties": self.of.schema() if self.of else {"enum": [True, None], "title": "true or null"},
            "x-merge": "set",
        }
        title = f"{self.title}, a list of them, or a map from {self.title} to true"
        return _annotated(schema, title, self.about, self.example)

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a branch of leaves that hold True, or of the canonical forms of ``of``."""
        if node.value is None:
            return at.leaf(None, node)
        children: dict[str, Tree] = {}
        if isinstance(node.value, tuple | str):
            for item in node.value if isinstance(node.value, tuple) else (node,):
                below = at.below(str(item.value))
                bare = below.branch({}, item.where) if isinstance(self.of, Record) else below.leaf(True, item)
                children[str(item.value)] = bare
        elif isinstance(node.value, Mapping):
            for name, item in node.value.items():
                below = at.below(name)
                value = None if item.value is None else True
                children[name] = self.of.canonical(item, below) if self.of else below.leaf(value, item)
        return at.branch(children, node.where)


@dataclass(frozen=True, slots=True)
class Map:
    """A map from names to values of one shape. ``keys`` are words in it that are not names, with their shapes."""

    of: Shape
    about: str = ""
    key: str = "a name"
    format: str = ""
    keys: Mapping[str, Shape] = field(default_factory=dict)

    def below(self, name: str) -> Shape:
        """Return the shape of the value at ``name``."""
        return self.keys.get(name, self.of)

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        form: Schema = {"format": self.format} if self.format else {}
        schema = {
            "type": ["object", "null"],
            "propertyNames": {"type": "string", "title": self.key, **form},
            "additionalProperties": self.of.schema(),
        }
        if self.keys:
            schema["properties"] = {name: shape.schema() for name, shape in self.keys.items()}
        return _annotated(schema, f"a map from {self.key}", self.about, "")

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a branch."""
        if not isinstance(node.value, Mapping):
            return at.leaf(None, node)
        return at.branch({k: self.below(k).canonical(v, at.below(k)) for k, v in node.value.items()}, node.where)


@dataclass(frozen=True, slots=True)
class Record:
    """A map with known keys.

    ``one_of`` holds groups of keys that exclude each other: a document sets at most one key of a group, and with it
    removes the others of lower layers (rule 6). ``shorthand``: a bare string means ``{shorthand: STRING}``.
    ``aliases`` maps other names of keys to the names that the canonical form has, so that layers can use either.
    """

    keys: Mapping[str, Shape]
    about: str = ""
    title: str = "a map"
    one_of: tuple[tuple[str, ...], ...] = ()
    shorthand: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        types = ["object", "null"] + (["string"] if self.shorthand else [])
        schema: Schema = {
            "type": types,
            "properties": {name: shape.schema() for name, shape in self.keys.items()},
            "additionalProperties": False,
        }
        if self.one_of:
            schema["x-one-of"] = [list(group) for group in self.one_of]
        if self.shorthand:
            schema |= {"if": {"type": "string"}, "then": self.keys[self.shorthand].schema()}
        return _annotated(schema, self.title, self.about, "")

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a branch."""
        if isinstance(node.value, Mapping):
            children: dict[str, Tree] = {}
            for key, value in node.value.items():
                name = self.aliases.get(key, key)
                if name in children:
                    place = at.below(key).where(value.where)
                    what, hint = f"{name} is set twice, under two names of the key", f"write only {name}"
                    at.problems.append(Problem(where=place, what=what, hint=hint))
                children[name] = self.keys[key].canonical(value, at.below(name))
            return at.branch(children, node.where)
        if node.value is None or not self.shorthand:
            return at.leaf(None, node)
        short = self.keys[self.shorthand].canonical(node, at.below(self.shorthand))
        return at.branch({self.shorthand: short}, node.where)


@dataclass(frozen=True, slots=True)
class TaggedRecord:
    """A map whose known keys depend on the word at one of them, its ``tag``; ``default`` is that word unless set.

    ``required`` names, for each word, the keys that a map of this kind must have.
    """

    tag: str
    about_tag: str
    default: str
    cases: Mapping[str, Record]
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    about: str = ""
    title: str = "a map"

    def schema(self) -> Schema:
        """Return the JSON Schema: one ``if`` for each word of the tag."""
        words = Choice(tuple(self.cases), self.about_tag).schema()
        schema: Schema = {
            "type": ["object", "null"],
            "properties": {self.tag: words},
            "allOf": [self._case(word, record) for word, record in self.cases.items()],
        }
        return _annotated(schema, self.title, self.about, "")

    def _case(self, word: str, record: Record) -> Schema:
        required = self.required.get(word, ())
        keys = {name: shape.schema() for name, shape in record.keys.items()}
        for name in required:
            keys[name] |= {"type": [kind for kind in keys[name]["type"] if kind != "null"], "minItems": 1}
        tagged: Schema = {"properties": {self.tag: {"enum": [word]}}, "required": [self.tag]}
        if word == self.default:
            tagged = {"properties": {self.tag: {"enum": [word, None]}}}
        known: Schema = {"properties": {self.tag: {}, **keys}, "additionalProperties": False}
        return {"if": {"type": "object", **tagged}, "then": known | ({"required": list(required)} if required else {})}

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a branch, which holds the tag always."""
        if not isinstance(node.value, Mapping):
            return at.leaf(None, node)
        given = node.value.get(self.tag)
        word = self.default if given is None or given.value is None else str(given.value)
        children: dict[str, Tree] = {self.tag: at.below(self.tag).leaf(word, given or node)}
        keys = self.cases[word].keys
        children |= {k: keys[k].canonical(v, at.below(k)) for k, v in node.value.items() if k != self.tag}
        return at.branch(children, node.where)


@dataclass(frozen=True, slots=True)
class LabelValues:
    """The values of a label: a string, true or false, or a list of them."""

    about: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        value: Schema = {"type": ["string", "boolean"], "title": "a value", "format": "label-value"}
        schema = {"type": ["string", "array", "boolean"], "format": "label-value", "items": value}
        return _annotated(schema, "a value or a list of values", self.about, "")

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds a tuple of `str`, each once."""
        items = node.value if isinstance(node.value, tuple) else (node,)
        words = (str(item.value).lower() if isinstance(item.value, bool) else str(item.value) for item in items)
        return at.leaf(tuple(dict.fromkeys(words)), node)


@dataclass(frozen=True, slots=True)
class FreeForm:
    """A map of any form, as in the section ``values``. A list in it is one leaf."""

    about: str = ""
    title: str = "a map"

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return _annotated({"type": ["object", "null"]}, self.title, self.about, "")

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return branches for maps and leaves for everything else."""
        if isinstance(node.value, Mapping):
            return at.branch({k: self.canonical(v, at.below(k)) for k, v in node.value.items()}, node.where)
        return at.leaf(self.value(node), node)

    def value(self, node: Node) -> Value:
        """Return the value of a leaf; maps inside lists become tuples of pairs."""
        if isinstance(node.value, Mapping):
            return tuple((key, self.value(child)) for key, child in node.value.items())
        if isinstance(node.value, tuple):
            return tuple(map(self.value, node.value))
        return node.value.number if isinstance(node.value, Number) else node.value
