"""Reads Test documents: from the bytes of a file to `DocumentTest`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ordain.transforms.document import validate
from ordain.transforms.document.keys import expectation_keys
from ordain.transforms.document.keys.shapes import Position, Record
from ordain.transforms.document.reader import read_nodes
from ordain.transforms.document.text.node import Unreadable
from ordain.transforms.errors import Problem, Where, sorted_problems
from ordain.transforms.model import Branch, strings


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTest:
    """One Test document; ``keys`` are its keys in canonical form, ``places`` those of the names of units and files."""

    name: str
    systems: tuple[str, ...]
    keys: Branch
    places: Mapping[str, Where]
    where: Where


def read_tests(path: str, data: bytes) -> tuple[tuple[DocumentTest, ...], tuple[Problem, ...]]:
    """Return the Test documents of one file, and every problem with them."""
    tests: list[DocumentTest] = []
    problems: list[Problem] = []
    try:
        for node in read_nodes(path, data):
            if wrong := validate.misfits(node, expectation_keys.schema()):
                problems += wrong
                continue
            name = str(node.at(["name"]).value)
            head = {key: child for key, child in dict(node.value).items() if key in expectation_keys.TEST}  # type: ignore[arg-type]
            keys = Record(expectation_keys.TEST).canonical(replace(node, value=head), Position(name))
            assert isinstance(keys, Branch)
            systems = tuple(dict.fromkeys(strings(keys.value("systems") or ())))
            if systems:
                sections = [head[key] for key in ("units", "files") if key in head]
                places = {name: where for section in sections for name, where in section.keys.items()}
                tests.append(DocumentTest(name=name, systems=systems, keys=keys, places=places, where=node.where))
            else:
                what, hint = "the test names no system, so it tests nothing", "write systems: [debian-13]"
                problems.append(Problem(where=node.where, what=what, hint=hint))
    except Unreadable as error:
        problems.append(error.problem)
    return tuple(tests), sorted_problems(problems)


def doubled_tests(tests: tuple[DocumentTest, ...]) -> tuple[Problem, ...]:
    """Return a problem for each second test of one name: results and golden texts are found by it."""
    problems = []
    places: dict[str, Where] = {}
    for test in tests:
        if (first := places.setdefault(test.name, test.where)) is not test.where:
            what = f"two tests have the name {test.name}; the other is at {first}"
            problems.append(Problem(where=test.where, what=what, hint="rename one of them", code="Duplicate"))
    return tuple(problems)
