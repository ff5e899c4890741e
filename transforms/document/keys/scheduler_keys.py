"""The keys of a scheduler and of a system for runs, which are rows of the transformation database.

A value that is called a pattern is a text with ``{variables}``; `ordain.transforms.runs.patterns` has its rules.
"""

from __future__ import annotations

from ordain.transforms.document.keys.run_keys import CONDITIONS
from ordain.transforms.document.keys.service_keys import path, size, span
from ordain.transforms.document.keys.shapes import (
    Choice,
    CommandLine,
    Flag,
    Integer,
    Map,
    Record,
    Sequence,
    Shape,
    String,
)

PATTERN = String(title="a pattern", format="pattern", template=False)
STATES = ("waiting", "held", "running", "done", "failed", "timed-out", "cancelled", "unknown")
"""The states of a job in neutral words."""


def pattern(about: str, example: str = "") -> String:
    """Return the shape of one pattern."""
    return String(about, PATTERN.title, "pattern", example, template=False)


def text(about: str, title: str = "a text", form: str = "") -> String:
    """Return the shape of a text that is not a template."""
    return String(about, title, form, template=False)


_SCHEDULER: dict[str, Shape] = {
    "about": text("The scheduler, for people."),
    "shell": path("The shell of its scripts. Default: /bin/sh, or the `shell` of a Run if that is bash."),
    "prefix": text("The beginning of a directive line. Without it, directives are arguments of `submit`."),
    "directive-lines": text(
        "The beginning of each line that it reads as a directive.",
        "a regular expression",
        "regex",
    ),
    "directives-until": Choice(
        ("first-command", "end"),
        "The place where it stops reading directives: the first line that is neither empty nor a comment, or the end "
        "of the script. Default: end. Up to there, a line of `script` that looks like a directive is written in "
        "another way, with the same meaning for the shell.",
    ),
    "quoting": Choice(
        ("none", "double", "shell"),
        "The quotes around a value with special characters in a directive. none: such a value is an error.",
    ),
    "accepts": Map(
        text("", "a regular expression", "regex"),
        "The values that it accepts for a variable. Another one is an error, but for the files of the output, which "
        "the script then opens itself.",
        "a variable",
        "word",
    ),
    "directives": Map(
        Sequence(PATTERN, template=False),
        "Its directives, in order. Of several patterns the first is used whose variables are all set; if there is "
        "none, the directive is left out.",
        "a name",
        "word",
    ),
    "option": text(
        "The part of a directive that names what it sets. A directive of `native` replaces a default directive with "
        "the same part, and is an error beside one that a Run sets. Default: the name of the option.",
        "a regular expression",
        "regex",
    ),
    "same-options": Map(
        text("", "a regular expression", "regex"),
        "By directive, other options that set the same; `native` may have them.",
        "a name of `directives`",
        "word",
    ),
    "default-unless": Map(
        text("", "a regular expression", "regex"),
        "By directive, the directives of `native` beside which it is left out, unless a Run sets its value itself.",
        "a name of `directives`",
        "word",
    ),
    "output-tokens": Map(
        text("", "a text"),
        "The texts for `{job}`, `{index}` and `{run}` in a file name; `array-job` is that for `{job}` in an array.",
        "a token",
        "word",
    ),
    "output-escapes": Map(text("", "a text"), "Characters of a file name to write in another way.", "a character"),
    "default-output": text("The file of the output of a run without `output`, with `{job}`, `{run}` and `{number}`."),
    "default-array-output": text("The same for an element of an array, also with `{index}`."),
    "variables": Map(
        text("", "a variable name", "variable"),
        "Environment variables of a job: `job`, `index`, `submit-directory`.",
        "a name",
        "word",
    ),
    "exports": Map(
        PATTERN, "Environment variables that each script sets, with patterns.", "a variable name", "variable"
    ),
    "launchers": Map(
        CommandLine("", "[srun, '--ntasks={tasks}']"), "Launchers, as words with patterns.", "a launcher", "word"
    ),
    "container": CommandLine("The words in front of a command in a container, with patterns."),
    "module-setup": path("A file to source if the command `module` is not defined."),
    "module-load": CommandLine("The command that loads `{module}`. Default: module load MODULE."),
    "copy": CommandLine("The command that copies `{source}` to `{target}`. Default: cp -R -H -T -- SOURCE TARGET."),
    "mail-events": Map(text("", "a word"), "Its words for begin, end and fail.", "an event", "mail-event"),
    "dependencies": Map(
        Sequence(PATTERN, template=False),
        f"The text for each condition of a dependency ({', '.join(CONDITIONS)}) on the job `{{id}}`.",
        "a condition",
        "word",
    ),
    "dependency-separator": text("The text between two dependencies. Without it, each is an argument of its own."),
    "submit": CommandLine(
        "The command that submits a script, with patterns. Without `{script}`, the script is its input."
    ),
    "own-id": pattern("The id of a job, for a scheduler that takes the id from us."),
    "id": text("The id in the output of `submit`. Default: its first word.", "a regular expression", "regex"),
    "status": CommandLine("Commands that print the state of the job `{id}`. The first that prints one is believed."),
    "state": text(
        "The state in their output, with the groups `state` and, if they are printed, `exit` and `reason`, which is "
        "looked up in `states` first.",
        "a regular expression",
        "regex",
    ),
    "states": Map(Choice(STATES), "The meaning of its words for states.", "a state"),
    "cancel": CommandLine("The command that ends the job `{id}`."),
    "log": CommandLine("The command that prints the output of the job `{id}`, if it has no file."),
    "hints": Map(
        text("", "a sentence"),
        "By key of a run that it cannot express, the remedy; `submit` is that for a submission that failed, a pattern.",
        "a key of a run",
    ),
}

_LIMITS: dict[str, Shape] = {
    "time": span("The longest time of a run."),
    "nodes": Integer("The most nodes of a run.", 1),
    "tasks": Integer("The most tasks of a run.", 1),
    "cpus-per-node": Integer("The CPUs of a node.", 1),
    "memory-per-node": size("The memory of a node."),
    "gpus-per-node": Integer("The GPUs of a node."),
    "scratch-per-node": size("The local disk space of a node."),
    "elements": Integer("The most elements of an array.", 1),
}
QUEUE = Record(
    {"name": text("Its name on this system. Default: the neutral word.", "a queue", "word"), **_LIMITS},
    title="the keys of a queue",
    shorthand="name",
)

SCHEDULER = Record(_SCHEDULER, title="the keys of a scheduler")
SYSTEM = Record(
    {
        "scheduler": text(
            "Its scheduler. All keys of a scheduler can be set here, too, for this system.", "a scheduler", "name"
        ),
        "queues": Map(QUEUE, "Its queues by neutral words, with their limits.", "a word", "word"),
        "default-queue": text("The queue of runs without `queue`.", "a word", "word"),
        "limits": Record(_LIMITS, "The limits of the system, for all queues.", title="limits"),
        "accounts": Map(text("", "an account"), "Its accounts by neutral words.", "a word", "word"),
        "modules": Map(
            Sequence(text("", "a module"), template=False),
            "Its modules by neutral names; a name may mean several modules.",
            "a word",
            "word",
        ),
        "gpu-types": Map(text("", "a type"), "Its types of GPU by neutral words.", "a word", "word"),
        "features": Map(text("", "a feature"), "Its features of nodes by neutral words.", "a word", "word"),
        "hidden": Flag("`--all-systems` leaves it out."),
        **_SCHEDULER,
    },
    title="the keys of a system for runs",
)

SECTIONS: dict[str, Shape] = {
    "schedulers": Map(SCHEDULER, "Schedulers: the form in which each says the keys of a Run.", "a scheduler", "name"),
    "systems": Map(SYSTEM, "Systems that take runs: a site's queues, accounts and modules.", "a system", "name"),
}
"""The sections of a Transform for runs."""
