"""Imports of scripts and JSDL: golden documents, and the account of every line and option."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordain.transforms.document.reader import read
from ordain.transforms.runs.jsdl import export_jsdl, import_jsdl
from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.run_render import script_text
from ordain.transforms.runs.script_dialects import DIALECTS, dialect_of
from ordain.transforms.runs.script_import import Dialect, convert
from ordain.transforms.runs.xml_elements import read_elements
from support.golden import compare
from support.run_samples import refused, rendered, run

IMPORTS = Path(__file__).parents[2] / "runs/imports"
SAMPLES = sorted(path.name for path in IMPORTS.iterdir() if path.suffix in {".slurm", ".pbs", ".lsf", ".jsdl"})
VALUES = {
    "slurm": {
        "job-name": "a",
        "nodes": "3",
        "ntasks": "3",
        "ntasks-per-node": "3",
        "cpus-per-task": "3",
        "time": "30",
        "mem": "3G",
        "mem-per-cpu": "3G",
        "tmp": "3G",
        "gres": "gpu:3",
        "gpus-per-node": "a100:3",
        "partition": "a",
        "account": "a",
        "output": "a",
        "error": "a",
        "array": "1-3",
        "mail-type": "END",
        "mail-user": "a@b",
        "chdir": "/a",
        "dependency": "afterok:1",
        "export": "NONE",
        "input": "a",
    },
    "pbs": {
        "N": "a",
        "l": "walltime=1:00",
        "j": "eo",
        "m": "e",
        "J": "1-3",
        "t": "1-3",
        "v": "A=b",
        "W": "x=y",
        "S": "/bin/a",
    },
    "lsf": {
        "J": "a",
        "n": "3",
        "W": "3",
        "R": "span[ptile=3]",
        "M": "3G",
        "w": "done(1)",
        "env": "none",
        "gpu": "num=1",
    },
}
"""A value for each option that does not take any word."""


def draft_of(name: str) -> RunDraft:
    data = (IMPORTS / name).read_bytes()
    if name.endswith(".jsdl"):
        return import_jsdl(read_elements(name, data))
    return convert(data.decode(), name, DIALECTS[name.rpartition(".")[2]])


@pytest.mark.parametrize("name", SAMPLES)
def test_an_import_is_the_golden_document(name: str, request: pytest.FixtureRequest) -> None:
    draft = draft_of(name)
    draft.remove_invalid()
    text = draft.text("")
    problems = "".join(f"{p.where}: {p.what} ({p.hint})\n" for p in sorted(draft.problems, key=lambda p: p.where))

    update = request.config.getoption("--update")
    compare(IMPORTS / f"{name}.yaml", text, update)
    compare(IMPORTS / f"{name}.problems.txt", problems, update)
    _, wrong = read("run.yaml", text.encode())
    assert wrong == ()
    assert all(problem.hint for problem in draft.problems)


@pytest.mark.parametrize("name", [name for name in SAMPLES if not name.endswith(".jsdl")])
def test_every_line_of_a_script_is_accounted_for(name: str) -> None:
    text = (IMPORTS / name).read_text()
    wanted = {n for n, line in enumerate(text.split("\n"), 1) if line.strip()}

    draft = draft_of(name)

    assert wanted - draft.accounted == set()


@pytest.mark.parametrize(
    ("dialect", "option"), [(dialect, option) for dialect in DIALECTS.values() for option in dialect.options]
)
def test_an_option_changes_the_document_or_is_reported(dialect: Dialect, option: str) -> None:
    prefix = {"slurm": "#SBATCH", "pbs": "#PBS", "lsf": "#BSUB"}[dialect.name]
    dashes = "--" if dialect.name == "slurm" else "-"
    value = "" if option in dialect.flags else VALUES[dialect.name].get(option, "/a")
    body = "\none; two\n"

    without = convert(f"#!/bin/sh\n{body}", "job", dialect)
    with_option = convert(f"#!/bin/sh\n{prefix} {dashes}{option} {value}\n{body}", "job", dialect)

    assert (with_option.name, with_option.keys, with_option.problems) != (without.name, without.keys, without.problems)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@given(words=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=20), max_size=6))
def test_any_directive_is_kept_or_reported_and_gives_a_valid_document(dialect: Dialect, words: list[str]) -> None:
    prefix = {"slurm": "#SBATCH ", "pbs": "#PBS ", "lsf": "#BSUB "}[dialect.name]
    text = "#!/bin/sh\n" + "".join(f"{prefix}{word}\n" for word in words) + "command\n"

    draft = convert(text, "job", dialect)
    draft.remove_invalid()

    _, problems = read("run.yaml", draft.text("").encode())
    assert problems == ()


@pytest.mark.parametrize("name", ["simple.slurm", "chunks.pbs", "gpu.lsf"])
def test_an_imported_script_is_rendered_with_the_same_meaning(name: str) -> None:
    draft = draft_of(name)
    draft.remove_invalid()

    scheduler = name.rpartition(".")[2]
    lines = {line.text for line in rendered(draft.text(""), scheduler).scripts[0].lines}

    expected = {
        "simple.slurm": {"#SBATCH --ntasks=4", "#SBATCH --time=0-00:10:00", "#SBATCH --exclusive", "#SBATCH --requeue"},
        "chunks.pbs": {"#PBS -l select=2:ncpus=32:mpiprocs=8:ompthreads=4:mem=65536mb:ngpus=1", "#PBS -J 1-10:2"},
        "gpu.lsf": {'#BSUB -gpu "num=2:gmodel=V100"', "#BSUB -n 8,16", "#BSUB -W 01:30"},
    }[name]
    assert expected <= lines


HERE_DOCUMENT = """\
#!/bin/sh
{0} {1}
cat >inner.sh <<'EOF'
{0} {2}
./inner
EOF
"""


@pytest.mark.parametrize("name", ["slurm", "pbs", "lsf"])
def test_an_imported_script_keeps_the_directives_of_a_script_that_it_writes(name: str, tmp_path: Path) -> None:
    prefix, *options = {
        "slurm": ("#SBATCH", "--ntasks=2", "--ntasks=9"),
        "pbs": ("#PBS", "-l walltime=1:00:00", "-l walltime=9:00:00"),
        "lsf": ("#BSUB", "-n 2", "-q inner"),
    }[name]
    text = HERE_DOCUMENT.format(prefix, *options)

    draft = convert(text, "job", DIALECTS[name])
    made = script_text(rendered(draft.text(""), name).scripts[0])
    subprocess.run(["sh", "-c", made], cwd=tmp_path, check=True)

    assert (tmp_path / "inner.sh").read_text() == f"{prefix} {options[1]}\n./inner\n"
    # LSF reads such a line, also of a here-document, so it counts; Slurm and PBS do not.
    assert draft.get("queue") == ("inner" if name == "lsf" else None)
    assert len(draft.problems) == (0 if name == "lsf" else 1)


@pytest.mark.parametrize("text", ["#SBATCH -n 1\n#PBS -l x=1\n", "echo\n"])
def test_a_script_without_a_scheduler_or_with_two_has_no_dialect(text: str) -> None:
    assert dialect_of(text) is None


def test_a_script_in_windows_form_is_read() -> None:
    draft = convert("#!/bin/sh\r\n#SBATCH -n 2\r\n./a\r\n", "job", DIALECTS["slurm"])

    assert draft.keys["command"] == ["./a"]
    assert draft.keys["resources"] == {"tasks": 2}


JSDL_RUN = """\
ordain: v1
kind: Run
name: a
description: "text < & >"
command: [./a, "two words", ""]
input: in.txt
environment: {TEXT: "a\\nb"}
working-directory: /work
stage-in: {in.txt: /archive/in.txt}
stage-out: {out.txt: /archive/out.txt}
resources: {nodes: 2, cpus-per-task: 4, memory: 3G, time: 90min, exclusive: true, scratch: 10G}
account: acc
output: out.txt
errors: err.txt
"""


def test_a_run_of_jsdl_keys_survives_the_way_to_jsdl_and_back_with_the_same_bytes() -> None:
    (document,), _ = read("run.yaml", JSDL_RUN.encode())

    text, problems = export_jsdl(document)
    draft = import_jsdl(read_elements("job.xml", text.encode()))
    (back,), _ = read("run.yaml", draft.text("").encode())

    assert (problems, draft.problems) == ((), [])
    assert export_jsdl(back)[0] == text
    assert [line.text for line in rendered(draft.text("")).scripts[0].lines] == [
        line.text for line in rendered(JSDL_RUN).scripts[0].lines
    ]


@pytest.mark.parametrize(
    "keys", ["launcher: mpi", "modules: {a: b}", "array: 1-2", "queue: a", "resources: {tasks: 2}"]
)
def test_a_key_that_jsdl_cannot_hold_is_reported(keys: str) -> None:
    (document,), _ = read("run.yaml", run(f"command: a\n{keys}").encode())

    (problem,) = export_jsdl(document)[1]

    assert problem.code == "NotCarried"
    assert problem.where.line == 5


def test_an_imported_module_is_loaded_by_its_own_name() -> None:
    draft = convert("#SBATCH -n 1\nmodule load gcc/12 gcc/13\nsrun ./a\n", "job", DIALECTS["slurm"])

    assert draft.keys["modules"] == {"gcc": "gcc/12", "gcc/13": "gcc/13"}
    assert [p.code for p in refused(run("command: a\nmodules: [gcc]"))] == ["UnknownModule"]


def test_a_null_of_a_run_is_reported_because_jsdl_has_no_layers() -> None:
    (document,), _ = read("run.yaml", run("command: a\nresources: {time: null}\naccount: null").encode())

    text, problems = export_jsdl(document)

    assert sorted(problem.where.pointer for problem in problems) == ["account", "resources/time"]
    assert "WallTimeLimit" not in text
