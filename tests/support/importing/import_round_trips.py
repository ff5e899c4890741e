"""The round trip of an import (unit files, document, rendered units) and the comparison of their settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordain.transforms.artifacts import UnitFile
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.keys.shapes import Sequence
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Where
from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import yaml_writer
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.units import unit_assignments
from ordain.transforms.importing.units.neutral_keys import shape_of
from ordain.transforms.model import Compiled, Facts
from ordain.transforms.render.services.service_directives import PLAIN
from ordain.transforms.systemd import directives, splitting, unit_file, values
from ordain.transforms.systemd.values import EncodeError

Settings = Mapping[tuple[str, str], object]
FIXED = {
    ("Unit", "IgnoreOnIsolate"): {"yes"},
    ("Unit", "Conflicts"): {"rescue.target", "emergency.target"},
    ("Unit", "Before"): {"rescue.target", "emergency.target"},
}
"""Settings that every rendered service has (transforms/render/services/services.py, SURVIVES_ISOLATE)."""
SCALARS = {place for pointer, place in PLAIN.items() if not isinstance(shape_of(pointer), Sequence)}
"""Settings of which only the last assignment counts."""
LISTS = frozenset("After Before Requires Requisite Wants BindsTo PartOf Upholds Conflicts OnFailure OnSuccess".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """A document made of files, and its compilation."""

    draft: DocumentDraft
    text: str
    compiled: Compiled

    def rendered(self) -> dict[str, str]:
        """Return the text of every whole unit."""
        texts = {a.path: a.content for a in self.compiled.artifacts if isinstance(a, UnitFile)}
        return {path.removeprefix("normal/"): text for path, text in texts.items() if path.count("/") == 1}


def round_trip(files: Iterable[InputFile], facts: Facts) -> RoundTrip:
    """Import ``files``, and compile the document for a machine with ``facts``."""
    neutral, _ = names_for(shipped(), facts, shared_versions(shipped()))
    draft = DocumentDraft()
    file_types.convert(files, neutral, draft)
    text = yaml_writer.write(draft, "round", header="a test")
    documents, problems = read("round.yaml", text.encode())
    assert problems == (), text
    return RoundTrip(draft=draft, text=text, compiled=compile(documents, facts, shipped=shipped()))


def settings(text: str) -> Settings:
    """Return the settings that systemd has after it has read a unit file, for comparison."""
    effective = unit_assignments.effective_settings(
        unit_assignments.Assignment(where=Where(), section=s, key=k, value=v) for s, k, v in unit_file.parse(text)
    )
    return {
        p: _meaning(*p, [a.value for a in assignments]) for p, assignments in effective.items() if p[0] != "Install"
    }


def differences(original: str, rendered: str) -> dict[tuple[str, str], tuple[object, object]]:
    """Return the settings that differ, each with (original, rendered), without the fixed settings."""
    was, now = dict(settings(original)), dict(settings(rendered))
    for place, extra in FIXED.items():
        if isinstance(has := now.get(place), frozenset):
            kept = has - (extra - _words(was.get(place)))
            now[place] = kept
            if not kept:
                del now[place]
        elif place not in was and has is True:
            del now[place]
    now = {place: value for place, value in now.items() if not directives.is_private(*place) or place in was}
    if was.get(("Service", "Type")) is None and now.get(("Service", "Type")) in (("simple",), ("dbus",)):
        del now["Service", "Type"]  # the default, which an import writes
    return {p: (was.get(p), now.get(p)) for p in {*was, *now} if was.get(p) != now.get(p)}


def _words(value: object) -> frozenset[str]:
    return value if isinstance(value, frozenset) else frozenset()


def _meaning(section: str, key: str, texts: list[str]) -> object:
    known = directives.lookup(section, key)
    parser = known.parser if known else ""
    try:
        if key in LISTS:
            return frozenset(word for text in texts for word in text.split())
        if parser in {"config_parse_bool", "config_parse_tristate"}:
            return values.boolean(texts[-1])
        if parser == "config_parse_exec":
            return tuple(text if ";" in text.split() else splitting.split(text, unescape=True) for text in texts)
        if key == "Environment":
            return dict(w.partition("=")[::2] for text in texts for w in splitting.split(text, unescape=True))
        if parser in {"config_parse_load_credential", "config_parse_set_credential"}:
            return dict(text.partition(":")[::2] for text in texts)  # by name: of two, the last
        if (section, key) in SCALARS:
            texts = texts[-1:]
        return tuple(word for text in texts for word in splitting.split(text, unescape=False))
    except EncodeError:
        return tuple(texts)
