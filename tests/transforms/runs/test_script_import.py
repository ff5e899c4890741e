"""Imports of scripts and JSDL: golden documents, and the account of every line and option."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ordain.transforms.document.reader import read
from ordain.transforms.runs.jsdl import export_jsdl, import_jsdl
from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.run_render import script_text
from ordain.transforms.runs.script_body import LAUNCHERS
from ordain.transforms.runs.script_dialects import DIALECTS, dialect_of
from ordain.transforms.runs.script_import import convert
from ordain.transforms.runs.script_options import Dialect
from ordain.transforms.runs.xml_elements import read_elements
from support.outputs.golden import compare
from support.samples.run_samples import refused, rendered, run

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
        "gpus-per-task": "3",
        "mem-per-gpu": "3G",
        "constraint": "a",
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
        "nnodes": "3",
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
        "gpu.lsf": {'#BSUB -gpu "num=2/host:gmodel=V100"', "#BSUB -n 8,16", "#BSUB -W 01:30"},
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
        "pbs": ("#PBS", "-j oe -l walltime=1:00:00", "-l walltime=9:00:00"),
        "lsf": ("#BSUB", "-n 2", "-q inner"),
    }[name]
    text = HERE_DOCUMENT.format(prefix, *options)

    draft = convert(text, "job", DIALECTS[name])
    made = script_text(rendered(draft.text(""), name).scripts[0])
    subprocess.run(["sh", "-c", made], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, check=True)

    assert (tmp_path / "inner.sh").read_text() == f"{prefix} {options[1]}\n./inner\n"
    # LSF reads such a line, also of a here-document, so it counts; Slurm and PBS do not.
    assert draft.get("queue") == ("inner" if name == "lsf" else None)
    assert len(draft.problems) == (0 if name == "lsf" else 1)


@pytest.mark.parametrize("text", ["#SBATCH -n 1\n#PBS -l x=1\n", "echo\n"])
def test_a_script_without_a_scheduler_or_with_two_has_no_dialect(text: str) -> None:
    assert dialect_of(text) is None


def imported(name: str, options: str, body: str = "./a", shell: str = "/bin/bash") -> RunDraft:
    """Return the draft of a script with one directive for each line of ``options``."""
    prefix = {"slurm": "#SBATCH", "pbs": "#PBS", "lsf": "#BSUB"}[name]
    directives = "".join(f"{prefix} {option}\n" for option in options.split("\n") if option)
    draft = convert(f"#!{shell}\n{directives}{body}\n", "job", DIALECTS[name])
    draft.remove_invalid()
    return draft


def reports(draft: RunDraft) -> list[str]:
    return [f"{problem.where.line}: {problem.what}" for problem in draft.problems]


@pytest.mark.parametrize(
    ("name", "options", "resources", "expected"),
    [
        ("slurm", "--gres=gpu:a100:2,nvme:1", "gpus: 2, gpu-type: a100", "--gpus-per-node=a100:2\n--gres=nvme:1"),
        ("slurm", "--ntasks=4\n--gpus-per-task=2", "tasks: 4, gpus-per-task: 2", "--gpus-per-task=2"),
        ("slurm", "--gpus-per-task=a100:1", "gpus-per-task: 1, gpu-type: a100", "--gpus-per-task=a100:1"),
        ("slurm", "-N 1\n-G 4", "nodes: 1, gpus: 4", "--gpus-per-node=4"),
        ("slurm", "-N 2\n-G 4", "nodes: 2", "--nodes=2\n--gpus=4"),
        ("slurm", "--gres=gpu:2\n--mem-per-gpu=8G", "gpus: 2, memory: 16G", "--mem=16384M"),
        ("slurm", "--mem-per-gpu=8G", "", "--mem-per-gpu=8G"),
        ("slurm", "-C 'haswell&nvme'", "features: [haswell, nvme]", "--constraint=haswell&nvme"),
        ("slurm", "-C 'haswell|knl'", "", "--constraint='haswell|knl'"),
        ("slurm", "-N 2\n--tasks-per-node=16", "nodes: 2, tasks-per-node: 16", "--ntasks=32"),
        ("slurm", "--nodes=2-4", "", "--nodes=2-4"),
        ("pbs", "-l ngpus=4", "gpus: 4", "-l select=1:ncpus=1:mpiprocs=1:ngpus=4"),
        (
            "pbs",
            "-lncpus=8,mem=16gb",
            "cpus-per-task: 8, memory: 16G",
            "-l select=1:ncpus=8:mpiprocs=1:ompthreads=8:mem=16384mb",
        ),
        ("pbs", "-l nodes=2:ppn=4", "nodes: 2, tasks-per-node: 4", "-l select=2:ncpus=4:mpiprocs=4\n-l place=scatter"),
        (
            "pbs",
            "-l nodes=2:ppn=4:gpus=1:haswell",
            "nodes: 2, tasks-per-node: 4, gpus: 1, features: [haswell]",
            "-l select=2:ncpus=4:mpiprocs=4:ngpus=1:haswell=True",
        ),
        ("pbs", "-l mem=2gb\n-l nodes=4", "nodes: 4, memory: 512M", "-l select=4:ncpus=1:mpiprocs=1:mem=512mb"),
        ("pbs", "-l procs=16", "tasks: 16", "-l select=16:ncpus=1:mpiprocs=1"),
        ("pbs", "-l nodes=a+b,mem=4gb", "", "-l nodes=a+b\n-l mem=4gb"),
        (
            "pbs",
            "-l select=8:ncpus=2:mem=4gb:ngpus=1",
            "tasks: 8, cpus-per-task: 2, memory-per-cpu: 2G, gpus-per-task: 1",
            "-l select=8:ncpus=2:mpiprocs=1:ompthreads=2:mem=4096mb:ngpus=1",
        ),
        (
            "pbs",
            "-l select=2:ncpus=8:mpiprocs=8:bigmem=True\n-l place=scatter:excl",
            "nodes: 2, tasks-per-node: 8, features: [bigmem], exclusive: true",
            "-l place=scatter:exclhost",
        ),
        ("pbs", "-l select=1:ncpus=2+2:ncpus=4\n-l place=pack", "", "-l select=1:ncpus=2+2:ncpus=4\n-l place=pack"),
        ("lsf", "-nnodes 2", "nodes: 2, exclusive: true", "-n 2\n-x"),
        ("lsf", '-n 4\n-gpu "num=2/task:mode=shared"', "tasks: 4, gpus-per-task: 2", '-gpu "num=2/task"'),
        ("lsf", '-R "rusage[ngpus_excl_p=2] span[hosts=1]"', "gpus: 2, nodes: 1", '-gpu "num=2/host"'),
        (
            "lsf",
            '-R "select[haswell && nvme] order[ut]"',
            "features: [haswell, nvme]",
            '-R "select[haswell&&nvme]"\n-R "order[ut]"',
        ),
        ("lsf", '-R "rusage[mem=2GB]"\n-M 2GB', "memory: 2G", '-R "rusage[mem=2048MB/host]"\n-M 2048MB'),
        ("lsf", '-R "rusage[mem=2GB/host,lic=1]"', "memory: 2G", '-R "rusage[mem=2048MB/host]"\n-R "rusage[lic=1]"'),
        ("lsf", '-R "rusage[mem=2GB/task]"', "", '-R "rusage[mem=2GB/task]"'),
        ("lsf", '-R "rusage[mem=64]"', "", '-R "rusage[mem=64]"'),
        ("lsf", "-M 4096", "", "-M 4096"),
        ("lsf", "-n 4,8\n-R span[ptile=2]", "tasks-per-node: 2", '-n 4,8\n-R "span[ptile=2]"'),
    ],
)
def test_resources_become_neutral_or_stay_without_a_contradiction(
    name: str, options: str, resources: str, expected: str
) -> None:
    draft = imported(name, options)

    assert (draft.get("resources") or {}) == yaml.safe_load(f"{{{resources}}}")
    prefix = {"slurm": "#SBATCH ", "pbs": "#PBS ", "lsf": "#BSUB "}[name]
    made = [line.text.removeprefix(prefix) for line in rendered(draft.text(""), name).scripts[0].lines]
    assert set(expected.split("\n")) <= set(made)
    if name == "pbs":  # qsub refuses old resources beside select
        kinds = {
            word for line in made for word in ("select=", "nodes=", "mem=", "ncpus=") if line.startswith(f"-l {word}")
        }
        assert "select=" not in kinds or kinds == {"select="}
    if name == "lsf":
        assert len([line for line in made if line.startswith(("-n ", "-nnodes"))]) == 1
        assert "-M" not in options or len([line for line in made if line.startswith("-M")]) == 1


@pytest.mark.parametrize(
    ("name", "options", "reported"),
    [
        ("lsf", '-gpu "num=2:mode=exclusive_process:j_exclusive=yes"', ["mode=exclusive_process", "j_exclusive=yes"]),
        ("lsf", '-R "rusage[mem=1GB]"', ["the reservation of memory becomes a limit, too"]),
        ("lsf", "-M 1GB", ["the limit of memory becomes a reservation, too"]),
        ("lsf", "-nnodes 2", ["-nnodes, with which LSF places the tasks of jsrun"]),
        ("pbs", "-j oe\n-l select=2:ncpus=8:mpiprocs=8", ["chunks that may share a host"]),
        ("pbs", "-l walltime=60", ["PBS writes the error messages to a file of their own"]),
        ("pbs", "-j oe\n-W depend=afterok:1,umask=022", ["the ids of other jobs"]),
        ("slurm", "--mem=8G\n--mem-per-cpu=2G", ["resources/memory-per-cpu 2G excludes resources/memory"]),
        ("slurm", "--export=ALL,FOO=bar,1BAD=x", ["environment/1BAD"]),
        ("slurm", "-N 1 --exclusive", ["no number of tasks"]),
        ("slurm", "hetjob", ["hetjob: a word that is not an option"]),
        ("slurm", "-o %A_%a.o", ["the script is for an array, which it does not have"]),
    ],
)
def test_a_change_of_meaning_is_reported(name: str, options: str, reported: list[str]) -> None:
    draft = imported(name, options)

    assert len(draft.problems) == len(reported), draft.problems
    assert all(text in line for text, line in zip(reported, reports(draft), strict=True))
    assert all(problem.hint for problem in draft.problems)


def test_only_the_value_that_a_document_cannot_have_is_removed() -> None:
    draft = imported("slurm", "--export=ALL,FOO=bar,1BAD=x\n-N 2\n--mem=8G\n--mem-per-cpu=2G\n-p 'a b'")

    assert draft.get("environment") == {"FOO": "bar"}
    assert draft.get("resources") == {"nodes": 2, "memory": "8G"}
    assert draft.get("queue") is None


def test_the_other_attributes_of_a_dependency_are_kept() -> None:
    assert imported("pbs", "-W depend=afterok:1,umask=022").get("native/pbs") == ["-W umask=022"]


@pytest.mark.parametrize(
    ("name", "option", "native"),
    [("slurm", "-vv", ["-v", "-v"]), ("lsf", "-Zs", ["-Zs"]), ("lsf", "-clusters all", ["-clusters all"])],
)
def test_an_option_is_not_cut_into_others(name: str, option: str, native: list[str]) -> None:
    assert imported(name, option).get(f"native/{name}") == native


@pytest.mark.parametrize("name", ["slurm", "pbs"])
def test_the_id_of_an_element_is_not_that_of_its_array(name: str) -> None:
    options, variable = {
        "slurm": ("--array=1-3\n-o out_%j.txt", "SLURM_JOB_ID"),
        "pbs": ("-J 1-3\n-j oe\n-o out.$PBS_JOBID", "PBS_JOBID"),
    }[name]

    draft = imported(name, options, f"mkdir -p ${variable}; cd ${{{variable}}}")

    assert draft.get("output") is None
    assert any("out" in text for text in draft.get(f"native/{name}"))  # type: ignore[union-attr, operator] # a list
    assert str(draft.get("script")).endswith(f"mkdir -p ${variable}; cd ${{{variable}}}\n")
    assert reports(draft) == [f"4: the variable {variable} stays in the script"] or name == "pbs"


@pytest.mark.parametrize(
    "line", ["source ./run_all.sh", ". ./x", "exec ./a.out 1", "time ./a.out", "exit 3", "ulimit -s 10", "cd a"]
)
def test_a_word_of_the_shell_stays_a_script(line: str) -> None:
    draft = imported("slurm", "-n 1", line)

    assert draft.get("script") == f"{line}\n"
    assert draft.get("command") is None


@pytest.mark.parametrize("launcher", sorted(LAUNCHERS))
def test_a_launcher_becomes_that_of_each_system(launcher: str) -> None:
    assert imported("slurm", "-n 4", f"{launcher} ./a b").get("command") == ["./a", "b"]
    assert imported("slurm", "-n 4", f"{launcher} -n 4 ./a").get("launcher") == "mpi"
    draft = imported("slurm", "-n 4", f"{launcher} -n 2 ./a")
    assert draft.get("script") == f"{launcher} -n 2 ./a\n"
    assert len(draft.problems) == bool(LAUNCHERS[launcher])


def test_an_export_after_a_module_stays_behind_it() -> None:
    draft = imported("slurm", "-n 1", "export A=1\nmodule load intel\nexport CC=mpicc\nmake")

    assert draft.get("environment") == {"A": "1"}
    assert draft.get("script") == "export CC=mpicc\nmake\n"


@pytest.mark.parametrize(
    ("options", "directory", "script"),
    [
        ("-o out.%j", None, "cd /scratch\n./a; ./b\n"),
        ("-o /logs/out.%j", "/scratch", "./a; ./b\n"),
        ("-D /elsewhere", "/elsewhere", "cd /scratch\n./a; ./b\n"),
    ],
)
def test_a_directory_does_not_move_the_output(options: str, directory: str | None, script: str) -> None:
    draft = imported("slurm", options, "cd /scratch\n./a; ./b")

    assert (draft.get("working-directory"), draft.get("script")) == (directory, script)


def test_the_output_of_slurm_is_in_the_directory_of_its_option() -> None:
    draft = imported("slurm", "-D /scratch/job")

    assert "#SBATCH --output=/scratch/job/slurm-%j.out" in [
        line.text for line in rendered(draft.text("")).scripts[0].lines
    ]


@pytest.mark.parametrize(
    ("body", "home"),
    [
        ("./a", True),
        ("pwd; ./a", True),
        ("cd $PBS_O_WORKDIR\n./a", False),
        ('cd "${PBS_O_WORKDIR}"\n./a; ./b', False),
        ("cd /data/x\n./a; ./b", False),
        ("cd /data/$USER\n./a", False),
    ],
)
def test_a_job_of_pbs_starts_in_the_home_directory(body: str, home: bool, tmp_path: Path) -> None:
    draft = imported("pbs", "-j oe", body)

    assert str(draft.get("script") or "").startswith("cd  # PBS starts") is home


@pytest.mark.parametrize("line", ["set -e", "set -eu", "set -euo pipefail", "set -o errexit"])
def test_a_script_that_stops_at_a_failure_is_a_run_that_stops(line: str) -> None:
    draft = imported("slurm", "-n 1", f"{line}\nmodule load x\n./a b")

    assert draft.get("command") == ["./a", "b"]
    assert draft.get("on-failure") is None
    assert imported("slurm", "-n 1", "module load x\n./a b").get("on-failure") == "continue"
    assert imported("slurm", "-n 1", f"module load x\n{line}\n./a b").get("on-failure") == "continue"
    assert imported("slurm", "-n 1", f"{line}\nmodule load x\n./a; ./b").get("script") == f"{line}\n./a; ./b\n"
    assert imported("slurm", "-n 1", "./a b").get("on-failure") is None


def test_the_directory_of_the_submission_needs_no_variable() -> None:
    (problem,) = imported("slurm", "-n 1", "module purge\ncd $SLURM_SUBMIT_DIR\n./a").problems

    assert "a run starts in the directory that it is submitted from" in problem.hint


def test_the_options_of_the_shell_are_kept() -> None:
    draft = imported("slurm", "-n 1", "./a; ./b", shell="/bin/bash -ex")

    assert (draft.get("shell"), draft.get("script"), draft.problems) == ("/bin/bash", "set -ex\n./a; ./b\n", [])
    assert reports(imported("slurm", "-n 1", shell="/bin/bash -l")) == ["1: the options -l of /bin/bash"]


@pytest.mark.parametrize("shell", ["/bin/csh", "/bin/tcsh", "/usr/bin/python3"])
def test_only_a_script_of_a_posix_shell_is_taken_apart(shell: str) -> None:
    body = "setenv A b\nmodule load x\n./a"

    draft = imported("slurm", "-n 1", body, shell)

    assert (draft.get("shell"), draft.get("script")) == (shell, f"{body}\n")
    assert draft.get("modules") is None


def test_variables_in_data_and_behind_a_backslash_are_not_translated() -> None:
    body = """\
cat >a.sh <<'EOF'
echo $SLURM_JOB_ID
EOF
cat >b.sh <<EOF
echo $SLURM_JOB_ID \\$SLURM_JOB_ID \\${SLURM_JOB_ID}
EOF
echo $SLURM_JOB_ID ${SLURM_JOB_ID}
"""
    draft = imported("slurm", "-n 1", body)
    script = str(draft.get("script"))

    assert reports(draft) == [f"{line}: the variable SLURM_JOB_ID stays in the script" for line in (4, 7)]
    assert script.split("\n")[1] == "echo $SLURM_JOB_ID"
    assert script.split("\n")[4] == "echo $ORDAIN_JOB_ID \\$SLURM_JOB_ID \\${SLURM_JOB_ID}"
    assert script.split("\n")[6] == "echo $ORDAIN_JOB_ID ${ORDAIN_JOB_ID}"


@pytest.mark.parametrize("name", ["slurm", "pbs", "lsf"])
@pytest.mark.parametrize(
    "body", ["cat missing-file\nexit 3", "false\ncd /does/not/exist\npwd", "cd /does/not/exist\npwd"]
)
def test_an_imported_script_does_the_same_as_before(name: str, body: str, tmp_path: Path) -> None:
    draft = imported(name, {"pbs": "-j oe"}.get(name, "-n 1"), body, shell="/bin/sh")

    def result(text: str) -> tuple[int, bytes]:
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(["sh", "-c", text], cwd=tmp_path, env=environment, capture_output=True, check=False)
        return done.returncode, done.stdout

    assert result(script_text(rendered(draft.text(""), name).scripts[0])) == result(body)


def test_a_script_in_windows_form_is_read() -> None:
    draft = convert("#!/bin/sh\r\n#SBATCH -n 2\r\n./a\r\n", "job", DIALECTS["slurm"])

    assert draft.keys["command"] == ["./a"]
    assert draft.keys["resources"] == {"tasks": 2}


JSDL = """\
<JobDefinition xmlns="http://schemas.ggf.org/jsdl/2005/11/jsdl" xmlns:p="http://schemas.ggf.org/jsdl/2005/11/jsdl-posix">
<JobDescription><Application><p:POSIXApplication>{0}</p:POSIXApplication></Application>{1}</JobDescription>
</JobDefinition>
"""
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


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///data/in%20put.dat", "/data/in put.dat"),
        ("file://localhost/a%23b", "/a#b"),
        ("file:/a", "/a"),
        ("sub/a b", "sub/a b"),
    ],
)
def test_a_file_uri_of_jsdl_is_decoded(uri: str, path: str) -> None:
    staging = f"<DataStaging><FileName>f</FileName><Source><URI>{uri}</URI></Source></DataStaging>"
    draft = import_jsdl(read_elements("job.xml", JSDL.format("", staging).encode()))

    assert draft.get("stage-in") == {"f": path}


def test_a_path_is_encoded_in_a_uri_of_jsdl() -> None:
    (document,), _ = read("run.yaml", run('command: a\nstage-out: {out: "/archive/b c#%.nc"}').encode())

    text, _ = export_jsdl(document)

    assert "<jsdl:URI>file:///archive/b%20c%23%25.nc</jsdl:URI>" in text
    assert import_jsdl(read_elements("job.xml", text.encode())).get("stage-out") == {"out": "/archive/b c#%.nc"}


@pytest.mark.parametrize("element", ['Environment name="A" ', "Argument ", "Input ", "Executable "])
def test_a_file_system_of_jsdl_is_reported(element: str) -> None:
    name = element.split()[0]
    own = f'<p:{element}filesystemName="HOME">x</p:{name}>'
    other = "" if name == "Executable" else "<p:Executable>a</p:Executable>"

    draft = import_jsdl(read_elements("job.xml", JSDL.format(other + own, "").encode()))

    assert "the file system HOME" in [problem.what for problem in draft.problems]


@pytest.mark.parametrize(
    ("attribute", "name"), [('epsilon="0.5"', "epsilon"), ('exclusiveBound="true"', "exclusiveBound")]
)
def test_a_bound_of_jsdl_that_is_not_exact_is_reported(attribute: str, name: str) -> None:
    resources = f"<Resources><TotalCPUCount><Exact {attribute}>2</Exact></TotalCPUCount></Resources>"

    draft = import_jsdl(read_elements("job.xml", JSDL.format("<p:Executable>a</p:Executable>", resources).encode()))

    assert [problem.what.split()[0] for problem in draft.problems] == [name]
