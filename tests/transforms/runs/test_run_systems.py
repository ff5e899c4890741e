"""Systems as data: an invented scheduler, limits and words of a site, and errors for all that a system cannot do."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.runs.run_render import cause_texts, render_runs, script_text
from ordain.transforms.runs.scheduler_rows import run_systems
from support.samples.run_samples import SYSTEMS, documents_of, lines, refused, rendered, run, script

INVENTED = """
ordain: v1
kind: Transform
name: invented
tier: site
schedulers:
  cobalt-9:
    prefix: "%%JOB "
    directive-lines: "%%JOB"
    quoting: double
    shell: /bin/bash
    directives:
      name: "title {name}"
      place: ["machines {nodes} x {tasks-per-node} procs{? of {cpus-per-task} threads}"]
      memory: "ram {memory:GB}GB"
      time: "wall PT%H"
      limit: "wall PT{time:%HH%MM}"
      array: "many {indices}{? limit {most-at-once}}"
      output: "log {output}"
      mail: "tell {mail-to} when {mail-events:|}"
      environment: ["{clean-environment}env fresh", "{inherit-environment}env copy"]
    output-tokens: {job: "<job>", index: "<n>"}
    variables: {job: C9_JOB, index: C9_N}
    launchers: {mpi: [c9run, -p, "{tasks}"]}
    mail-events: {begin: started, end: finished, fail: broken}
    dependencies: {ok: "good {id}", ended: "over {id}"}
    dependency-separator: " and "
    submit: [c9sub, "{dependent}--when", "{dependencies}"]
    id: 'J\\d+'
    status: [c9stat, "{id}"]
    state: '(?P<state>[A-Z]+) (?P<exit>\\d+)'
    states: {UP: running, OVER: done}
    cancel: [c9kill, "{id}"]
systems:
  tower:
    scheduler: cobalt-9
    queues: {small: {name: q1, time: 2h, nodes: 4}}
    directives: {time: "", queue: "line {queue}"}
    modules: {mpi: [cc/1, mpi/2]}
    module-setup: /opt/modules.sh
"""
SITE = """
ordain: v1
kind: Transform
name: site
tier: site
systems:
  hpc1:
    scheduler: slurm
    default-queue: normal
    queues: {normal: {name: compute, time: 24h, nodes: 8}, long: {time: 7d, nodes: 2}}
    limits: {cpus-per-node: 64, memory-per-node: 256G, gpus-per-node: 4, elements: 100}
    accounts: {climate: p1234}
    modules: {gcc: gcc/13, mpi: [gcc/13, openmpi/4.1]}
"""


def test_a_scheduler_is_added_by_a_row_without_code() -> None:
    keys = """
    command: ./a
    launcher: mpi
    modules: [mpi]
    queue: small
    resources: {nodes: 2, tasks-per-node: 4, cpus-per-task: 2, memory: 8G, time: 90min}
    array: {indices: "1-4,9", most-at-once: 2}
    output: "out {job}-{index}"
    mail: {to: a@b, on: [begin, fail]}
    """.replace("\n    ", "\n")

    made = [line for line in lines(run(keys), "tower", INVENTED) if line.startswith("%%JOB")]

    assert made == [
        "%%JOB title x",
        "%%JOB machines 2 x 4 procs of 2 threads",
        "%%JOB ram 9GB",
        "%%JOB wall PT01H30M",
        "%%JOB many 1-4,9 limit 2",
        '%%JOB log "out <job>-<n>"',
        "%%JOB tell a@b when started|broken",
        "%%JOB env fresh",
        "%%JOB line q1",
    ]
    text = script_text(script(run(keys), "tower", INVENTED))
    assert text.startswith("#!/bin/bash\n")
    assert "c9run -p 8 ./a\n" in text
    assert "module load cc/1 || " in text
    assert "module load mpi/2 || " in text
    assert "${C9_N:?" in text


def test_a_line_of_a_script_is_written_so_that_an_invented_scheduler_does_not_read_it() -> None:
    keys = run("script: |\n  true\n  %%JOB many $HOME")
    until_first_command = INVENTED.replace("    quoting: d", "    directives-until: first-command\n    quoting: d")

    assert "${ordain_nothing}%%JOB many \\$HOME" in lines(keys, "tower", INVENTED)
    assert "%%JOB many $HOME" in lines(keys, "tower", until_first_command)


def test_a_command_that_the_scheduler_would_read_as_a_directive_is_refused() -> None:
    (problem,) = refused(run("command: ['flux:', x]"), "flux")

    assert problem.what == "flux would read the line 'flux: x' of the script as a directive"
    assert problem.where.pointer == "command"


@pytest.mark.parametrize(
    ("keys", "code", "what"),
    [
        ("resources: {gpus: 1}", "Unsupported", "tower cannot express 1"),
        ("resources: {exclusive: true}", "Unsupported", "tower cannot express true"),
        ("account: a", "Unsupported", "tower cannot express a"),
        ("container: image.sif", "Unsupported", "tower cannot express this key"),
        ("queue: large", "UnknownName", "the system tower has no queue large"),
        ("queue: small\nresources: {time: 3h}", "OverLimit", "a time of 03:00:00 is more than 02:00:00, the limit"),
        ("modules: [mp]", "UnknownModule", "the system tower has no module mp"),
    ],
)
def test_a_new_system_has_all_checks(keys: str, code: str, what: str) -> None:
    (problem,) = refused(run(f"command: a\n{keys}"), "tower", INVENTED)

    assert (problem.code, problem.what[: len(what)]) == (code, what)
    assert problem.hint
    assert problem.where.line >= 5


@pytest.mark.parametrize(
    ("keys", "pointer", "what", "hint"),
    [
        ("nodes: 9", "nodes", "9 nodes is more than 8, the limit of the queue normal of hpc1", "use less"),
        ("time: 25h", "time", "a time of 25:00:00 is more than", "a queue that allows it: long"),
        ("tasks-per-node: 65", "tasks-per-node", "65 CPUs on each node is more than 64", "use less; the limit is at"),
        ("tasks-per-node: 8, cpus-per-task: 9", "cpus-per-task", "72 CPUs on each node is more than 64", ""),
        ("memory: 257G", "memory", "257G of memory on each node is more than 256G", ""),
        ("memory-per-cpu: 5G, cpus-per-task: 60", "memory-per-cpu", "300G of memory on each node is more", ""),
        ("gpus: 5", "gpus", "5 GPUs on each node is more than 4", ""),
        ("tasks: 8, gpus-per-task: 5", "gpus-per-task", "5 GPUs on each node is more than 4", ""),
        ("tasks-per-node: 3, gpus-per-task: 2", "gpus-per-task", "6 GPUs on each node is more than 4", ""),
        ("tasks: 128, cpus-per-task: 65", "cpus-per-task", "65 CPUs on each node", ""),
    ],
)
def test_more_than_the_site_allows_is_refused_with_the_limit(keys: str, pointer: str, what: str, hint: str) -> None:
    (problem,) = refused(run(f"command: a\nresources: {{{keys}}}"), "hpc1", SITE)

    assert (problem.code, problem.where.pointer) == ("OverLimit", f"resources/{pointer}")
    assert what in problem.what
    assert hint in problem.hint


@pytest.mark.parametrize(
    "keys",
    [
        *(
            "time: infinity",
            "nodes: 2, tasks: 1",
            "nodes: 2, tasks: 9, tasks-per-node: 4",
            "gpu-type: a",
            "memory: '0'",
            "time: '0'",
        ),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(keys: str) -> None:
    assert {problem.code for problem in refused(run(f"command: a\nresources: {{{keys}}}"))} >= {"Resources"}


def test_too_many_elements_are_refused() -> None:
    (problem,) = refused(run("command: a\narray: 1-101"), "hpc1", SITE)

    assert (problem.code, problem.what[:12]) == ("OverLimit", "101 elements")


def test_neutral_words_become_those_of_the_site() -> None:
    made = lines(run("command: a\naccount: climate\nmodules: [mpi]"), "hpc1", SITE)

    assert {"#SBATCH --account=p1234", "#SBATCH --partition=compute"} <= set(made)
    assert [line.split(" ||")[0] for line in made if line.startswith("module ")] == [
        "module load gcc/13",
        "module load openmpi/4.1",
    ]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_module_that_no_row_knows_is_an_error_on_every_system(system: str) -> None:
    (problem,) = refused(run("command: a\nmodules: [gc]"), system)

    assert problem.code == "UnknownModule"
    assert "modules: {gc: MODULE}" in problem.hint


def test_a_near_name_of_a_module_is_in_the_hint() -> None:
    assert "did you mean gcc?" in refused(run("command: a\nmodules: [gc]"), "hpc1", SITE)[0].hint


def test_a_system_that_is_not_described_is_an_error_with_near_names() -> None:
    (problem,) = refused(run("command: a"), "slurn")

    assert (problem.code, problem.what) == ("UnknownSystem", 'unknown system "slurn" for runs')
    assert "did you mean slurm?" in problem.hint


def test_a_scheduler_that_is_not_described_is_an_error_at_its_row() -> None:
    more = "ordain: v1\nkind: Transform\nname: t\ntier: site\nsystems: {x: {scheduler: slrm}}\n"
    (problem,) = refused(run("command: a"), "x", more)

    assert (problem.code, problem.where.pointer) == ("UnknownSystem", "systems/x/scheduler")


def test_a_wrong_row_is_an_error_only_for_its_system() -> None:
    more = 'ordain: v1\nkind: Transform\nname: t\ntier: site\nschedulers: {slurm: {directives: {nodes: "-N {"}}}\n'
    documents, _ = read("site.yaml", more.encode())
    systems, _ = run_systems((*shipped(), *documents))

    with pytest.raises(Refused, match="is not a pattern"):
        render_runs(documents_of(run("command: a")), systems, "slurm")
    assert render_runs(documents_of(run("command: a")), systems, "pbs").scripts


def test_a_system_overrides_one_directive_of_its_scheduler() -> None:
    more = "ordain: v1\nkind: Transform\nname: t\n"
    more += 'systems: {s: {scheduler: slurm, directives: {account: "--wckey={account}"}}}\n'

    made = lines(run("command: a\naccount: b"), "s", more)

    assert "#SBATCH --wckey=b" in made
    assert "#SBATCH --job-name=x" in made
    assert "#SBATCH --account=b" not in made


EVERY_KEY = {
    "account: a": "account",
    "queue: a": "queue",
    "mail: {to: a@b, on: [end]}": "mail/on",
    "inherit-environment: true": "inherit-environment",
    "resources: {nodes: 2}": "resources/nodes",
    "resources: {nodes: 2, tasks-per-node: 3}": "resources/tasks-per-node",
    "resources: {tasks: 3}": "resources/tasks",
    "resources: {cpus-per-task: 3}": "resources/cpus-per-task",
    "resources: {memory: 1G}": "resources/memory",
    "resources: {memory-per-cpu: 1G}": "resources/memory-per-cpu",
    "resources: {gpus: 1}": "resources/gpus",
    "resources: {gpus: 1, gpu-type: a}": "resources/gpu-type",
    "resources: {gpus-per-task: 1}": "resources/gpus-per-task",
    "resources: {features: [a, b]}": "resources/features",
    "resources: {time: 1h}": "resources/time",
    "resources: {exclusive: true}": "resources/exclusive",
    "resources: {scratch: 1G}": "resources/scratch",
    "array: 1-3,7": "array",
    "array: {indices: 1-3, most-at-once: 2}": "array/most-at-once",
}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("keys", EVERY_KEY)
def test_a_key_changes_the_job_or_is_refused_with_a_hint(system: str, keys: str) -> None:
    def job(text: str) -> list[tuple[list[str], list[str]]]:
        return [
            ([line.text for line in made.lines], [line.text for line in made.arguments])
            for made in rendered(text, system).scripts
        ]

    problems: tuple[Problem, ...] = ()
    try:
        assert job(run(f"command: a\n{keys}")) != job(run("command: a"))
    except Refused as refusal:
        problems = refusal.problems
    assert {problem.code for problem in problems} <= {"Unsupported"}
    assert not problems or EVERY_KEY[keys] in " ".join(problem.where.pointer + problem.what for problem in problems)
    assert all(problem.hint for problem in problems)


@pytest.mark.parametrize("system", ["local", "flux"])
def test_an_array_is_one_job_for_each_element_where_there_are_no_arrays(system: str) -> None:
    made = rendered(run("command: a\narray: 2,5\noutput: out-{index}"), system).scripts

    assert [(each.name, each.index) for each in made] == [("x-2", 2), ("x-5", 5)]
    assert ["export ORDAIN_INDEX=5" in [line.text for line in each.lines] for each in made] == [False, True]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_container_is_put_before_each_command(system: str) -> None:
    keys = "command: [a, b]\ncontainer: {image: i.sif, mounts: {/data: /in}}\nchecks: {before: c}"

    made = lines(run(keys), system)

    (command,) = [line for line in made if line.endswith(" i.sif a b")]
    assert command.startswith(("apptainer exec ", "podman run "))
    assert "=/data:/in " in command
    assert [line for line in made if " i.sif c || ordain_fail " in line]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_launcher_of_a_system_gets_the_tasks(system: str) -> None:
    made = lines(run("command: [a, b]\nlauncher: mpi\nresources: {tasks: 3}"), system)

    (command,) = [line for line in made if line.endswith(" a b")]
    assert re.search(r"[= ]3 ", command)


@pytest.mark.parametrize(
    ("system", "keys", "pointers"),
    [
        ("pbs", "tasks: 5, tasks-per-node: 2", ["resources/tasks"]),  # three chunks have six tasks
        ("lsf", "nodes: 4, tasks: 5, tasks-per-node: 2", ["resources/nodes"]),  # five tasks fit on three hosts
        ("lsf", "nodes: 3, tasks: 5, tasks-per-node: 2", []),
        ("slurm", "nodes: 4, tasks: 5, tasks-per-node: 2", []),
    ],
)
def test_numbers_that_follow_from_others_only_in_part_must_be_said(system: str, keys: str, pointers: list[str]) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        rendered(run(f"command: a\nresources: {{{keys}}}"), system)
    except Refused as refusal:
        problems = refusal.problems

    assert [problem.where.pointer for problem in problems] == pointers


def test_native_words_of_an_unknown_scheduler_are_an_error_with_near_names() -> None:
    (problem,) = refused(run("command: a\nnative: {slrm: --x}"))

    assert (problem.code, problem.hint) == ("UnknownName", "did you mean slurm?")


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ('{directives: {nodes: "-N {node}"}}', "did you mean nodes"),
        ('{launchers: {mpi: [srun, "{task}"]}}', "did you mean tasks?"),
        ('{submit: [sbatch, "{depend}"]}', "did you mean dependent"),
    ],
)
def test_a_variable_that_nothing_sets_is_an_error_at_its_row(row: str, hint: str) -> None:
    more = f"ordain: v1\nkind: Transform\nname: t\ntier: site\nschedulers: {{slurm: {row}}}\n"

    (problem,) = refused(run("command: a"), "slurm", more)

    assert (problem.code, problem.where.path) == ("BadTransform", "site.yaml")
    assert hint in problem.hint


def test_native_words_replace_a_default_of_the_same_option() -> None:
    made = lines(run("command: a\nnative: {slurm: --nodes=2-4}"))
    assert [line for line in made if "--nodes" in line] == ["#SBATCH --nodes=2-4"]

    made = lines(run("command: a\nnative: {pbs: '-l select=1:ncpus=4+2:ncpus=8'}"), "pbs")
    assert [line for line in made if "select" in line] == ["#PBS -l select=1:ncpus=4+2:ncpus=8"]


@pytest.mark.parametrize(
    ("system", "native", "keys", "both"),
    [
        ("slurm", "-N 2", "nodes: 3", "nodes"),
        ("slurm", "--gres=gpu:2", "gpus: 1", "gpus"),
        ("slurm", "--mem-per-gpu=4G", "memory: 1G", "memory"),
        ("pbs", "-l select=2:ncpus=4", "nodes: 3", "nodes"),
        ("pbs", "-l ncpus=4", "cpus-per-task: 3", "cpus-per-task"),
        ("pbs", "-l  nodes=2:ppn=4", "nodes: 3", "nodes"),
        ("lsf", "-nnodes 2", "tasks: 3", "tasks"),
        ("lsf", '-R "rusage[mem=4GB] select[x]"', "memory: 1G", "memory"),
        ("lsf", '-gpu "num=1"', "gpus: 1", "gpus"),
        ("flux", "-N2", "nodes: 3", "nodes"),
        ("sge", "-l h_rt=60", "time: 1h", "time"),
        ("local", "--property=MemoryMax=1G", "memory: 1G", "memory"),
        ("local", "--property=CPUQuota=50%", "tasks: 2", "tasks"),
        ("lsf", "-n 8", "nodes: 2, tasks-per-node: 4", "nodes"),
    ],
)
def test_native_words_that_contradict_a_key_are_refused(system: str, native: str, keys: str, both: str) -> None:
    scheduler = "systemd" if system == "local" else system

    (problem, *_) = refused(
        run(f"command: a\nresources: {{{keys}}}\nnative: {{{scheduler}: {json.dumps(native)}}}"), system
    )

    assert (problem.code, problem.where.pointer) == ("NativeConflict", f"native/{scheduler}")
    assert f"sets what resources/{both} sets" in problem.what


@pytest.mark.parametrize(
    ("system", "native", "kept"),
    [
        ("slurm", "--qos=high", "#SBATCH --ntasks=1"),
        ("pbs", "-l software=abaqus", "#PBS -l select=1:ncpus=1:mpiprocs=1"),
        ("lsf", '-R "select[haswell] rusage[lic=1]"', '#BSUB -R "rusage[mem=1024MB/host]"'),
        ("flux", "--env=A=b", "# flux: --env-remove=* --env=PATH --env=HOME --env=USER --env=LANG"),
        ("sge", "-l arch=lx-amd64", "#$ -l h_vmem=1024M"),
        ("local", "--property=Nice=5", "--property=TimeoutStartSec=infinity"),
        ("local", "--setenv=A=b", "--setenv=ORDAIN_JOB_ID=ordain-run-x.service"),
    ],
)
def test_native_words_do_not_replace_what_they_do_not_set(system: str, native: str, kept: str) -> None:
    scheduler = "systemd" if system == "local" else system
    memory = "" if system in {"flux", "pbs"} else "\nresources: {memory: 1G}"

    made = lines(run(f"command: a{memory}\nnative: {{{scheduler}: {json.dumps(native)}}}"), system)

    assert kept in made
    assert native in [line.removeprefix(line.partition("-")[0]) for line in made]


@pytest.mark.parametrize("system", ["local", "flux"])
def test_the_index_0_is_an_index_where_there_are_no_arrays(system: str) -> None:
    keys = 'array: "0-1"\noutput: out-{index}\ncommand: [./a, {template: "part{{ index }}"}]'

    made = rendered(run(keys), system).scripts

    assert [each.name for each in made] == ["x-0", "x-1"]
    texts = [[line.text for line in (*each.lines, *each.arguments)] for each in made]
    assert ["export ORDAIN_INDEX=0" in text and "./a part0" in text for text in texts] == [True, False]
    assert any("out-0" in line for line in texts[0])


def test_the_index_0_has_its_own_command_in_an_array() -> None:
    made = lines(run('array: "0-1"\ncommand: [./a, {template: "part{{ index }}"}]'))

    assert made[made.index("0)") + 1] == "./a part0"


@pytest.mark.parametrize(("system", "array"), [("lsf", "0-3"), ("sge", "0-3"), ("lsf", "5,0")])
def test_an_index_that_the_scheduler_does_not_have_is_refused(system: str, array: str) -> None:
    (problem,) = refused(run(f'command: a\narray: "{array}"'), system)

    assert problem.where.pointer == "array/indices"
    assert "begin at 1" in problem.hint
    assert rendered(run('command: a\narray: "1-10"'), system).scripts


@pytest.mark.parametrize(
    ("system", "resources", "expected"),
    [
        ("pbs", "tasks: 8, exclusive: true", "#PBS -l place=free:exclhost"),
        ("pbs", "nodes: 2, exclusive: true", "#PBS -l place=scatter:exclhost"),
        ("pbs", "nodes: 2", "#PBS -l place=scatter"),
        ("flux", "nodes: 1, exclusive: true", "# flux: --exclusive"),
    ],
)
def test_exclusive_nodes_are_not_more_nodes(system: str, resources: str, expected: str) -> None:
    assert expected in lines(run(f"command: a\nresources: {{{resources}}}"), system)


def test_flux_needs_a_number_of_exclusive_nodes() -> None:
    (problem,) = refused(run("command: a\nresources: {tasks: 8, exclusive: true}"), "flux")

    assert (problem.where.pointer, problem.hint) == ("resources/exclusive", "set resources/nodes, too")


def test_pbs_runs_the_script_in_its_own_shell() -> None:
    assert "#PBS -S /bin/sh" in lines(run("command: a"), "pbs")


def test_the_launcher_of_flux_gives_each_task_its_gpus() -> None:
    keys = "command: ./a\nlauncher: mpi\nresources: {nodes: 2, tasks-per-node: 4, gpus: 8}"

    assert "flux run --nodes=2 --ntasks=8 --gpus-per-task=2 ./a" in lines(run(keys), "flux")


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_address_without_events_is_a_warning_and_sends_nothing(system: str) -> None:
    made = rendered(run("command: a\nmail: {to: a@b}"), system)

    assert [(problem.code, problem.where.pointer) for problem in made.problems] == [("NoEffect", "mail/to")]
    assert not any("a@b" in line.text for line in made.scripts[0].lines)


def test_a_list_that_a_system_cannot_express_is_shown_as_it_is_written() -> None:
    (problem,) = refused(run("command: a\nmail: {on: [begin, end]}"), "local")

    assert problem.what == "local cannot express [begin, end]"


def test_a_container_on_this_machine_starts_in_the_working_directory() -> None:
    made = lines(run("command: [./a]\ncontainer: i\nworking-directory: /scratch/a b"), "local")

    (command,) = [line for line in made if line.startswith("podman")]
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {command}"], cwd="/usr", capture_output=True, text=True, check=True
    )
    assert {"--volume=/usr:/usr", "--workdir=/usr"} <= set(words.stdout.split("\n"))


@pytest.mark.parametrize(
    ("system", "resources", "expected"),
    [
        ("slurm", "tasks: 8, gpus-per-task: 2, gpu-type: a100", "#SBATCH --gpus-per-task=a100:2"),
        ("slurm", "nodes: 2, gpus-per-task: 1", "#SBATCH --gpus-per-task=1"),
        ("pbs", "tasks: 8, gpus-per-task: 2", "#PBS -l select=8:ncpus=1:mpiprocs=1:ngpus=2"),
        ("pbs", "nodes: 2, tasks-per-node: 4, gpus-per-task: 2", "#PBS -l select=2:ncpus=4:mpiprocs=4:ngpus=8"),
        ("lsf", "tasks: 8, gpus-per-task: 2, gpu-type: V100", '#BSUB -gpu "num=2/task:gmodel=V100"'),
        ("flux", "tasks: 8, gpus-per-task: 2", "# flux: --gpus-per-slot=2"),
        ("sge", "nodes: 1, tasks-per-node: 4, gpus-per-task: 2", "#$ -l gpu=8"),
    ],
)
def test_gpus_may_be_counted_by_task(system: str, resources: str, expected: str) -> None:
    assert expected in lines(run(f"command: a\nresources: {{{resources}}}"), system)


@pytest.mark.parametrize(("system", "keys"), [("sge", "tasks: 8, gpus-per-task: 2"), ("sge", "tasks: 8, gpus: 2")])
def test_gpus_that_grid_engine_would_count_otherwise_are_refused(system: str, keys: str) -> None:
    (problem,) = refused(run(f"command: a\nresources: {{{keys}}}"), system)

    assert problem.code == "Unsupported"
    assert "set `nodes: 1`" in problem.hint


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("slurm", ["#SBATCH --constraint=haswell&nvme"]),
        ("pbs", ["#PBS -l select=1:ncpus=1:mpiprocs=1:haswell=True:nvme=True"]),
        ("lsf", ['#BSUB -R "select[haswell&&nvme]"']),
        ("flux", ["# flux: --requires=haswell,nvme"]),
        ("sge", ["#$ -l haswell=true", "#$ -l nvme=true"]),
    ],
)
def test_features_are_required_of_each_node(system: str, expected: list[str]) -> None:
    made = lines(run("command: a\nresources: {features: [haswell, nvme]}"), system)

    assert [line for line in made if "nvme" in line or "haswell" in line] == expected


def test_a_feature_is_a_word_of_the_site() -> None:
    site = "ordain: v1\nkind: Transform\nname: t\nsystems: {s: {scheduler: slurm, features: {fast-disk: nvme0}}}\n"

    assert "#SBATCH --constraint=nvme0" in lines(run("command: a\nresources: {features: fast-disk}"), "s", site)
    (problem,) = refused(run("command: a\nresources: {features: [fast-dusk]}"), "s", site)
    assert (problem.code, problem.where.pointer) == ("UnknownName", "resources/features")
    assert "did you mean fast-disk?" in problem.hint


@pytest.mark.parametrize("feature", ["a|b", "[a*2]", "a b", "-x", 'a"b'])
def test_an_expression_is_not_a_feature(feature: str) -> None:
    _, (problem,) = read("run.yaml", run(f"command: a\nresources: {{features: [{json.dumps(feature)}]}}").encode())

    assert "native" in problem.hint


def test_the_shell_of_a_system_must_read_our_scripts() -> None:
    more = "ordain: v1\nkind: Transform\nname: t\nsystems: {s: {scheduler: slurm, shell: /bin/tcsh}}\n"

    (problem,) = refused(run("command: a"), "s", more)

    assert (problem.code, problem.where.pointer) == ("BadTransform", "systems/s/shell")
    assert "POSIX shell" in problem.what


def test_a_shell_that_takes_no_text_cannot_run_a_script_in_a_container() -> None:
    (problem,) = refused(run("script: echo a\nshell: /bin/csh\ncontainer: i.sif"))

    assert problem.where.pointer == "shell"
    assert rendered(run("script: echo a\nshell: /usr/bin/python3.11\ncontainer: i.sif")).scripts


@pytest.mark.parametrize(
    ("system", "native", "resources", "expected"),
    [
        ("slurm", "--nodes=2-4", "", ["--nodes=2-4"]),
        ("slurm", "--nodes=2-4", "tasks-per-node: 16", ["--ntasks-per-node=16", "--nodes=2-4"]),
        ("slurm", "--nodes=2-4", "tasks: 16", ["--ntasks=16", "--nodes=2-4"]),
        ("slurm", "-n 64", "nodes: 4", ["--nodes=4", "-n 64"]),
        ("pbs", "-l select=1:ncpus=2+2:ncpus=4", "", ["-l select=1:ncpus=2+2:ncpus=4"]),
        ("pbs", "-l nodes=a+b", "", ["-l nodes=a+b"]),
        ("lsf", "-n 4,8", "tasks-per-node: 2", ['-R "span[ptile=2]"', "-n 4,8"]),
        ("lsf", "-nnodes 2", "", ["-nnodes 2"]),
        ("flux", "-N4", "", ["-N4"]),
        ("sge", "-pe mpi-fill 8", "", ["-pe mpi-fill 8"]),
    ],
)
def test_native_places_replace_those_that_only_follow(
    system: str, native: str, resources: str, expected: list[str]
) -> None:
    keys = f"command: ./a\nlauncher: mpi\nresources: {{{resources}}}\nnative: {{{system}: {json.dumps(native)}}}"

    made = lines(run(keys), system)

    prefix = {"slurm": "#SBATCH ", "pbs": "#PBS ", "lsf": "#BSUB ", "flux": "# flux: ", "sge": "#$ "}[system]
    directives = [line.removeprefix(prefix) for line in made if line.startswith(prefix)]
    places = [
        d
        for d in directives
        if re.match(r"--n\w*tasks|--nodes|--nslots|-[nN]\b|-N\d|-nnodes|-l (select|nodes|place)|-pe|-R", d)
    ]
    assert [d for d in places if d != "-N x"] == expected
    # No launcher starts a number of tasks that the native words do not have.
    (launched,) = [line for line in made if line.endswith("./a")]
    assert not re.search(r" (-n|-np|--ntasks=?|--nodes=?) ?1\b", launched)


def test_a_native_name_replaces_that_of_the_run() -> None:
    assert [
        line for line in lines(run("command: a\nnative: {slurm: -J other}")) if "-J" in line or "job-name" in line
    ] == ["#SBATCH -J other"]


@pytest.mark.parametrize(("system", "name"), [("pbs", "run-12:30.out"), ("sge", "run-12:30.out"), ("sge", "a,b.out")])
def test_a_file_whose_name_is_syntax_of_the_scheduler_is_opened_by_the_script(system: str, name: str) -> None:
    made = lines(run(f"command: a\noutput: {json.dumps(name)}"), system)

    assert not [line for line in made if " -o " in line]
    assert [line for line in made if line.startswith("exec >") and name in line]


@pytest.mark.parametrize(("inherits", "exported"), [("false", True), ("true", False)])
def test_each_srun_of_a_script_has_the_environment(inherits: str, exported: bool) -> None:
    made = lines(run(f"script: srun -n 1 env\ninherit-environment: {inherits}"))

    assert ("export SLURM_EXPORT_ENV=ALL" in made) is exported


def test_a_unit_of_the_system_has_the_variables_of_a_user() -> None:
    words = run_systems(shipped())[0].system("local").words("submit")[0]

    assert "{root}--uid=root" in words


def test_elements_that_write_to_the_same_file_are_a_warning() -> None:
    (problem,) = rendered(run("command: a\narray: 1-3\noutput: log-{job}.out")).problems

    assert (problem.code, problem.where.pointer) == ("Doubtful", "output")
    assert rendered(run("command: a\narray: 1-3\noutput: log-{index}.out")).problems == ()


def test_a_layer_for_all_runs_is_explained() -> None:
    (problem,) = refused("ordain: v1\nkind: Run\nname: d\nmatch: {}\ntier: default\naccount: a\n")

    assert 'a layer for all runs has `match: {run: "*"}`' in problem.hint


def test_a_system_whose_row_is_wrong_is_not_called_unknown() -> None:
    more = "ordain: v1\nkind: Transform\nname: t\nsystems: {bad: {scheduler: slurm, queues: {a: {tiem: 3}}}}\n"
    documents, _ = read("site.yaml", more.encode())

    with pytest.raises(Refused) as refusal:
        run_systems((*shipped(), *documents))[0].system("bad")

    (problem,) = refusal.value.problems
    assert "did you mean time?" in problem.hint
    assert problem.where.pointer == "systems/bad/queues/a/tiem"


def test_a_line_names_the_row_of_the_site_that_gave_its_words() -> None:
    site = SITE.replace("    accounts", "    launchers: {mpi: [srun, --mpi=pmix]}\n    accounts")

    made = rendered(run("command: ./a\nlauncher: mpi\naccount: climate\nmodules: [gcc]"), "hpc1", site).scripts[0]

    causes = {line.text.split(" ||")[0]: [text.split(" ")[-1] for text in cause_texts(line)] for line in made.lines}
    assert causes["#SBATCH --account=p1234"] == ["account", "systems/hpc1/accounts/climate"]
    assert causes["#SBATCH --partition=compute"] == ["systems/hpc1/default-queue", "systems/hpc1/queues/normal/name"]
    assert causes["module load gcc/13"] == ["modules/gcc", "systems/hpc1/modules/gcc"]
    assert causes["srun --mpi=pmix ./a"] == ["command", "systems/hpc1/launchers/mpi"]


def test_the_rows_of_the_user_are_over_those_of_the_site() -> None:
    row = "ordain: v1\nkind: Transform\nname: {0}\ntier: {1}\nsystems: {{s: {{scheduler: slurm, {2}: {0}}}}}\n"
    site, _ = read("site.yaml", row.format("a", "pool", "default-queue").encode())
    user, _ = read("user.yaml", row.format("u", "os", "default-queue").encode())

    systems, _ = run_systems((*shipped(), *site), user)

    assert systems.system("s").text("default-queue") == "u"


def test_an_array_of_many_elements_has_one_body() -> None:
    made = rendered(run('command: [./a]\narray: "1-100000"')).scripts[0]

    assert made.elements == 100_000
    assert [line.text for line in made.lines][-1] == "./a"


@pytest.mark.parametrize(
    ("keys", "shell"),
    [
        ("script: a", "/bin/sh"),
        ("script: a\nshell: /opt/bash/bin/bash", "/opt/bash/bin/bash"),
        ("script: a\nshell: /bin/tcsh", "/bin/sh"),
    ],
)
def test_a_script_in_bash_runs_in_bash_as_a_whole(keys: str, shell: str) -> None:
    assert lines(run(keys))[0] == f"#!{shell}"
    assert f"#PBS -S {shell}" in lines(run(keys), "pbs")
    more = "ordain: v1\nkind: Transform\nname: t\nsystems: {s: {scheduler: slurm, shell: /bin/ksh}}\n"
    assert lines(run(keys), "s", more)[0] == "#!/bin/ksh"


@pytest.mark.parametrize(
    ("keys", "pointer"), [("command: [echo, {}]", "command"), ("command: a\nenvironment: {{E: {}}}", "environment/E")]
)
def test_a_text_that_no_program_can_get_is_refused(keys: str, pointer: str) -> None:
    (problem,) = refused(run(keys.format("x" * (128 << 10))))

    assert (problem.code, problem.where.pointer, problem.hint) == ("Encode", pointer, "put it into a file")
    assert rendered(run(keys.format("x" * ((128 << 10) - 3)))).scripts
