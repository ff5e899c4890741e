"""The fast check agrees with jsonschema: both are asked about the same documents."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ordain.transforms.catalog import shipped
from ordain.transforms.document.formats import agent_formats, formats, network_formats, run_formats
from ordain.transforms.document.keys import agent_keys
from ordain.transforms.document.keys.schema import for_editors, schema
from ordain.transforms.document.reader import read_nodes
from ordain.transforms.document.schema_errors import validator
from ordain.transforms.document.text.node import Number, Plain
from ordain.transforms.document.validate import fits
from ordain.transforms.model import Kind
from support.samples.document_samples import BAD_DOCUMENTS, HEAD
from support.samples.network_samples import SAMPLES

EXAMPLES = Path(__file__).parents[3] / "examples"
ODD: tuple[Plain, ...] = (None, True, False, "", "x", "-1", Number("-1"), Number("1.5"), Number("99999999999"), [], {})
ODD = (*ODD, ["x"], [None], {"x": "y"}, {"template": "x"}, {"not": True}, [["x"], []], "/a", "a b'", "1h", Number("5"))


def samples() -> Iterator[tuple[Kind, Plain]]:
    texts = [HEAD + text[1:-1] for text in BAD_DOCUMENTS]
    texts += [path.read_text() for path in sorted(EXAMPLES.rglob("*.yaml"))]
    texts += [data.decode() for data in shipped.files().values()]
    texts += [HEAD + "network:\n" + indent(text, "  ") for text in SAMPLES.values()]
    for text in texts:
        for node in read_nodes("x.yaml", text.encode()):
            value = node.plain()
            if isinstance(value, dict) and value.get("kind") in list(Kind):
                yield Kind(str(value["kind"])), value


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every container below ``value`` with each of its keys."""
    found = []
    for key, child in list(value.items() if isinstance(value, dict) else enumerate(value)):
        found.append((value, key))
        if isinstance(child, dict | list):
            found += places(child)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.thorough
def test_the_fast_check_agrees_with_jsonschema(seed: int) -> None:
    chance = random.Random(seed)
    counts = {True: 0, False: 0}
    for kind, value in samples():
        for _ in range(6):
            fit = fits(value, schema(kind))
            assert fit is validator(schema(kind)).is_valid(value), value
            counts[fit] += 1
            container, key = chance.choice(places(value))
            if isinstance(container, dict) and chance.random() < 0.3:
                container[chance.choice(["x", "a/b", "tcp", "http", "content", "link"])] = container.pop(key)
            else:
                container[key] = deepcopy(chance.choice(ODD))
    assert min(counts.values()) > 50


def as_an_editor_reads(value: Plain) -> Any:
    """Return a value with numbers in place of plain scalars that look like numbers, as a YAML library reads them."""
    if isinstance(value, dict):
        return {key: as_an_editor_reads(child) for key, child in value.items()}
    if isinstance(value, list):
        return [as_an_editor_reads(child) for child in value]
    if not isinstance(value, Number):
        return value
    try:
        return int(value)
    except ValueError:
        return float(value)


def test_the_printed_schema_takes_every_valid_document_as_an_editor_reads_it() -> None:
    valid = [(kind, value) for kind, value in samples() if fits(value, schema(kind))]
    assert len(valid) > 50

    for kind, value in valid:
        errors = Draft202012Validator(for_editors(schema(kind))).iter_errors(as_an_editor_reads(value))
        assert [error.message for error in errors] == [], value


def test_the_printed_schema_still_refuses_an_unknown_key_and_a_wrong_type() -> None:
    printed = Draft202012Validator(for_editors(schema(Kind.LAYER)))
    head = {"ordain": "v1", "kind": "Layer", "name": "a"}

    assert printed.is_valid({**head, "services": {"a": {"command": "sleep 1", "limits": {"open-files": 65536}}}})
    assert not printed.is_valid({**head, "services": {"a": {"comand": "sleep 1"}}})
    assert not printed.is_valid({**head, "services": {"a": {"command": "sleep 1", "limits": 5}}})


AGENT_YAML: tuple[dict[str, Plain], ...] = (
    {"source": {"type": "http", "url": "https://a/{mac}", "interval": "1h"}, "trust": "open"},
    {"source": {"type": "etcd", "endpoints": ["https://a"], "user": "x", "credential": "y"}, "windows": "02:00-05:00"},
    {"source": {"type": "couchdb", "url": ["https://a"], "database": "x", "ca": "/a"}, "labels": {"a": ["b", True]}},
    {"source": {"path": "/a"}, "network": {"reach": ["gateway", "a:1"], "within": "1h"}, "max-removal": "50%"},
)


@pytest.mark.parametrize("seed", range(4))
def test_the_fast_check_agrees_with_jsonschema_about_agent_yaml(seed: int) -> None:
    chance = random.Random(seed)
    counts = {True: 0, False: 0}
    for value in map(deepcopy, AGENT_YAML * 60):
        fit = fits(value, agent_keys.schema())
        assert fit is validator(agent_keys.schema()).is_valid(value), value
        counts[fit] += 1
        for _ in range(2):
            container, key = chance.choice(places(value))
            container[key] = deepcopy(chance.choice((*ODD, "etcd", "directory", "https://a")))
            fit = fits(value, agent_keys.schema())
            assert fit is validator(agent_keys.schema()).is_valid(value), value
            counts[fit] += 1
    assert min(counts.values()) > 50


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_the_fast_check_agrees_with_jsonschema_about_every_section(kind: Kind, odd: Plain) -> None:
    for name, wanted in schema(kind)["properties"].items():
        alone = {"properties": {name: wanted}}
        value: Any
        for value in (odd, {"a": odd}, {"a": {"b": odd}}, {"/a": {"b": odd}}, {"a.path": {"Unit": {"b": odd}}}):
            known = validator(schema(kind)).evolve(schema=alone)
            assert fits({name: value}, alone) is known.is_valid({name: value}), (name, value)


@pytest.mark.parametrize("part", [agent_formats, network_formats, run_formats])
def test_the_formats_of_different_sections_have_different_names(part: ModuleType) -> None:
    assert {name for name, check in part.FORMATS.items() if formats.FORMATS[name] is not check} == set()
