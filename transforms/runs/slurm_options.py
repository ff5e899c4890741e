"""The options of sbatch(1), each with the keys of a Run that mean the same."""

from __future__ import annotations

import re
import shlex

from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import Plain
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.script_options import (
    Dialect,
    Handler,
    Option,
    dependency,
    file_name,
    indices_to_array,
    later,
    name,
    number_to,
    size_text,
    span,
    text_to,
)


def _slurm_time(draft: RunDraft, option: Option) -> bool:
    """Set the time: minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S (sbatch(1))."""
    match = re.fullmatch(r"(?:([0-9]+)-)?([0-9]+)(?::([0-9]+))?(?::([0-9]+))?", option.value or "")
    if match is None:
        return False
    days, *rest = (int(group) if group else 0 for group in match.groups())
    given = sum(group is not None for group in match.groups()[1:])
    if match[1] is not None:
        hours, minutes, seconds = rest
    elif given == 1:
        hours, minutes, seconds = 0, rest[0], 0
    elif given == 2:
        hours, minutes, seconds = 0, rest[0], rest[1]
    else:
        hours, minutes, seconds = rest
    total = days * 86400 + hours * 3600 + minutes * 60 + seconds
    if not total:
        return False
    draft.set("resources/time", span(total), option.where)
    return True


def _slurm_size(pointer: str) -> Handler:
    def handle(draft: RunDraft, option: Option) -> bool:
        value = size_text(option.value or "")
        if value is None or value.rstrip("KMGT") == "0":  # 0 means all memory of a node
            return False
        draft.set(pointer, value, option.where)
        return True

    return handle


_SLURM_TOKENS = {"%%": "%", "%A": "{job}", "%a": "{index}", "%x": "{run}"}


def _slurm_file(draft: RunDraft, option: str, value: str, where: Where) -> None:
    """Set a file. In an array, %j is the id of the element, which no neutral name has."""
    tokens = _SLURM_TOKENS if draft.get("array") else {**_SLURM_TOKENS, "%j": "{job}"}
    text = file_name(value, tokens, "%")
    if not text or "\\" in text:
        draft.add("native/slurm", f"--{option}={shlex.quote(value)}", where)
    else:
        draft.set({"error": "errors"}.get(option, option), text, where)


def _slurm_array(draft: RunDraft, option: Option) -> bool:
    return indices_to_array(draft, option.value or "", option.where)


def _slurm_gres(draft: RunDraft, option: Option) -> bool:
    """Set the GPUs of a list of resources; the others are kept."""
    parts = [part for part in (option.value or "").split(",") if part]
    matches = {
        part: re.fullmatch(r"(?:gres[:/])?gpu(?::([A-Za-z][\w.-]*))?(?::([1-9][0-9]*))?", part) for part in parts
    }
    gpus = [match for match in matches.values() if match]
    if len(gpus) != 1:
        return False
    if others := ",".join(part for part, match in matches.items() if match is None):
        draft.add("native/slurm", f"--gres={others}", option.where)
    return _set_gpus(draft, "resources/gpus", gpus[0][1], gpus[0][2] or "1", option.where)


def _slurm_gpus(pointer: str) -> Handler:
    def handle(draft: RunDraft, option: Option) -> bool:
        match = _GPUS.fullmatch(option.value or "")
        return bool(match) and _set_gpus(draft, pointer, match[1], match[2], option.where) if match else False

    return handle


_GPUS = lazy_pattern(r"(?:([A-Za-z][\w.-]*):)?([1-9][0-9]*)")


def _set_gpus(draft: RunDraft, pointer: str, kind: str | None, number: str, where: Where) -> bool:
    draft.set(pointer, int(number), where)
    if kind:
        draft.set("resources/gpu-type", kind, where)
    return True


def _slurm_features(draft: RunDraft, option: Option) -> bool:
    """Set the features of a constraint that requires all of them; another expression is kept."""
    words: list[Plain] = [*re.split("[&,]", option.value or "")]
    if not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", str(word)) for word in words):
        return False
    draft.set("resources/features", words, option.where)
    return True


def _slurm_mail(draft: RunDraft, option: Option) -> bool:
    events = {"BEGIN": ["begin"], "END": ["end"], "FAIL": ["fail"], "ALL": ["begin", "end", "fail"], "NONE": []}
    words = (option.value or "").upper().split(",")
    for word in words:
        if word not in events:
            draft.not_carried(option.where, f"mail on {word}", "use begin, end and fail")
    wanted = list(dict.fromkeys(event for word in words for event in events.get(word, ())))
    if wanted:
        draft.set("mail/on", [*wanted], option.where)
    return True


def _slurm_export(draft: RunDraft, option: Option) -> bool:
    """Set the environment from NONE, ALL, NIL or a list of NAME=VALUE; a bare NAME needs the submitter's value."""
    words = [word for word in (option.value or "").split(",") if word]
    draft.set("inherit-environment", "ALL" in words, option.where)
    for word in words:
        variable, equals, value = word.partition("=")
        if equals:
            draft.set_entry("environment", variable, value, option.where)
        elif word not in {"ALL", "NONE", "NIL"}:
            hint = "write its value in `environment`, or set `inherit-environment: true`"
            draft.not_carried(option.where, f"the variable {word} of the shell that submits", hint)
    return True


def _slurm_exclusive(draft: RunDraft, option: Option) -> bool:
    if option.value:
        return False
    draft.set("resources/exclusive", True, option.where)
    return True


def _slurm_finish(draft: RunDraft) -> None:
    """Set the files, whose names mean another thing in an array, and what belongs to a job or to its GPUs."""
    for option, value, where in draft.pending:
        match = _GPUS.fullmatch(value)
        gpus, memory = draft.get("resources/gpus"), size_text(value)
        if option in {"output", "error", "input"}:
            _slurm_file(draft, option, value, where)
        elif option == "gpus" and match and draft.get("resources/nodes") == 1 and gpus in (None, int(match[2])):
            _set_gpus(draft, "resources/gpus", match[1], match[2], where)
        elif option == "mem-per-gpu" and memory and isinstance(gpus, int):
            draft.set("resources/memory", f"{int(memory[:-1]) * gpus}{memory[-1]}", where)
        else:
            draft.add("native/slurm", f"--{option}={shlex.quote(value)}", where)
    counted = any(draft.get(f"resources/{key}") for key in ("tasks", "tasks-per-node"))
    if draft.get("resources/exclusive") and not counted:
        what = "no number of tasks, so mpirun starts one for each CPU of these nodes; the run has one task on each node"
        draft.not_carried(draft.places["resources/exclusive"], what, "set resources/tasks-per-node")
    native = draft.get("native/slurm")
    named = any(str(text).startswith("--output") for text in native) if isinstance(native, list) else False
    if draft.get("working-directory") and not draft.get("output") and not named:
        # sbatch goes there before it opens the file.
        name = "slurm-{job}_{index}.out" if draft.get("array") else "slurm-{job}.out"
        draft.set("output", name, draft.places["working-directory"])


SLURM = Dialect(
    name="slurm",
    title="Slurm",
    aliases={
        **{"J": "job-name", "N": "nodes", "n": "ntasks", "c": "cpus-per-task", "t": "time", "p": "partition"},
        **{"A": "account", "o": "output", "e": "error", "a": "array", "D": "chdir", "workdir": "chdir"},
        "tasks-per-node": "ntasks-per-node",
        **{"d": "dependency", "G": "gpus", "C": "constraint", "q": "qos", "w": "nodelist", "x": "exclude"},
        **{"L": "licenses", "M": "clusters", "m": "distribution", "i": "input", "S": "core-spec", "b": "begin"},
    },
    options={
        "job-name": name,
        "nodes": number_to("resources/nodes"),
        "ntasks": number_to("resources/tasks"),
        "ntasks-per-node": number_to("resources/tasks-per-node"),
        "cpus-per-task": number_to("resources/cpus-per-task"),
        "time": _slurm_time,
        "mem": _slurm_size("resources/memory"),
        "mem-per-cpu": _slurm_size("resources/memory-per-cpu"),
        "tmp": _slurm_size("resources/scratch"),
        "gres": _slurm_gres,
        "gpus-per-node": _slurm_gpus("resources/gpus"),
        "gpus-per-task": _slurm_gpus("resources/gpus-per-task"),
        "gpus": later,
        "mem-per-gpu": later,
        "constraint": _slurm_features,
        "exclusive": _slurm_exclusive,
        "partition": text_to("queue"),
        "account": text_to("account"),
        "output": later,
        "error": later,
        "array": _slurm_array,
        "mail-type": _slurm_mail,
        "mail-user": text_to("mail/to"),
        "chdir": text_to("working-directory"),
        "dependency": dependency,
        "input": later,
        "export": _slurm_export,
    },
    flags=frozenset(
        """
        exclusive requeue no-requeue overcommit oversubscribe share contiguous hold H O s no-kill k parsable wait W
        spread-job use-min-nodes test-only reboot get-user-env quiet Q verbose v ignore-pbs I immediate
        """.split()
    ),
    inherits=True,
    submit_directory="SLURM_SUBMIT_DIR",
    variables={
        "SLURM_ARRAY_TASK_ID": "ORDAIN_INDEX",
        **dict.fromkeys(("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID", "SLURM_JOBID"), "ORDAIN_JOB_ID"),
        "SLURM_JOB_NAME": "ORDAIN_RUN",
    },
    of_element=frozenset({"SLURM_JOB_ID", "SLURM_JOBID"}),
    foreign=lazy_pattern(r"\bSLURM_[A-Z_]+\b"),
    commands=frozenset({"sbcast", "scontrol", "sattach"}),
    words=dict.fromkeys(("hetjob", "packjob"), "write a Run for each component of this job"),
    finish=_slurm_finish,
)
