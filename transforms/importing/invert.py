"""Settings of a service → the neutral keys that render to the same settings, and the rest in systemd's own syntax.

The tables of `service` are read backwards to propose a value for each key; the renderer itself then has the last
word: a proposal whose lines do not mean what the file said is dropped, and the setting stays raw under ``systemd``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.document import command_line as commandline
from ordain.transforms.document import validate
from ordain.transforms.document.node import Node
from ordain.transforms.document.service_keys import CONDITIONS, SERVICE
from ordain.transforms.document.shapes import Choice, Flag, Integer, Position, Record, Sequence, Shape, String
from ordain.transforms.importing import schema_filter
from ordain.transforms.importing.draft import Plain
from ordain.transforms.importing.unit_reader import Settings
from ordain.transforms.model import Branch, Kind
from ordain.transforms.render import service_directives
from ordain.transforms.render.unit_draft import UnitDraft
from ordain.transforms.systemd import encode, splitting, values

Place = tuple[str, str]
"""Section and key."""

PLAIN = {place: pointer for pointer, place in service_directives.PLAIN.items()}
COMMANDS = {("Service", key): name for name, key in service_directives.COMMANDS.items()}
DEPENDENCIES = {("Unit", key): name for name, key in service_directives.DEPENDENCIES.items()}
CONDITION = {("Unit", key): name for name, key in CONDITIONS.items()}
CREDENTIALS = {("Service", key): name for name, key in service_directives.CREDENTIALS.items()}
KILL = re.compile(r"(?:/usr)?/bin/kill (?:-s ?|-)(?:SIG)?([A-Z]+[0-9]?) \$MAINPID")
PREFIXES = "-@:+!|"
"""What may stand before the program of an Exec line, all of it with a meaning (systemd.service(5))."""
_SYSTEMS_OWN = re.compile(r"(?<!%)(?:%%)*%(?!%)|\$|(?:^|\s)\\?;(?:\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What names mean: ``context`` for the renderer, ``taken`` the names of services that this import makes."""

    context: service_directives.Context
    taken: frozenset[str] = frozenset()

    def service_of(self, unit: str) -> str:
        """The neutral name of a distribution's unit, "" if it has none or the import needs that name."""
        names = self.context.names
        found = [n for n in names.services() if names.service(n, "unit") == unit and n not in self.taken]
        stem = unit.rpartition(".")[0]
        return min(found, key=lambda n: (n not in stem, -len(n), n), default="")

    def milestone_of(self, unit: str) -> str:
        """The neutral name of a target, "" if it has none."""
        names = self.context.names
        return min((n for n in names.milestones() if names.milestone(n) == unit), default="")


def entry(settings: Settings, known: Known, *, drop_in: bool = False) -> dict[str, Plain]:
    """The entry of a service that renders to ``settings``; [Install] is left to the caller.

    ``drop_in``: the settings are laid over a unit of the distribution, so that an empty one is carried, too.
    """
    texts = {place: tuple(a.value for a in those) for place, those in settings.items() if place[0] != "Install"}
    proposals = dict(_proposals(texts, known, drop_in))
    while proposals and (wrong := _wrong(proposals, texts, known, drop_in)):
        proposals = {pointer: p for pointer, p in proposals.items() if pointer not in wrong}
    made: dict[str, Plain] = {}
    for pointer, proposal in proposals.items():
        _set(made, pointer, proposal.value)
    covered = {place for proposal in proposals.values() for place in proposal.places}
    raw = {place: those for place, those in texts.items() if place not in covered}
    for (section, key), those in raw.items():
        _set(made, f"systemd/{section}/{key}", those[0] if len(those) == 1 else list(those))
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proposal:
    value: Plain
    places: tuple[Place, ...]


def _proposals(texts: Mapping[Place, tuple[str, ...]], known: Known, drop_in: bool) -> Iterator[tuple[str, _Proposal]]:
    rest = dict(texts)
    yield from _dependencies(rest, known)
    if (both := rest.get(("Service", "AmbientCapabilities"))) and both == rest.get(
        ("Service", "CapabilityBoundingSet")
    ):
        yield "capabilities", _Proposal(value=_capabilities(both), places=tuple(("Service", k) for k in _CAPABILITY))
    for place, those in rest.items():
        if drop_in and "" in those and place not in COMMANDS:
            continue
        try:
            found = tuple(_value(place, those, drop_in))
        except (ValueError, _Specifier):
            continue
        for pointer, value in found:
            yield pointer, _Proposal(value=value, places=(place,))


_CAPABILITY = ("AmbientCapabilities", "CapabilityBoundingSet")


def _capabilities(texts: tuple[str, ...]) -> Plain:
    names = [name.lower().removeprefix("cap_").replace("_", "-") for text in texts for name in text.split()]
    return [*names]


def _value(place: Place, texts: tuple[str, ...], drop_in: bool) -> Iterator[tuple[str, Plain]]:
    if place in PLAIN:
        yield from _plain(PLAIN[place], place, texts)
    elif place in COMMANDS:
        yield from _command(COMMANDS[place], texts, drop_in)
    elif place in CONDITION:
        yield f"condition/{CONDITION[place]}", _one_or_list(map(_literal, texts))
    elif place in CREDENTIALS:
        for text in texts:
            name, _, source = text.partition(":")
            yield f"credentials/{name}/{CREDENTIALS[place]}", _literal(source)
    elif place == ("Service", "Environment"):
        for word in (w for text in texts for w in splitting.split(text, unescape=True)):
            name, _, value = word.partition("=")
            yield f"environment/{name}", _literal(value)
    elif place == ("Service", "ReadWritePaths"):
        yield (
            "sandbox/write",
            _one_or_list(_literal(w) for text in texts for w in splitting.split(text, unescape=False)),
        )
    elif place == ("Service", "PrivateNetwork") and values.boolean(texts[-1]):
        yield "sandbox/network", False


def _one_or_list(items: Iterable[str]) -> Plain:
    listed: list[Plain] = [*items]
    return listed[0] if len(listed) == 1 else listed


class _Specifier(Exception):
    """The text holds a specifier, so it is no literal."""


def _literal(text: str) -> str:
    """What a text without specifiers means."""
    if "%" in text.replace("%%", ""):
        raise _Specifier
    return text.replace("%%", "%")


def _plain(pointer: str, place: Place, texts: tuple[str, ...]) -> Iterator[tuple[str, Plain]]:
    shape = shape_of(pointer)
    last = texts[-1]
    if isinstance(shape, Flag):
        yield pointer, values.boolean(last)
    elif isinstance(shape, Integer):
        yield pointer, int(last)
    elif isinstance(shape, (String, Choice)):
        takes_it = encode.encode(*place, last) == last
        text = last if takes_it else _literal(last)
        yield pointer, text.removesuffix(".slice") if pointer == "slice" else text
    elif isinstance(shape, Sequence):
        whole = pointer == "environment-files"
        found = (w for text in texts for w in ((text,) if whole else splitting.split(text, unescape=False)))
        yield pointer, _one_or_list(map(_literal, found))


def shape_of(pointer: str) -> Shape | None:
    """The shape of a key of a service."""
    shape: Shape | None = SERVICE
    for key in pointer.split("/"):
        shape = shape.keys.get(key) if isinstance(shape, Record) else None
    return shape


def _command(name: str, texts: tuple[str, ...], drop_in: bool) -> Iterator[tuple[str, Plain]]:
    if drop_in:  # the renderer resets what the distribution has; a command alone would make the service ours
        if texts[0] or name == "command":
            return
        texts = texts[1:]
    if name == "reload" and len(texts) == 1 and (kill := KILL.fullmatch(texts[0])):
        yield name, f"SIG{kill[1]}"
        return
    if not texts or any(_SYSTEMS_OWN.search(text) or text.startswith(tuple(PREFIXES)) for text in texts):
        return
    vectors = [[_literal(word) for word in splitting.split(text, unescape=True)] for text in texts]
    if len(vectors) == 1:
        yield name, command_line(vectors[0])
    else:
        listed: list[Plain] = [[*vector] for vector in vectors]
        yield name, listed


def command_line(argv: list[str]) -> Plain:
    """An argument vector as a person would write it: one string where that is split into the same words."""
    line = " ".join(argv)
    try:
        same = commandline.split(line) == tuple(argv)
    except commandline.BadCommandLine:
        same = False
    return line if same and "'" not in line and '"' not in line else [*argv]


def _dependencies(rest: dict[Place, tuple[str, ...]], known: Known) -> Iterator[tuple[str, _Proposal]]:
    """Takes the dependencies out of ``rest``. A milestone in ``after`` wants it, too; so one word says both."""
    units = {p: list(dict.fromkeys(w for t in rest.pop(p) for w in t.split())) for p in DEPENDENCIES if p in rest}
    wanted = units.get(_WANTS, [])
    both = {unit for unit in units.get(_AFTER, ()) if unit in wanted and known.milestone_of(unit)}
    mounts = [word for text in rest.pop(_MOUNTS, ()) for word in splitting.split(text, unescape=False)]
    if mounts:
        units.setdefault(_REQUIRES, [])
    for place, those in units.items():
        key = DEPENDENCIES[place]
        if place == _AFTER:
            names = [known.milestone_of(unit) if unit in both else known.service_of(unit) or unit for unit in those]
        else:
            names = [known.service_of(unit) or unit for unit in those if place != _WANTS or unit not in both]
        listed: list[Plain] = [*names, *(mounts if place == _REQUIRES else ())]
        extra = {_AFTER: _WANTS if both else _AFTER, _REQUIRES: _MOUNTS if mounts else _REQUIRES}.get(place, place)
        if listed:
            yield key, _Proposal(value=listed, places=tuple(dict.fromkeys((place, extra))))


_AFTER, _WANTS, _REQUIRES = (("Unit", key) for key in ("After", "Wants", "Requires"))
_MOUNTS = ("Unit", "RequiresMountsFor")


def _wrong(
    proposals: Mapping[str, _Proposal], texts: Mapping[Place, tuple[str, ...]], known: Known, drop_in: bool
) -> set[str]:
    """The proposals that are no document, or come to anything else than ``texts``."""
    lines, wrong = _rendered(proposals, known, drop_in)
    if wrong:
        return wrong
    for place in {*lines, *(place for proposal in proposals.values() for place in proposal.places)}:
        if meaning(place, lines.get(place, ())) == meaning(place, texts.get(place, ())):
            continue
        guilty = {pointer for pointer, proposal in proposals.items() if place in proposal.places}
        wrong |= guilty or {p for p, one in proposals.items() if place in _rendered({p: one}, known, drop_in)[0]}
    return wrong


def _rendered(
    proposals: Mapping[str, _Proposal], known: Known, drop_in: bool
) -> tuple[dict[Place, tuple[str, ...]], set[str]]:
    """The lines that ``proposals`` come to; and those of them that cannot be, in which case there are no lines."""
    made: dict[str, Plain] = {}
    for pointer, proposal in proposals.items():
        _set(made, pointer, proposal.value)
    wrong = {
        problem.where.pointer.removeprefix(_ENTRY)
        for problem in validate.problems(schema_filter.document({"services": {"x": made}}), Kind.LAYER)
    }
    lines: dict[Place, tuple[str, ...]] = {}
    if not wrong:
        draft = UnitDraft(unit="x.service", item="", systemd=NEWEST, drop_in="x.conf" if drop_in else "")
        at = Position("import")
        branch = SERVICE.canonical(schema_filter.node(made), at)
        assert isinstance(branch, Branch)
        service_directives.render(branch, draft, known.context)
        wrong = {problem.where.pointer for problem in (*at.problems, *draft.problems)}
        for line in draft.lines:
            lines[line.section, line.key] = (*lines.get((line.section, line.key), ()), line.value)
    return lines, {p for p in proposals for w in wrong if f"{w}/".startswith(f"{p}/") or f"{p}/".startswith(f"{w}/")}


NEWEST = 999
"""A systemd that knows all: what the target does not know is for `compile` to say."""
_ENTRY = "services/x/"


def valid(entry: dict[str, Plain], key: str) -> Node | None:
    """The value of ``key`` in the entry of a service, if the schema takes that."""
    document = schema_filter.document({"services": {"x": entry}})
    return None if validate.problems(document, Kind.LAYER) else document.at(("services", "x", key))


def meaning(place: Place, texts: tuple[str, ...]) -> object:
    """What systemd makes of the assignments of one setting, so far as two spellings of it are the same."""
    try:
        return _meaning(place, texts)
    except ValueError:
        return texts


def _meaning(place: Place, texts: tuple[str, ...]) -> object:
    key = place[1]
    shape = shape_of(PLAIN[place]) if place in PLAIN else None
    if place in DEPENDENCIES or place == _MOUNTS or key in _CAPABILITY:
        return frozenset(word.upper() if key in _CAPABILITY else word for text in texts for word in text.split())
    if place in COMMANDS:
        return tuple(("kill", k[1]) if (k := KILL.fullmatch(t)) else splitting.split(t, unescape=True) for t in texts)
    if key == "Environment":
        return dict(w.partition("=")[::2] for text in texts for w in splitting.split(text, unescape=True))
    if place in CONDITION or place in CREDENTIALS:
        return frozenset(texts)
    if key == "ReadWritePaths" or (isinstance(shape, Sequence) and key != "EnvironmentFile"):
        return tuple(word for text in texts for word in splitting.split(text, unescape=False))
    if not texts or key == "EnvironmentFile":
        return texts
    if key == "PrivateNetwork" or isinstance(shape, Flag):
        return values.boolean(texts[-1])
    return int(texts[-1]) if isinstance(shape, Integer) else texts[-1]


def _set(tree: dict[str, Plain], pointer: str, value: Plain) -> None:
    *path, last = pointer.split("/")
    for key in path:
        inner = tree.setdefault(key, {})
        assert isinstance(inner, dict)
        tree = inner
    tree[last] = value
