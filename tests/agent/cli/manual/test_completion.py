"""Completion: bash, zsh and fish, each asked for the words that it offers for TAB."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ordain.agent.cli.commands.all_commands import COMMANDS
from ordain.agent.cli.manual import bash_completion, completion_words, fish_completion, zsh_completion
from ordain.transforms.catalog.known_systems import known_systems

FOLDER = Path(bash_completion.__file__).parent
ZSH = Path(__file__).parents[3] / "support/programs/zsh_completions.zsh"
SCRIPTS = {
    "ordainctl.bash": bash_completion.script,
    "_ordainctl": zsh_completion.script,
    "ordainctl.fish": fish_completion.script,
}
pytestmark = [
    pytest.mark.skipif(not (FOLDER / "_ordainctl").exists(), reason="no source tree here"),
    pytest.mark.thorough,
]


LISTS = """\
status) printf '%s\\n' 'State       converged' '' 'UNIT' 'web.service  running' 'web.socket  present' '9 units' ;;
history) printf '%s\\n' 'NUMBER  TIME' '2       Mon 2026-11-30' '1       Sun 2026-11-29' ;;
'documents list') printf '%s\\n' 'KIND   NAME   BYTES' 'Layer  base   7' 'Node   node1  9' ;;
"""
"""The output of `ordainctl` for some commands, as cases of a shell."""


def run(words: Iterable[str | Path], cwd: Path) -> list[str]:
    """Return the first word of each line that a shell prints; it finds the programs in ``cwd``/bin first."""
    environment = {"PATH": f"{cwd}/bin:{os.environ['PATH']}", "HOME": str(cwd), "TERM": "dumb"}
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=True, cwd=cwd, env=environment, timeout=60
    )
    assert done.stderr == ""
    return [line.partition("\t")[0].strip() for line in done.stdout.splitlines() if line.strip()]


def bash(line: str, cwd: Path) -> list[str]:
    """Return what bash offers at the end of ``line``."""
    words = line.split(" ")
    commands = (
        f"source {FOLDER}/ordainctl.bash",
        'COMP_WORDS=("$@")',
        f"COMP_CWORD={len(words) - 1}",
        "compopt() { :; }",
        "_ordainctl",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    )
    return run(["bash", "-c", "; ".join(commands), "-", *words], cwd)


def zsh(line: str, cwd: Path) -> list[str]:
    """Return what zsh offers at the end of ``line``."""
    return run(["zsh", "-f", ZSH, FOLDER, line], cwd)


def fish(line: str, cwd: Path) -> list[str]:
    """Return what fish offers at the end of ``line``."""
    return run(["fish", "--no-config", "--command", f"source {FOLDER}/ordainctl.fish; complete -C '{line}'"], cwd)


Shell = Callable[[str, Path], list[str]]


@pytest.fixture(params=[bash, zsh, fish], ids=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest) -> Shell:
    """Return the function that asks one of the shells."""
    asked: Shell = request.param
    if shutil.which(asked.__name__) is None:
        pytest.skip(f"{asked.__name__} is not installed")
    return asked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two files, a folder, and an `ordainctl` that lists units, generations and documents."""
    (tmp_path / "web.yaml").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "draft.yaml").touch()
    ordainctl = tmp_path / "bin/ordainctl"
    ordainctl.parent.mkdir()
    ordainctl.write_text(f"#!/bin/sh\ncase $* in\n{LISTS}esac\n")
    ordainctl.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_committed_completion_is_current(name: str) -> None:
    assert (FOLDER / name).read_text() == SCRIPTS[name](), "run `make pages`"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ordainctl rend", {"render"}),
        ("ordainctl ", {*completion_words.first_words(), "help"}),
        ("ordainctl documents ", set(completion_words.second_words("documents"))),
        ("ordainctl render w", {"web.yaml"}),
        ("ordainctl render --all-os w", {"web.yaml"}),
        ("ordainctl render --output d", {"docs"}),
        ("ordainctl render --label ", set()),
        ("ordainctl render --os ", set(known_systems())),
        ("ordainctl schema N", {"Node"}),
        ("ordainctl status web", {"web.service", "web.socket"}),
        ("ordainctl hold --unmask web.so", {"web.socket"}),
        ("ordainctl rollback ", {"1", "2"}),
        ("ordainctl documents edit n", {"node1"}),
        ("ordainctl help sch", {"schema"}),
        ("ordainctl release create --key w", {"web.yaml"}),
    ],
)
def test_words_are_completed(line: str, offered: set[str], shell: Shell, folder: Path) -> None:
    listed = {word.rstrip("/") for word in shell(line, folder)}

    assert listed - {"--help", "--version"} == offered


@pytest.mark.parametrize("name", ["render", "documents put", "release rollout", "run submit", "diff", "fleet status"])
def test_every_option_of_a_command_is_completed(name: str, shell: Shell, folder: Path) -> None:
    flags = {argument.flag for argument in COMMANDS[name].arguments if argument.flag}

    assert {word.rstrip("=") for word in shell(f"ordainctl {name} --", folder)} == flags | {"--help"}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_every_command_and_option_is_in_the_script(script: Callable[[], str]) -> None:
    text = script()

    for command in COMMANDS.values():
        assert command.name in text
        for argument in command.arguments:
            name = argument.flag if script is not fish_completion.script else argument.flag.lstrip("-")
            assert name in text
