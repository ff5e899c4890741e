"""Settings of a service as the neutral keys that render to the same settings; the others stay in systemd's own syntax.

    Settings ──propose──▶ a value for each key ──render──▶ lines ──compare──▶ the proposals that mean the same

Proposals come from the tables of `service_directives`, read backwards. Then the renderer decides: if the lines of a
proposal mean something else than the file, the proposal is dropped, and its settings stay raw under ``systemd``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.document import validate
from ordain.transforms.document.formats import command_line
from ordain.transforms.document.keys.service_keys import CONDITIONS, SERVICE
from ordain.transforms.document.keys.shapes import Choice, Flag, Integer, Position, Record, Sequence, Shape, String
from ordain.transforms.document.text.node import Node
from ordain.transforms.importing.draft import schema_filter
from ordain.transforms.importing.draft.document_draft import Plain
from ordain.transforms.importing.units.unit_assignments import Place, Settings
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Kind
from ordain.transforms.render.services import service_directives
from ordain.transforms.render.unit_draft import DOUBTFUL, UnitDraft
from ordain.transforms.systemd import encode, splitting, values

Texts = tuple[str, ...]
"""The values of all assignments of one setting, in systemd's syntax."""

PLAIN = {place: pointer for pointer, place in service_directives.PLAIN.items()}
COMMANDS = {("Service", key): name for name, key in service_directives.COMMANDS.items()}
DEPENDENCIES = {("Unit", key): name for name, key in service_directives.DEPENDENCIES.items()}
CONDITION = {("Unit", key): name for name, key in CONDITIONS.items()}
CREDENTIALS = {("Service", key): name for name, key in service_directives.CREDENTIALS.items()}
AFTER, WANTS, REQUIRES = (("Unit", key) for key in ("After", "Wants", "Requires"))
MOUNTS = ("Unit", "RequiresMountsFor")
CAPABILITIES = (("Service", "AmbientCapabilities"), ("Service", "CapabilityBoundingSet"))
ENVIRONMENT, ENVIRONMENT_FILE = ("Service", "Environment"), ("Service", "EnvironmentFile")
WRITE_PATHS, PRIVATE_NETWORK = ("Service", "ReadWritePaths"), ("Service", "PrivateNetwork")

KILL = lazy_pattern(r"(?:/usr)?/bin/kill (?:-s ?|-)(?:SIG)?([A-Z]+[0-9]?) \$MAINPID")
PREFIXES = "-@:+!|"
"""Characters with a meaning before the program of an Exec line (systemd.service(5))."""
NEWEST = 999
"""A systemd that knows every directive: `compile` checks what the target knows."""
_SPECIFIER_OR_VARIABLE = lazy_pattern(r"(?<!%)(?:%%)*%(?!%)|\$|(?:^|\s)\\?;(?:\s|$)")
_ENTRY = "services/x/"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNames:
    """Neutral names: ``context`` has those of the machine, ``taken`` are names of services that the import makes."""

    context: service_directives.Context
    taken: frozenset[str] = frozenset()

    def service_of(self, unit: str) -> str:
        """Return the neutral name of a distribution's unit, ``""`` if it has none or the import needs the name."""
        names = self.context.names
        candidates = [n for n in names.services() if names.service(n, "unit") == unit and n not in self.taken]
        stem = unit.rpartition(".")[0]
        return min(candidates, key=lambda n: (n not in stem, -len(n), n), default="")

    def milestone_of(self, unit: str) -> str:
        """Return the neutral name of a target, ``""`` if it has none."""
        names = self.context.names
        return min((n for n in names.milestones() if names.milestone(n) == unit), default="")


def service_entry(settings: Settings, known: KnownNames, *, drop_in: bool = False) -> dict[str, Plain]:
    """Return the entry of a service that renders to ``settings``, without [Install].

    ``drop_in``: the settings are for a unit of the distribution, so that empty ones stay too.
    """
    texts = {
        place: tuple(assignment.value for assignment in assignments)
        for place, assignments in settings.items()
        if place[0] != "Install"
    }
    proposals = dict(_proposals(texts, known, drop_in))
    while proposals and (wrong := _wrong(proposals, texts, known, drop_in)):
        proposals = {pointer: proposal for pointer, proposal in proposals.items() if pointer not in wrong}
    entry: dict[str, Plain] = {}
    for pointer, proposal in proposals.items():
        _set(entry, pointer, proposal.value)
    covered = {place for proposal in proposals.values() for place in proposal.places}
    for (section, key), raw in texts.items():
        if (section, key) not in covered:
            _set(entry, f"systemd/{section}/{key}", _one_or_list(raw))
    return entry


# Proposals: settings → values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proposal:
    """The value of a neutral key that replaces the settings at ``places``."""

    value: Plain
    places: tuple[Place, ...]


class _NotLiteral(Exception):
    """The text has a specifier, so that it is not a literal."""


def _proposals(texts: Mapping[Place, Texts], known: KnownNames, drop_in: bool) -> Iterator[tuple[str, _Proposal]]:
    rest = dict(texts)
    yield from _dependencies(rest, known)
    ambient, bounding = (rest.get(place) for place in CAPABILITIES)
    if ambient and ambient == bounding:
        yield "capabilities", _Proposal(value=_capability_names(ambient), places=CAPABILITIES)
    for place, values_ in rest.items():
        if place not in _PROPOSERS or (drop_in and "" in values_ and place not in COMMANDS):
            continue
        try:
            proposed = tuple(_PROPOSERS[place](place, values_, drop_in))
        except (ValueError, _NotLiteral):
            continue
        for pointer, value in proposed:
            yield pointer, _Proposal(value=value, places=(place,))


def _dependencies(rest: dict[Place, Texts], known: KnownNames) -> Iterator[tuple[str, _Proposal]]:
    """Yield the dependencies, and remove them from ``rest``."""
    units = {
        place: list(dict.fromkeys(word for text in rest.pop(place) for word in text.split()))
        for place in DEPENDENCIES
        if place in rest
    }
    mounts = [word for text in rest.pop(MOUNTS, ()) for word in splitting.split(text, unescape=False)]
    if mounts:
        units.setdefault(REQUIRES, [])
    # A milestone in `after` renders to Wants= too, so that one word replaces both.
    milestones = {
        unit: name
        for unit in units.get(AFTER, ())
        if unit in units.get(WANTS, ()) and (name := known.milestone_of(unit))
    }
    for place, of_place in units.items():
        replaced = milestones if place == AFTER else {}
        kept = [unit for unit in of_place if place != WANTS or unit not in milestones]
        names: list[Plain] = [replaced.get(unit) or known.service_of(unit) or unit for unit in kept]
        places = [place]
        if place == AFTER and milestones:
            places.append(WANTS)
        if place == REQUIRES and mounts:
            names += mounts
            places.append(MOUNTS)
        if names:
            yield DEPENDENCIES[place], _Proposal(value=names, places=tuple(places))


def _capability_names(texts: Texts) -> Plain:
    names = [name.lower().removeprefix("cap_").replace("_", "-") for text in texts for name in text.split()]
    return [*names]


def _propose_plain(place: Place, texts: Texts, drop_in: bool) -> Iterator[tuple[str, Plain]]:
    pointer, last = PLAIN[place], texts[-1]
    shape = shape_of(pointer)
    if isinstance(shape, Flag):
        yield pointer, values.boolean(last)
    elif isinstance(shape, Integer):
        yield pointer, int(last)
    elif isinstance(shape, (String, Choice)):
        text = last if encode.encode(*place, last) == last else _literal(last)
        yield pointer, text.removesuffix(".slice") if pointer == "slice" else text
    elif isinstance(shape, Sequence):
        whole = place == ENVIRONMENT_FILE
        words = (w for text in texts for w in ((text,) if whole else splitting.split(text, unescape=False)))
        yield pointer, _one_or_list(map(_literal, words))


def _propose_command(place: Place, texts: Texts, drop_in: bool) -> Iterator[tuple[str, Plain]]:
    name = COMMANDS[place]
    if drop_in:
        # The renderer resets the distribution's commands, so the file must too. With `command` the unit would be ours.
        if texts[0] or name == "command":
            return
        texts = texts[1:]
    if name == "reload" and len(texts) == 1 and (kill := KILL.fullmatch(texts[0])):
        yield name, f"SIG{kill[1]}"
        return
    if not texts or any(_SPECIFIER_OR_VARIABLE.search(text) or text.startswith(tuple(PREFIXES)) for text in texts):
        return
    vectors = [[_literal(word) for word in splitting.split(text, unescape=True)] for text in texts]
    if len(vectors) == 1:
        yield name, written_command(vectors[0])
    else:
        several: list[Plain] = [[*vector] for vector in vectors]
        yield name, several


def _propose_condition(place: Place, texts: Texts, drop_in: bool) -> Iterator[tuple[str, Plain]]:
    yield f"condition/{CONDITION[place]}", _one_or_list(map(_literal, texts))


def _propose_credentials(place: Place, texts: Texts, drop_in: bool) -> Iterator[tuple[str, Plain]]:
    for text in texts:
        name, _, source = text.partition(":")
        yield f"credentials/{name}/{CREDENTIALS[place]}", _literal(source)


def _propose_environment(place: Place, texts: Texts, drop_in: bool) -> Iterator[tuple[str, Plain]]:
    for word in (word for text in texts for word in splitting.split(text, unescape=True)):
        name, _, value = word.partition("=")
        yield f"environment/{name}", _literal(value)


def _propose_write_paths(place: Place, texts: Texts, drop_in: bool) -> Iterator[tuple[str, Plain]]:
    words = (_literal(word) for text in texts for word in splitting.split(text, unescape=False))
    yield "sandbox/write", _one_or_list(words)


def _propose_private_network(place: Place, texts: Texts, drop_in: bool) -> Iterator[tuple[str, Plain]]:
    if values.boolean(texts[-1]):
        yield "sandbox/network", False


_PROPOSERS: Mapping[Place, Callable[[Place, Texts, bool], Iterator[tuple[str, Plain]]]] = {
    **dict.fromkeys(PLAIN, _propose_plain),
    **dict.fromkeys(COMMANDS, _propose_command),
    **dict.fromkeys(CONDITION, _propose_condition),
    **dict.fromkeys(CREDENTIALS, _propose_credentials),
    ENVIRONMENT: _propose_environment,
    WRITE_PATHS: _propose_write_paths,
    PRIVATE_NETWORK: _propose_private_network,
}
"""Yield pointers and values for a setting; the last argument is True for a drop-in."""


def _one_or_list(items: Iterable[str]) -> Plain:
    listed: list[Plain] = [*items]
    return listed[0] if len(listed) == 1 else listed


def _literal(text: str) -> str:
    """Return the value of a text without specifiers. Raises `_NotLiteral` for others."""
    if "%" in text.replace("%%", ""):
        raise _NotLiteral
    return text.replace("%%", "%")


def shape_of(pointer: str) -> Shape | None:
    """Return the shape of a key of a service."""
    shape: Shape | None = SERVICE
    for key in pointer.split("/"):
        shape = shape.keys.get(key) if isinstance(shape, Record) else None
    return shape


def written_command(argv: list[str]) -> Plain:
    """Return an argument vector as a person would write it: as one string if that splits into the same words."""
    line = " ".join(argv)
    try:
        same = command_line.split(line) == tuple(argv)
    except command_line.BadCommandLine:
        same = False
    return line if same and "'" not in line and '"' not in line else [*argv]


# Comparison: do the lines of the renderer mean the same as the settings?


def _wrong(
    proposals: Mapping[str, _Proposal], texts: Mapping[Place, Texts], known: KnownNames, drop_in: bool
) -> set[str]:
    """Return the pointers of proposals that are invalid, or that render to something else than ``texts``."""
    lines, wrong = _rendered(proposals, known, drop_in)
    if wrong:
        return wrong
    for place in sorted({*lines, *(place for proposal in proposals.values() for place in proposal.places)}):
        if meaning(place, lines.get(place, ())) == meaning(place, texts.get(place, ())):
            continue
        of_place = {pointer for pointer, proposal in proposals.items() if place in proposal.places}
        wrong |= of_place or {
            pointer
            for pointer, proposal in proposals.items()
            if place in _rendered({pointer: proposal}, known, drop_in)[0]
        }
    return wrong


def _rendered(
    proposals: Mapping[str, _Proposal], known: KnownNames, drop_in: bool
) -> tuple[dict[Place, Texts], set[str]]:
    """Return the lines that ``proposals`` render to, or no lines and the pointers of the invalid ones."""
    entry: dict[str, Plain] = {}
    for pointer, proposal in proposals.items():
        _set(entry, pointer, proposal.value)
    wrong = {
        problem.where.pointer.removeprefix(_ENTRY)
        for problem in validate.problems(schema_filter.document({"services": {"x": entry}}), Kind.LAYER)
    }
    lines: dict[Place, Texts] = {}
    if not wrong:
        draft = UnitDraft(unit="x.service", item="", systemd=NEWEST, drop_in="x.conf" if drop_in else "")
        at = Position("import")
        branch = SERVICE.canonical(schema_filter.node(entry), at)
        assert isinstance(branch, Branch)
        service_directives.render(branch, draft, known.context)
        wrong = {problem.where.pointer for problem in (*at.problems, *draft.problems) if problem.code != DOUBTFUL}
        for line in draft.lines:
            lines[line.section, line.key] = (*lines.get((line.section, line.key), ()), line.value)
    return lines, {p for p in proposals for w in wrong if f"{w}/".startswith(f"{p}/") or f"{p}/".startswith(f"{w}/")}


def valid(entry: dict[str, Plain], key: str) -> Node | None:
    """Return the value of ``key`` in the entry of a service, None if the schema refuses the entry."""
    document = schema_filter.document({"services": {"x": entry}})
    return None if validate.problems(document, Kind.LAYER) else document.at(("services", "x", key))


def meaning(place: Place, texts: Texts) -> object:
    """Return what systemd makes of the assignments of a setting; different spellings of one value are equal."""
    try:
        return _MEANINGS.get(place, _last)(texts)
    except ValueError:
        return texts


def _words_as_set(texts: Texts) -> object:
    return frozenset(word for text in texts for word in text.split())


def _capabilities_as_set(texts: Texts) -> object:
    return frozenset(word.upper() for text in texts for word in text.split())


def _commands(texts: Texts) -> object:
    return tuple(("kill", k[1]) if (k := KILL.fullmatch(t)) else splitting.split(t, unescape=True) for t in texts)


def _variables(texts: Texts) -> object:
    return dict(w.partition("=")[::2] for text in texts for w in splitting.split(text, unescape=True))


def _words(texts: Texts) -> object:
    return tuple(word for text in texts for word in splitting.split(text, unescape=False))


def _all(texts: Texts) -> object:
    return texts


def _last(texts: Texts) -> object:
    return texts[-1] if texts else texts


def _last_boolean(texts: Texts) -> object:
    return values.boolean(texts[-1]) if texts else texts


def _last_integer(texts: Texts) -> object:
    return int(texts[-1]) if texts else texts


_OF_SHAPES: Mapping[type, Callable[[Texts], object]] = {Flag: _last_boolean, Integer: _last_integer, Sequence: _words}
_MEANINGS: Mapping[Place, Callable[[Texts], object]] = {
    **{place: _OF_SHAPES.get(type(shape_of(pointer)), _last) for place, pointer in PLAIN.items()},
    **dict.fromkeys((*DEPENDENCIES, MOUNTS), _words_as_set),
    **dict.fromkeys(CAPABILITIES, _capabilities_as_set),
    **dict.fromkeys(COMMANDS, _commands),
    **dict.fromkeys((*CONDITION, *CREDENTIALS), frozenset),
    ENVIRONMENT: _variables,
    ENVIRONMENT_FILE: _all,
    WRITE_PATHS: _words,
    PRIVATE_NETWORK: _last_boolean,
}
"""The function that gives the meaning of a setting; for all others, the last assignment counts."""


def _set(tree: dict[str, Plain], pointer: str, value: Plain) -> None:
    *path, last = pointer.split("/")
    for key in path:
        inner = tree.setdefault(key, {})
        assert isinstance(inner, dict)
        tree = inner
    tree[last] = value
