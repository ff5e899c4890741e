"""agent.yaml as a table of good and bad files; its sources are in test_source_settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.settings import Settings, Trust, read_settings
from ordain.agent.source_settings import SourceKind
from ordain.transforms.document.keys import agent_keys
from ordain.transforms.machine.agent_yaml import IN_FORCE, PATH, read
from support.samples.agent_yaml_samples import BAD, GOOD, UNKNOWN


def machine(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(("text", "settings"), GOOD.values(), ids=GOOD)
def test_a_good_file_is_read_without_a_problem(tmp_path: Path, text: str, settings: Settings) -> None:
    assert read_settings(machine(tmp_path, text.encode())) == (settings, ())


@pytest.mark.parametrize(("text", "settings", "lines"), BAD.values(), ids=BAD)
def test_a_bad_file_is_reported_and_the_sound_rest_of_it_is_used(
    tmp_path: Path, text: str, settings: Settings, lines: tuple[str, ...]
) -> None:
    found, problems = read_settings(machine(tmp_path, text.encode()))

    assert found == settings
    assert len(problems) == len(lines)
    for problem, line in zip(map(str, problems), lines, strict=True):
        assert problem.startswith(f"/{PATH}:")
        assert problem.endswith("[Settings]")
        assert line in problem


def names(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the name of every key in ``values``, those of maps in it as well."""
    for key, value in values.items():
        yield key
        if isinstance(value, Mapping):
            yield from names(value)


@pytest.mark.parametrize("key", sorted({*agent_keys.SETTINGS.keys, *agent_keys.NETWORK.keys}))
def test_every_key_is_in_both_tables(key: str) -> None:
    good = {name for text, _ in GOOD.values() for name in names(read(text.encode()).values)}
    bad = {
        part for text, _, _ in BAD.values() for p in read(text.encode()).problems for part in p.where.pointer.split("/")
    }

    assert key in good & bad


def test_a_machine_without_the_file_has_the_defaults(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == (Settings(), ())


def test_the_types_of_source_in_the_table_are_those_that_the_agent_knows() -> None:
    assert set(agent_keys.SOURCE.cases) == set(SourceKind) - {SourceKind.NONE}
    assert set(agent_keys.TRUST) == set(Trust)


def test_a_file_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    settings, problems = read_settings(machine(tmp_path, b"trust: open # \xff\n"))

    assert settings == UNKNOWN
    assert [problem.what for problem in problems] == ["the file is not UTF-8"]


@pytest.mark.parametrize("path", [PATH, IN_FORCE])
def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, path: str) -> None:
    (tmp_path / path).mkdir(parents=True)

    settings, problems = read_settings(tmp_path)

    assert settings == UNKNOWN
    assert [problem.what for problem in problems] == ["cannot read the file: not a regular file"]


def test_the_text_that_the_agent_follows_overrides_the_file(tmp_path: Path) -> None:
    machine(tmp_path, b"trust: open\n")
    (tmp_path / IN_FORCE).parent.mkdir(parents=True)
    (tmp_path / IN_FORCE).write_bytes(b"trust: required\n")

    assert read_settings(tmp_path)[0].trust is Trust.REQUIRED


@pytest.mark.parametrize("text", ["Source: {type: etcd, endpoints: ['https://a:1']}", "sources: {}", "lables: {a: b}"])
def test_a_misspelled_key_of_what_decides_about_documents_leaves_no_source(tmp_path: Path, text: str) -> None:
    settings, problems = read_settings(machine(tmp_path, text.encode()))
    assert settings.source.type is SourceKind.NONE
    assert "unknown key" in problems[0].what
