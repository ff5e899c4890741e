"""The scripts in real shells: every text reaches its program byte for byte, and results are those of the commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.runs.directive_lines import directive_form
from ordain.transforms.runs.run_render import script_text
from ordain.transforms.runs.scheduler_rows import run_systems
from ordain.transforms.runs.shell_words import RESERVED
from support.samples.run_samples import SYSTEMS, refused, run, script

pytestmark = pytest.mark.thorough

SHELLS = [shell for shell in ("sh", "bash", "dash") if shutil.which(shell)]
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
HOSTILE = st.one_of(
    TEXTS,
    st.sampled_from(
        [
            *(
                "$HOME",
                "`id`",
                "$(id)",
                "\\",
                "'",
                '"',
                "\n",
                "\r\n",
                "a\n#SBATCH --time=1",
                "\n#$ -N x",
                "-n",
                "--",
                "!",
            ),
            *(
                "#PBS -l x",
                "# flux: -N9",
                "\n#BSUB -q y",
                "*",
                "~",
                "%1",
                "A=b",
                "a\\nb",
                "\x01\x7f",
                "é\u2028\U0001f600",
            ),
        ]
    ),
)
PATHS = TEXTS.filter(lambda text: text not in ("", ".", "..") and "/" not in text and len(text.encode()) < 200)
PRINTS = (
    "import sys, os, json; print(json.dumps([sys.argv[1:], os.environ.get('TEXT'), os.getcwd(), sys.stdin.read()]))"
)


def execute(
    text: str, shell: str, directory: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script as a scheduler does: from a file, in a directory."""
    file = directory / "script.sh"
    file.write_bytes(text.encode())
    return subprocess.run(
        [shell, str(file)],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(HOSTILE, max_size=4), value=HOSTILE, name=PATHS, system=st.sampled_from(SYSTEMS))
def test_any_text_in_commands_paths_and_environment_reaches_the_program(
    shell: str, tmp_path: Path, words: list[str], value: str, name: str, system: str
) -> None:
    directory = tmp_path / name
    directory.mkdir(exist_ok=True)
    (directory / name).write_text("input", encoding="utf-8")
    keys = {
        "ordain": "v1",
        "kind": "Run",
        "name": "x",
        "command": [sys.executable, "-c", PRINTS, *words],
        "environment": {"TEXT": value},
        "working-directory": str(directory),
        "input": name,
        "stage-out": {name: f"copy of {name}"},
    }

    text = script_text(script(json.dumps(keys), system))
    done = execute(text, shell, tmp_path)

    assert done.stderr == ""
    assert json.loads(done.stdout) == [words, value, str(directory), "input"]
    assert (directory / f"copy of {name}").read_text(encoding="utf-8") == "input"
    assert late_directives(text, system) == []


def late_directives(text: str, system: str) -> list[str]:
    """Return the lines below the directives of a script that its scheduler would read as directives, too."""
    form = directive_form(run_systems(shipped())[0].system(system))
    lines = text.split("\n")
    own = lines.index("# Shell")
    return [lines[at] for at, _ in form.read(lines) if at > own] if form else []


LIKE_DIRECTIVES = [
    "#SBATCH -N 9",
    "#PBS -l x",
    "  #PBS -q y",
    "#BSUB -q y",
    "# BSUB -x",
    "#$ -N x",
    "# flux: -N9",
    "flux: x",
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("system", SYSTEMS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.one_of(st.sampled_from(LIKE_DIRECTIVES), TEXTS), min_size=1, max_size=6))
@example(data=["#SBATCH -N 9", "$HOME `id` $(id) \\ \\\\ \\$x", *LIKE_DIRECTIVES])
@example(data=["O\u00e9", "OR\u0080", "ORDAIN_SCRIPT", "AORDAIN_SCRIPT"])
def test_a_script_may_hold_lines_like_directives(system: str, shell: str, tmp_path: Path, data: list[str]) -> None:
    lines = [line for text in data for line in re.split("[\r\n]", text) if line != "END"]
    body = "\n".join([*LIKE_DIRECTIVES[:-1], "cat <<'END'", *lines, "END", ""])

    text = script_text(script(json.dumps({"ordain": "v1", "kind": "Run", "name": "x", "script": body}), system))
    done = execute(text, shell, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == execute(body, "/bin/sh", tmp_path).stdout  # dash itself changes some characters
    assert late_directives(text, system) == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "word", ["echo", "test", "[", "true", "if", "exit", "cd", "A=b", "%1", "%1=b", "a b", "-x", "printf"]
)
def test_the_first_word_of_a_command_is_always_a_program(shell: str, word: str, tmp_path: Path) -> None:
    program = tmp_path / "bin" / word
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf 'program %s' \"$1\"\n")
    program.chmod(0o755)

    text = script_text(script(run(f"command: {json.dumps([word, 'a' + chr(92) + 'tb'])}")))
    done = execute(text, shell, tmp_path, {"PATH": f"{program.parent}:{os.environ['PATH']}"})

    assert (done.stdout, done.stderr) == ("program a\\tb", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_run_ends_with_the_status_of_the_first_command_that_fails(shell: str, tmp_path: Path) -> None:
    text = script_text(script(run("command: [[/bin/sh, -c, 'exit 0'], [/bin/sh, -c, 'exit 7'], [touch, never]]")))

    assert execute(text, shell, tmp_path).returncode == 7
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_steps_stop_at_a_failure_unless_they_may_fail(shell: str, tmp_path: Path) -> None:
    steps = "steps: [{name: a, command: /bin/false, on-failure: continue}, {name: b, command: [/bin/sh, -c, exit 5]}]"

    done = execute(script_text(script(run(steps))), shell, tmp_path)

    assert done.returncode == 5
    assert done.stderr == "ordain: the step a failed; the run continues\nordain: the step b failed\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("command", "made"), [("/bin/true", "good"), ("/bin/false", "bad")])
def test_a_hook_runs_by_the_result_and_does_not_change_it(shell: str, command: str, made: str, tmp_path: Path) -> None:
    keys = f"command: {command}\nhooks: {{on-success: touch good, on-failure: touch bad}}\n"
    keys += "stage-out: {log: {to: kept, when: always}}"
    (tmp_path / "log").write_text("log")

    done = execute(script_text(script(run(keys))), shell, tmp_path)

    assert done.returncode == (command == "/bin/false")
    assert {path.name for path in tmp_path.iterdir()} == {"script.sh", "log", "kept", made}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_check_before_the_run_keeps_its_commands_from_starting(shell: str, tmp_path: Path) -> None:
    done = execute(script_text(script(run("command: touch made\nchecks: {before: test -e missing}"))), shell, tmp_path)

    assert done.returncode == 1
    assert done.stderr == "ordain: the check before the run failed: test -e missing\n"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_runs_in_its_own_shell_and_its_exit_ends_only_itself(shell: str, tmp_path: Path) -> None:
    text = 'shell: /bin/bash\nscript: |\n  cat\n  [[ $BASH_VERSION ]] && echo "it\'s bash"\n  exit 0\n'
    text += "checks: {after: touch checked}"

    done = execute(script_text(script(run(text))), shell, tmp_path)

    assert (done.returncode, done.stdout) == (0, "it's bash\n")
    assert (tmp_path / "checked").exists()


@pytest.mark.parametrize("index", [1, 4])
def test_an_element_of_a_matrix_has_its_own_parameters(index: int, tmp_path: Path) -> None:
    keys = "parameters: {beta: [a, b], size: ['1', '2']}\n"
    keys += "command: [/bin/sh, -c, 'echo $0 $beta $size', {template: '{{ parameters.beta ~ index }}'}]"

    done = execute(script_text(script(run(keys))), "sh", tmp_path, {"SLURM_ARRAY_TASK_ID": str(index)})

    assert done.stdout == {1: "a1 a 1\n", 4: "b4 b 2\n"}[index]


def test_an_array_without_an_index_of_the_scheduler_does_not_run(tmp_path: Path) -> None:
    done = execute(script_text(script(run("array: 1-2\ncommand: touch made"))), "sh", tmp_path)

    assert done.returncode != 0
    assert "the scheduler has not set the index" in done.stderr
    assert not (tmp_path / "made").exists()


def test_the_output_is_redirected_where_no_directive_can_name_the_file(tmp_path: Path) -> None:
    text = script_text(script(run('command: [/bin/echo, hello]\noutput: "logs/{job} $HOME.out"'), "pbs"))

    execute(text, "sh", tmp_path, {"PBS_JOBID": "12.host"})

    assert (tmp_path / "logs/12.host $HOME.out").read_text() == "hello\n"


@pytest.mark.parametrize("name", [*sorted(RESERVED & {"UID", "IFS", "PWD", "RANDOM", "_"}), "ORDAIN_INDEX"])
def test_a_variable_that_the_shell_sets_is_refused(name: str) -> None:
    (problem,) = refused(run(f"command: x\nenvironment: {{{name}: a}}"))

    assert (problem.code, problem.where.pointer) == ("Encode", f"environment/{name}")


def test_each_element_writes_its_output_in_its_own_directory(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    keys = (
        f"array: 1-2\nworking-directory: {{template: '{tmp_path}/{{{{ index }}}}'}}\ncommand: /bin/pwd\noutput: out.txt"
    )

    made = script(run(keys))
    for index in ("1", "2"):
        execute(script_text(made), "sh", tmp_path, {"SLURM_ARRAY_TASK_ID": index})

    assert not [line for line in made.lines if line.text.startswith("#SBATCH --output")]
    assert [(tmp_path / name / "out.txt").read_text() for name in ("1", "2")] == [f"{tmp_path}/1\n", f"{tmp_path}/2\n"]


@pytest.mark.parametrize(("target", "made"), [("kept", "kept/f"), ("kept/", "kept/data/f")])
def test_a_copy_of_a_directory_replaces_the_copy_of_the_last_run(target: str, made: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive/data"
    archive.mkdir(parents=True)
    text = script_text(
        script(run(f"stage-in: {{data: {archive}}}\ncommand: cat data/f\nstage-out: {{data: {target}}}"))
    )

    for content in ("first", "second"):
        (archive / "f").write_text(content)
        assert execute(text, "sh", tmp_path).stdout == content

    assert (tmp_path / made).read_text() == "second"
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["f"]


CONTINUES = """
on-failure: continue
modules: {missing: missing/1}
working-directory: /does/not/exist
"""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("keys", "status", "out"),
    [
        ("script: |\n  false\n  echo out\n  exit 3", 3, "out\n"),
        ("command: [/bin/false, [/bin/echo, out], [/bin/sh, -c, exit 3]]", 3, "out\n"),
        ("command: [[/bin/sh, -c, exit 3], [/bin/echo, out]]", 0, "out\n"),
        ("steps: [{name: a, command: /bin/false}, {name: b, command: [/bin/sh, -c, exit 5]}]", 5, ""),
        ("steps: [{name: a, command: [/bin/sh, -c, exit 4], on-failure: stop}, {name: b, command: /bin/true}]", 4, ""),
    ],
)
def test_a_run_that_continues_has_the_result_of_its_last_command(
    shell: str, keys: str, status: int, out: str, tmp_path: Path
) -> None:
    done = execute(script_text(script(run(CONTINUES + keys))), shell, tmp_path)

    assert (done.returncode, done.stdout) == (status, out)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("command", "status", "copied"), [("exit 3", 3, False), ("exit 0", 0, True)])
def test_a_run_that_continues_copies_its_files_after_a_success_only(
    shell: str, command: str, status: int, copied: bool, tmp_path: Path
) -> None:
    keys = f"on-failure: continue\ncommand: [[touch, made], [/bin/sh, -c, {command}]]\nstage-out: {{made: kept}}"

    done = execute(script_text(script(run(keys))), shell, tmp_path)

    assert (done.returncode, (tmp_path / "kept").exists()) == (status, copied)


@pytest.mark.skipif(not shutil.which("tcsh"), reason="no tcsh here")
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_script_may_be_in_the_language_of_csh(system: str, tmp_path: Path) -> None:
    body = "set n = 2\nforeach i (1 2)\n  echo $i of $n $A:q\nend\n#$ -N x\ncat\nexit 5\n"
    keys = {"script": body, "shell": shutil.which("tcsh"), "environment": {"A": "a  b"}, "input": "in"}
    (tmp_path / "in").write_text("input\n")

    text = script_text(script(json.dumps({"ordain": "v1", "kind": "Run", "name": "x", **keys}), system))
    done = execute(text, "sh", tmp_path)

    assert (done.returncode, done.stdout) == (5, "1 of 2 a  b\n2 of 2 a  b\ninput\n")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_script_as_a_signal_after_its_hooks(shell: str, name: str, tmp_path: Path) -> None:
    # The command itself says that it has started: a signal between the shell's fork and its exec would be lost.
    keys = "command: [sh, -c, 'touch started; exec sleep 100']\nhooks: {on-failure: touch ended}"
    (tmp_path / "script.sh").write_text(script_text(script(run(keys))))
    # A shell cannot trap a signal that is ignored where it starts, as SIGINT is in a process in the background.
    command = ["env", f"--default-signal={name}", shell, "script.sh"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "started").exists():
        assert process.poll() is None

    os.killpg(process.pid, signal.Signals[name])

    assert process.wait(60) == -signal.Signals[name]
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_signal_to_a_hook_does_not_end_it(shell: str, tmp_path: Path) -> None:
    keys = """command: [sh, -c, 'touch started; exec sleep 100']
hooks: {on-failure: "sh -c 'kill -s TERM $$; kill -s INT $$; touch ended'"}"""
    (tmp_path / "script.sh").write_text(script_text(script(run(keys))))
    process = subprocess.Popen([shell, "script.sh"], cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "started").exists():
        assert process.poll() is None

    os.killpg(process.pid, signal.SIGTERM)

    assert process.wait(60) == -signal.SIGTERM
    assert (tmp_path / "ended").exists()


def test_a_function_of_the_environment_reaches_a_script_in_bash(tmp_path: Path) -> None:
    text = script_text(script(run("script: module load gcc\nshell: /bin/bash")))
    environment = {"BASH_FUNC_module%%": '() { echo "module $*"; }'}

    done = execute(text, text.split("\n")[0].removeprefix("#!"), tmp_path, environment)

    assert (done.stdout, done.stderr) == ("module load gcc\n", "")


def test_an_index_that_a_script_does_not_have_is_a_failure(tmp_path: Path) -> None:
    text = script_text(script(run("parameters: {size: ['1', '2']}\ncommand: /bin/true")))

    done = execute(text, "sh", tmp_path, {"SLURM_ARRAY_TASK_ID": "3"})

    assert (done.returncode, done.stderr) == (1, "ordain: this script has no element 3\n")
