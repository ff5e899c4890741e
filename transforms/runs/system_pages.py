"""Makes a page of Markdown for each shipped system: its directives, the keys it cannot express, and an example.

`python3 -m ordain.transforms.runs.system_pages docs/reference/runs` writes them; a test compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused
from ordain.transforms.runs.run_render import render_runs, script_text
from ordain.transforms.runs.scheduler_rows import RunSystem, RunSystems, run_systems

MADE = "<!-- Made by `python3 -m ordain.transforms.runs.system_pages docs/reference/runs`: do not edit. -->"
EXAMPLE = """\
ordain: v1
kind: Run
name: model
command: [./model, input.nml]
launcher: mpi
environment: {OMP_NUM_THREADS: 2}
resources: {tasks: 8, cpus-per-task: 2, time: 2h}
output: model-{job}.out
"""
NOTES: Mapping[str, str] = {
    "slurm": """\
`run submit` hands the script to `sbatch` as its input. `inherit-environment: false`, the default, is
`--export=NONE`: the commands get the login environment of the user and the variables of the Run, and every `srun`
passes these on. A run whose dependency failed is cancelled (`--kill-on-invalid-dep`). `run status` asks `scontrol`, and
`sacct` for older jobs.""",
    "pbs": """\
Tested against the syntax in the manual, not on a real PBS. A chunk is a node: `place=scatter` keeps chunks apart.
PBS cannot write the id of a job into the name of a file; then the script redirects its output itself. A limit of
elements at once (`-J 1-10%2`) needs OpenPBS 20 or PBS Professional 2020. PBS sends mail for `fail` if it ends a job
itself. `features` are Boolean resources of hosts.""",
    "lsf": """\
Tested against the syntax in the manual, not on a real LSF. Memory is written with its unit, so that the site's
LSF_UNIT_FOR_LIMITS does not matter; `memory` is the memory of each host (`/host` needs LSF 10.1 with fix pack 9).
`features` are Boolean resources.""",
    "flux": """\
Tested against the specification of its directives (Flux RFC 36), not on a real Flux. A slot is a task. Flux has no
arrays, so each element of a run is a job of its own. `features` are properties of nodes.""",
    "sge": """\
Tested against the golden scripts only. The names of parallel environments are those of the administrators: `smp`
and `mpi` are usual. Name yours in a Transform: `systems: {NAME: {scheduler: sge, directives: {slots: …}}}`. The
resource `gpu` is taken for one that counts for the whole job (`consumable JOB`); `features` are Boolean resources. The
state `failed` includes jobs that were cancelled.""",
    "local": """\
This machine: a transient unit of systemd, of the system for root and else of the user, with the limits of the Run
(systemd.resource-control(5)). The unit stays loaded after its end, so that its result can be read; `systemctl stop`
or `systemctl reset-failed` removes it. Output without `output` goes to the journal, and `run log` reads it there.
There are no arrays, so each element is a unit of its own. Run `loginctl enable-linger` if units of a user should
outlive the session.""",
}
"""By system, a text beside its rows."""
TITLES = {"local": "This machine"}


def page(name: str, systems: RunSystems) -> str:
    """Return the page of one system."""
    system = systems.system(name)
    about = system.text("about")
    lines = [
        MADE,
        f"# {TITLES.get(name, about)}\n",
        f"`--on {name}`: {about}.\n",
        f"{NOTES[name]}\n",
        "## Directives\n",
    ]
    lines.append("The first pattern whose variables are all set is used. [The variables](../runs.md#variables).\n")
    lines += ["| name | patterns |", "|---|---|"]
    for directive, patterns, _ in system.patterns("directives"):
        shown = " or ".join(f"`{_cell(pattern)}`" for pattern in patterns)
        lines.append(f"| {directive} | {shown} |")
    lines += ["", *_words(system), *_hints(system), *_example(name, systems)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _words(system: RunSystem) -> Iterator[str]:
    yield "## Commands\n"
    yield "| use | command |\n|---|---|"
    for launcher in system.row.branch("launchers"):
        yield f"| `launcher: {launcher}` | `{' '.join(system.launcher(launcher))}` |"
    for key in ("container", "submit", "status", "cancel", "log"):
        for words in system.words(key):
            yield f"| {key} | `{_cell(' '.join(words))}` |"
    yield ""
    conditions = ", ".join(f"`{name}`" for name, _, _ in system.patterns("dependencies"))
    yield f"Dependencies on other runs: {conditions}.\n"


def _hints(system: RunSystem) -> Iterator[str]:
    hints = {key: hint for key, hint in system.texts("hints").items() if key != "submit"}
    if hints:
        yield "## Limits of the system\n"
        yield "A Run that needs one of these is refused:\n"
        yield "| key | remedy |\n|---|---|"
        yield from (f"| `{key}` | {_cell(hint)} |" for key, hint in hints.items())
        yield ""


def _example(name: str, systems: RunSystems) -> Iterator[str]:
    documents, _ = read("model.yaml", EXAMPLE.encode())
    yield f"## Example\n\n```yaml\n{EXAMPLE}```\n"
    try:
        (script,) = render_runs(documents, systems, name).scripts
    except Refused as refused:
        yield "".join(f"* {problem.what} ({problem.hint})\n" for problem in refused.problems)
        return
    yield f"```sh\n{script_text(script, comments=False)}```\n"
    if script.arguments:
        arguments = "\n".join(line.text for line in script.arguments)
        yield f"Arguments of the command that submits it:\n\n```\n{arguments}\n```\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def pages() -> Mapping[str, str]:
    """Return the page of each shipped system by its name."""
    systems, _ = run_systems(shipped())
    return {name: page(name, systems) for name in NOTES}


def main() -> None:
    """Write every page into the directory that the argument names."""
    directory = Path(sys.argv[1])
    directory.mkdir(exist_ok=True)
    for name, text in pages().items():
        (directory / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
