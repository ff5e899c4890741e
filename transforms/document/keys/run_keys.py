"""The keys of a Run: one neutral description of a job for a batch system (docs/reference/runs.md)."""

from __future__ import annotations

from ordain.transforms.document.keys.network_shapes import Rows
from ordain.transforms.document.keys.service_keys import path, size, span
from ordain.transforms.document.keys.shapes import (
    Choice,
    CommandLine,
    Flag,
    FreeForm,
    Integer,
    Map,
    MemberWord,
    Record,
    Sequence,
    Set,
    Shape,
    String,
)

FILE_NAME = String(title="a path", format="run-path")
LAUNCHERS = ("none", "mpi")
CONDITIONS = ("ok", "ended", "failed", "started")
"""The conditions of a dependency on another run; `true` means ok."""
MAIL_EVENTS = ("begin", "end", "fail")

RESOURCES = Record(
    {
        "nodes": Integer("The number of nodes.", 1),
        "tasks": Integer("The number of tasks (processes that the launcher starts), on all nodes together.", 1),
        "tasks-per-node": Integer("The number of tasks on each node.", 1),
        "cpus-per-task": Integer("The CPUs of each task, for its threads.", 1),
        "memory": size("The memory of each node."),
        "memory-per-cpu": size("The memory for each CPU."),
        "gpus": Integer("The GPUs of each node.", 1),
        "gpus-per-task": Integer("The GPUs of each task.", 1),
        "gpu-type": String("The type of GPU, as a neutral word that the system translates.", "a word", "word"),
        "features": Sequence(
            String(title="a feature", format="feature", template=False),
            "Features that each of its nodes must have, as neutral words that the system translates.",
            "[haswell]",
            template=False,
        ),
        "time": span("The longest time that it may run. After it the system ends the run."),
        "exclusive": Flag("No other job runs on its nodes."),
        "scratch": size("The local disk space of each node."),
    },
    "The resources that it needs. Unless set, it is one task on one node.",
    title="the resources of a run",
    one_of=(("memory", "memory-per-cpu"), ("gpus", "gpus-per-task")),
)

STEP = Record(
    {
        "name": String("Its name, for messages.", "a name", "name", template=False),
        "command": CommandLine("Its command, or several in order."),
        "launcher": Choice(LAUNCHERS, "Replaces the `launcher` of the run for this step."),
        "working-directory": String("The directory that it runs in, below that of the run or absolute.", "a path"),
        "on-failure": Choice(("stop", "continue"), "continue: the next step runs even if this one fails."),
    },
    title="the keys of a step",
)

CONTAINER = Record(
    {
        "image": String("The image, such as docker://debian:13 or a file.", "an image"),
        "mounts": Map(path("The path in the container."), "Directories of the node that it sees.", "a path", "path"),
    },
    "Its commands run in this container. A bare string is the image.",
    title="the keys of a container",
    shorthand="image",
)

RUN: dict[str, Shape] = {
    "description": String("A description for people."),
    "values": FreeForm("Values for templates, in any form."),
    "command": CommandLine(
        "The command, or several in order. The first that fails ends the run.", "[./solve, input.nml]"
    ),
    "steps": Rows(STEP, "Named steps, in order. The first that fails ends the run.", needs=("name", "command")),
    "script": String("A text in the language of `shell`, instead of commands.", "a text"),
    "shell": path(
        "The program that runs `script`: a shell, also csh, or another one that takes the name of a script, such as "
        "python3. Default: /bin/sh.",
        "/bin/bash",
    ),
    "on-failure": Choice(
        ("stop", "continue"),
        "continue: a command, module, directory or copy that fails does not end the run, as in a script without "
        "`set -e`. The result is that of the last command; if it failed, nothing comes after it. Default: stop.",
    ),
    "launcher": Choice(LAUNCHERS, "mpi: the parallel launcher of the system starts `tasks` copies. Default: none."),
    "environment": Map(String(), "Its environment variables.", "a variable name", "variable"),
    "inherit-environment": Flag("It also gets the environment of the shell that submits it. Default: false."),
    "modules": Set(
        "Environment modules, in order, by neutral names that the system translates. `{NAME: MODULE}` names the module "
        "itself, which is then loaded as it is written.",
        "a module",
        "word",
        of=MemberWord(),
        example="[gcc, openmpi]",
    ),
    "container": CONTAINER,
    "working-directory": path("The directory that it runs in. Default: the one that it is submitted from."),
    "stage-in": Map(
        FILE_NAME,
        "Files and directories to copy before the commands run: from the name in the working directory to the source.",
        "a path in the working directory",
        "run-path",
    ),
    "stage-out": Map(
        Record(
            {
                "to": FILE_NAME,
                "when": Choice(("success", "always"), "always: also if the run failed. Default: success."),
            },
            title="the target of a copy",
            shorthand="to",
        ),
        "Files and directories to copy after the commands: from the name in the working directory to the target. A "
        "target that ends with / is a directory, which gets a copy of that name.",
        "a path in the working directory",
        "run-path",
    ),
    "checks": Record(
        {
            "before": CommandLine("Commands that must succeed before the first command runs."),
            "after": CommandLine("Commands that must succeed after the last command, or the run has failed."),
        },
        "Commands that check the run.",
        title="the checks of a run",
    ),
    "hooks": Record(
        {
            "on-success": CommandLine("Commands to run at the end of a run that succeeded."),
            "on-failure": CommandLine("Commands to run at the end of a run that failed."),
        },
        "Commands to run at its end. They do not change its result.",
        title="the hooks of a run",
    ),
    "resources": RESOURCES,
    "array": Record(
        {
            "indices": String(
                'Its indices: numbers and ranges, such as "1-10", "0-20:5" or "1,4,9".',
                "a list of indices",
                "indices",
                template=False,
            ),
            "most-at-once": Integer("The most elements that run at the same time.", 1),
        },
        "Makes one element of the run for each index, which the commands find in ORDAIN_INDEX.",
        title="the keys of an array",
        shorthand="indices",
    ),
    "parameters": Map(
        Sequence(String(title="a value", template=False), template=False),
        "Makes one element of the run for each combination of these values. They are environment variables, and "
        "`parameters.NAME` in templates. The last one varies fastest.",
        "a variable name",
        "variable",
    ),
    "after": Set(
        "Runs that come first. `true` or `ok`: it starts if that run succeeded; `ended`: however that run ended; "
        "`failed`: if it failed; `started`: as soon as it has started.",
        "a run",
        "name",
        of=MemberWord(CONDITIONS),
        example="[prepare]",
    ),
    "input": String("The file that its commands read as standard input.", "a path", "run-path"),
    "output": String(
        "The file for its output. `{job}` stands for the id of the job, `{index}` for the index of the element, "
        "`{run}` for the name of the run.",
        "a path",
        "run-path",
        "logs/{run}-{job}.out",
    ),
    "errors": String(
        "The file for its error messages, in the same form. Default: that of `output`.", "a path", "run-path"
    ),
    "mail": Record(
        {
            "to": String("The address. Without `on`, no mail is sent.", "an address", "word"),
            "on": Sequence(
                String(title=f"one of {', '.join(MAIL_EVENTS)}", format="mail-event", template=False),
                "The events that it is sent on.",
                "[end, fail]",
                template=False,
            ),
        },
        "The mail that the system sends.",
        title="the keys of mail",
    ),
    "account": String("The account that pays, as a neutral word that the system translates.", "a word", "word"),
    "queue": String("The queue, as a neutral word that the system translates.", "a word", "word"),
    "native": Map(
        Sequence(
            String(title="a directive without its prefix", format="raw", template=False),
            template=False,
        ),
        "Directives in a scheduler's own words, by scheduler. Other schedulers do not get them, which is a warning.",
        "a scheduler",
        "name",
    ),
}
ONE_OF = (("command", "steps", "script"), ("array", "parameters"))
"""The keys of a Run that exclude each other."""
