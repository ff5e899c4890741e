"""ordainctl: words in; exit status, result and problems out."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ordain.agent.cli import parse
from ordain.agent.cli.commands.all_commands import COMMANDS, FAMILIES, GROUPS
from ordain.agent.cli.commands.subcommand import Subcommand
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.main import main
from ordain.transforms.errors import Problem, Severity, Where

COMMAND_LIST = list(COMMANDS.values())


def by_name(command: Subcommand) -> str:
    return command.name


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["planx"], 2, "there is no command 'planx'; did you mean plan or explain?"),
        (["releas"], 2, "there is no command 'releas'; did you mean release?"),
        (["rollback", "last"], 2, "N must be the number of a generation"),
        (["apply", "--confirm", "0"], 2, "--confirm SECONDS must be at least 1"),
        (["apply", "--confirm", "soon"], 2, "--confirm SECONDS must be a number, not 'soon'"),
        (["--outptu"], 2, "there is no command '--outptu'"),
        (["render"], 2, "required: FILE\nTry `ordainctl render --help`."),
        (["render", "--outptu", "x", "y"], 2, "unknown argument: --outptu (did you mean --output?)"),
        (["render", "--out", "x", "y"], 2, "unknown argument: --out"),
        (["schema", "Layr"], 2, "invalid choice: 'Layr'"),
        (["explain"], 2, "required: SUBJECT"),
        (["diff", "1", "2", "3"], 2, "unknown argument: 3"),
        (["render", "--os"], 2, "--os: expected one argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_explained(
    words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status

    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_command_or_its_family(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0

    text = capsys.readouterr().out
    for command in COMMAND_LIST:
        if command.group in GROUPS:
            assert f"  {command.name} " in text
            assert command.purpose in text
        else:
            assert f"  {command.group} … " in text


def test_without_a_command_the_overview_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out

    assert main([]) == 2
    assert capsys.readouterr() == ("", overview)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("flags", [[], ["--help"]], ids=["alone", "help"])
def test_a_family_lists_the_meaning_of_its_commands(
    name: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, *flags]) == 0

    text = capsys.readouterr().out
    for command in COMMAND_LIST:
        if command.group == name:
            assert re.search(f"^  {command.name.partition(' ')[2]} +{re.escape(command.purpose)}$", text, re.MULTILINE)


@pytest.mark.parametrize("words", ["", *FAMILIES, *COMMANDS])
def test_help_fits_80_columns(words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert main([*words.split(), "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", COMMAND_LIST, ids=by_name)
def test_the_help_of_a_command_is_complete(command: Subcommand, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.name.split(), "--help"]) == 0
    by_option = capsys.readouterr().out
    assert main(["help", *command.name.split()]) == 0

    assert capsys.readouterr().out == by_option
    for argument in command.arguments:
        assert (argument.flag or argument.metavar) in by_option
    for status in command.statuses:
        assert f"\n  {int(status)}  " in by_option
    named = {
        int(number) for number in re.findall(r"(?:[Ee]xits? with|exit status is) (\d)", " ".join(by_option.split()))
    }
    assert named <= set(map(int, command.statuses))


@pytest.mark.parametrize("command", COMMAND_LIST, ids=by_name)
def test_every_command_has_a_function_and_its_examples_parse(command: Subcommand) -> None:
    module, _, function = command.run.partition(":")

    assert callable(getattr(importlib.import_module(f"ordain.agent.cli.{module}"), function))
    assert command.group in {*GROUPS, *FAMILIES}
    assert command.examples
    for words, _ in command.examples:
        plain = [word for word in shlex.split(words.partition("|")[0]) if word[0] not in "<>"]
        assert parse.parse(plain[1:])[0] is command


def test_operands_may_be_between_options() -> None:
    _, request = parse.parse(["render", "a.yaml", "--os", "debian-13", "b.yaml", "--label", "x=1", "--label", "y=2"])

    assert request.file == ["a.yaml", "b.yaml"]
    assert request.label == ["x=1", "y=2"]


def test_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    project = Path(__file__).parents[3] / "pyproject.toml"
    if not project.exists():
        pytest.skip("no source tree here")

    assert main(["--version"]) == 0
    assert f'version = "{capsys.readouterr().out.split()[1]}"' in project.read_text()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from ordain.agent.cli.main import main; main(['--help']);"
        "heavy = {'asyncio', 'jinja2', 'yaml', 'jsonschema', 'rich', 'dbus_next', 'pystemd'};"
        "print(*heavy & set(sys.modules), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stderr.strip() == ""


def ordainctl(*words: str, to: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run it in a shell, with its standard output redirected by ``to``."""
    code = "from ordain.agent.cli.main import main; raise SystemExit(main())"
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {to}', "-", sys.executable, "-c", code, *words],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("to", "status", "message"),
    [
        ("| true", (0, 141), b""),  # 0 if it had written everything before `true` ended
        (">/dev/full", (1,), b"ordainctl: [Errno 28] No space left on device\n"),
        (">&-", (0,), b""),
        (">&- 2>&-", (0,), b""),
    ],
)
@pytest.mark.thorough
def test_an_output_that_fails_ends_without_a_traceback(to: str, status: tuple[int, ...], message: bytes) -> None:
    run = ordainctl("schema", to=to)

    assert run.returncode in status
    assert run.stderr == message


def test_piped_output_is_utf_8_in_every_locale(tmp_path: Path) -> None:
    document = tmp_path / "a.yaml"
    document.write_text("ordain: v1\nkind: Layer\nname: a\nservices: {a: {command: /a, description: \u0142}}\n")
    run = ordainctl("render", "--os", "arch", str(document), PYTHONIOENCODING="latin-1")

    assert run.stderr == b""
    assert "Description=\u0142\n".encode() in run.stdout


def test_a_terminal_that_lacks_a_character_shows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    shown = io.BytesIO()
    terminal = Terminal(shown, encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)

    assert main(["help"]) == 0
    terminal.flush()
    assert b"[ARGUMENT\\u2026]" in shown.getvalue()


def test_an_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ordain.agent.cli.documents.match.survey", interrupted)

    assert main(["facts"]) == 130
    assert capsys.readouterr() == ("", "")


# Output


class Terminal(list[str]):
    """A terminal that keeps what is written."""

    def write(self, text: str) -> int:
        self.append(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        self.extend(lines)

    def isatty(self) -> bool:
        return True


def console(*, colour: bool, columns: int = 0) -> tuple[Console, Terminal, Terminal]:
    out, err = Terminal(), Terminal()
    made = Console(
        out=out,  # type: ignore[arg-type]
        err=err,  # type: ignore[arg-type]
        out_colour=colour,
        err_colour=colour,
        out_columns=columns,
        err_columns=columns,
    )
    return made, out, err


def test_columns_are_aligned_and_the_last_is_not_padded() -> None:
    plain, out, _ = console(colour=False)
    plain.table(("UNIT", "STATE", "NOTE"), [("a", "active", ""), ("longer", ("bad", Style.BAD), "why")])

    assert "".join(out) == "UNIT    STATE   NOTE\na       active\nlonger  bad     why\n"


def test_colour_adds_nothing_to_the_width() -> None:
    coloured, out, _ = console(colour=True)
    coloured.table((), [(("a", Style.BAD), "b"), ("ccc", "d")])

    assert "".join(out) == "\x1b[1;31ma\x1b[0m    b\nccc  d\n"


def test_the_last_column_is_wrapped_at_words_within_its_column() -> None:
    plain, out, _ = console(colour=False, columns=40)
    plain.table(("UNIT", "NOTE"), [("web.service", "an administrator has stopped it, so it stays")])

    assert (
        "".join(out) == "UNIT         NOTE\nweb.service  an administrator has\n             stopped it, so it stays\n"
    )


def test_a_last_column_without_room_begins_below_its_row() -> None:
    plain, out, _ = console(colour=True, columns=40)
    plain.table(
        (),
        [
            ("services/web/limits/memory-high", ("a note with many words in it", Style.BAD)),
            ("services/web/limits/memory-high", "short"),
        ],
    )

    assert "".join(out) == (
        "services/web/limits/memory-high\n"
        "    \x1b[1;31ma note with many words in it\x1b[0m\n"
        "services/web/limits/memory-high  short\n"
    )


def test_a_word_longer_than_the_terminal_stays_whole() -> None:
    plain, out, err = console(colour=False, columns=20)
    plain.line("  see /etc/systemd/system/web.service for it")
    plain.note("see /etc/systemd/system/web.service for it")

    assert "".join(out) == "  see\n      /etc/systemd/system/web.service\n      for it\n"
    assert "".join(err) == "see\n    /etc/systemd/system/web.service\n    for it\n"


def test_problems_are_wrapped_with_an_indentation() -> None:
    plain, _, err = console(colour=False, columns=40)
    plain.problems(
        [Problem(where=Where(path="a.yaml", line=9), what="unknown key comand", hint="did you mean command?")]
    )

    assert "".join(err) == ("a.yaml:9: error: unknown key comand (did\n    you mean command?) [Schema]\n1 error\n")


def test_nothing_is_wrapped_outside_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")

    assert main(["validate", "/nowhere/at/all.yaml"]) == 1
    assert "/nowhere/at/all.yaml: error: No such file or directory [Unreadable]\n" in capsys.readouterr().err


def test_json_has_escapes_for_what_controls_a_terminal() -> None:
    plain, out, _ = console(colour=False)
    plain.json({"a": "\x1b \x7f \x9b \u202e ä \xa0"})

    text = "".join(out)
    assert text == '{\n  "a": "\\u001b \\u007f \\u009b \\u202e ä \xa0"\n}\n'
    assert json.loads(text) == {"a": "\x1b \x7f \x9b \u202e ä \xa0"}


def test_problems_are_sorted_counted_and_cannot_move_the_cursor() -> None:
    plain, _, err = console(colour=False)
    plain.problems(
        [
            Problem(where=Where(path="b.yaml", line=2, column=1), what="late", severity=Severity.WARNING),
            Problem(where=Where(path="a.yaml", line=9, pointer="x/y"), what="bad \x1b[2J", hint="do this"),
        ]
    )

    assert "".join(err) == (
        "a.yaml:9: error: x/y: bad \\x1b[2J (do this) [Schema]\n"
        "b.yaml:2:1: warning: late [Schema]\n"
        "1 error, 1 warning\n"
    )


def test_words_of_others_in_a_progress_are_not_taken_for_markup() -> None:
    console = Console(out=io.StringIO(), err=io.StringIO(), err_colour=True)

    with console.progress("applying") as say:
        say("waits for [/b]")
