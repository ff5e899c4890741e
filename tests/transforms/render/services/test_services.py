"""Services as units: names of instances, and values that PID 1 would ignore."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ordain.transforms.artifacts import UnitFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read


def rendered(**service: Any) -> tuple[dict[str, str], list[str]]:
    """Return the unit files of a document with one service ``web``, by path, and its problems."""
    web = {"command": ["/usr/bin/sleep", "1"], **service}
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "x", "services": {"web": web}})
    documents, problems = read("x.json", text.encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), None, shipped=shipped())
    units = {file.path: file.content for file in compiled.artifacts if isinstance(file, UnitFile)}
    return units, [f"{problem.what}: {problem.hint}" for problem in compiled.problems]


@pytest.mark.parametrize("name", ["a.b", "c-d", "-", "a@b", "dev-sda", ".x", "a:b_c", "\\x20"])
def test_an_instance_has_the_name_that_the_document_gives_it(name: str) -> None:
    units, problems = rendered(instances={name: {"environment": {"ONE": "1"}}})

    assert problems == []
    assert [path for path in units if f"web@{name}.service.d/" in path]


def test_the_splay_of_a_timer_is_the_same_after_a_reboot() -> None:
    units, _ = rendered(schedule={"calendar": "hourly", "splay": "50min"})

    (timer,) = (text for path, text in units.items() if path.endswith(".timer"))
    assert "RandomizedDelaySec=50min" in timer
    assert "FixedRandomDelay=yes" in timer


@pytest.mark.parametrize("key", ["stream", "datagram"])
def test_an_interface_inside_the_brackets_of_an_address_is_blocked_with_the_right_form(key: str) -> None:
    _, (problem, *_) = rendered(listen={key: ["[fe80::1%host9]:8053"]})

    assert "not a socket address" in problem
    assert "[fe80::1]:8053%host9" in problem
    assert rendered(listen={key: ["[fe80::1]:8053%host9"]})[1] == []
