"""`ordainctl help KEY` explains each key of the language without a network or a machine."""

from __future__ import annotations

import pytest

from ordain.agent.cli.key_help import key_help
from ordain.agent.cli.main import main
from ordain.transforms.document.keys import language


@pytest.mark.parametrize(
    "word",
    ["services.limits.memory", "services/web/limits/memory", "services.NAME.limits.memory", "limits.memory"],
)
def test_a_key_is_found_by_its_place(word: str) -> None:
    text = key_help(word)

    assert text.startswith("services.NAME.limits.memory\n")
    assert "(MemoryMax=)" in text
    assert 'value: a size such as "512M"' in text


def test_a_map_lists_the_keys_below_it() -> None:
    assert "\n  memory " in key_help("services.limits")
    assert "\n  command " in key_help("services")
    assert "\n  services " in key_help("document")
    assert "\n  hostname " in key_help("host")
    assert key_help("agent.trust").startswith("agent.trust\n")


def test_a_key_in_several_places_is_a_list_of_them() -> None:
    text = key_help("hostname")

    assert "`ordainctl help PLACE` explains one" in text
    assert "\n  host.hostname " in text


@pytest.mark.parametrize("section", language.SECTIONS)
def test_every_section_is_explained(section: str) -> None:
    assert key_help(section).startswith(f"{section}\n\n")


def test_help_knows_commands_and_keys_and_hints_at_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "plan"]) == 0
    assert "ordainctl plan" in capsys.readouterr().out
    assert main(["help", "services.limits"]) == 0
    assert capsys.readouterr().out.startswith("services.NAME.limits\n")
    assert main(["help", "memroy"]) == 2
    assert "there is no command and no key 'memroy'; did you mean memory?" in capsys.readouterr().err
