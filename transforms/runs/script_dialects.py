"""The options of sbatch, qsub and bsub, each with the keys of a Run that mean the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.script_import import (
    Dialect,
    Handler,
    Option,
    clock,
    dependency,
    file_name,
    has_directives,
    indices_to_array,
    name,
    number_to,
    size_text,
    span,
    text_to,
    true_to,
)

# Slurm


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


_SLURM_TOKENS = {"%%": "%", "%j": "{job}", "%A": "{job}", "%a": "{index}", "%x": "{run}"}


def _slurm_file(pointer: str) -> Handler:
    def handle(draft: RunDraft, option: Option) -> bool:
        text = file_name(option.value or "", _SLURM_TOKENS, "%")
        if not text or "\\" in text:
            return False
        draft.set(pointer, text, option.where)
        return True

    return handle


def _slurm_array(draft: RunDraft, option: Option) -> bool:
    return indices_to_array(draft, option.value or "", option.where)


def _slurm_gres(draft: RunDraft, option: Option) -> bool:
    match = re.fullmatch(r"(?:gres[:/])?gpu(?::([A-Za-z][\w.-]*))?(?::([0-9]+))?", option.value or "")
    return bool(match) and _set_gpus(draft, option, match[1] if match else None, (match[2] or "1") if match else "1")


def _slurm_gpus_per_node(draft: RunDraft, option: Option) -> bool:
    match = re.fullmatch(r"(?:([A-Za-z][\w.-]*):)?([0-9]+)", option.value or "")
    return bool(match) and _set_gpus(draft, option, match[1] if match else None, match[2] if match else "")


def _set_gpus(draft: RunDraft, option: Option, kind: str | None, number: str) -> bool:
    if not int(number):
        return False
    draft.set("resources/gpus", int(number), option.where)
    if kind:
        draft.set("resources/gpu-type", kind, option.where)
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


def _slurm_gpus(draft: RunDraft) -> None:
    """Carry the GPUs of a whole job if it has one node."""
    texts = draft.get("native/slurm")
    for text in list(texts) if isinstance(texts, list) else []:
        match = re.fullmatch(r"--gpus=(?:([A-Za-z][\w.-]*):)?([1-9][0-9]*)", str(text))
        if match and draft.get("resources/nodes") == 1 and draft.get("resources/gpus") is None:
            draft.set("resources/gpus", int(match[2]), draft.places["native/slurm"])
            if match[1]:
                draft.set("resources/gpu-type", match[1], draft.places["native/slurm"])
            assert isinstance(texts, list)
            texts.remove(text)
    _drop_empty_native(draft, "slurm")


def _drop_empty_native(draft: RunDraft, scheduler: str) -> None:
    native = draft.keys.get("native")
    if isinstance(native, dict) and not native.get(scheduler, True):
        del native[scheduler]
    if native == {}:
        del draft.keys["native"]


SLURM = Dialect(
    name="slurm",
    title="Slurm",
    aliases={
        **{"J": "job-name", "N": "nodes", "n": "ntasks", "c": "cpus-per-task", "t": "time", "p": "partition"},
        **{"A": "account", "o": "output", "e": "error", "a": "array", "D": "chdir", "workdir": "chdir"},
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
        "gpus-per-node": _slurm_gpus_per_node,
        "exclusive": _slurm_exclusive,
        "partition": text_to("queue"),
        "account": text_to("account"),
        "output": _slurm_file("output"),
        "error": _slurm_file("errors"),
        "array": _slurm_array,
        "mail-type": _slurm_mail,
        "mail-user": text_to("mail/to"),
        "chdir": text_to("working-directory"),
        "dependency": dependency,
        "input": _slurm_file("input"),
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
    foreign=re.compile(r"\bSLURM_[A-Z_]+\b"),
    launchers=frozenset({"srun", "sbcast", "scontrol", "sattach"}),
    finish=_slurm_gpus,
)


# PBS


def _pbs_resources(draft: RunDraft, option: Option) -> bool:
    """Set the resources of ``-l``; those without a key are kept as directives of their own."""
    for text in _pbs_list(option.value or ""):
        resource, _, value = text.partition("=")
        handler = _PBS_RESOURCES.get(resource)
        if handler is None or not handler(draft, Option(resource, value, f"-l {text}", option.where)):
            draft.add("native/pbs", f"-l {text}", option.where)
    return True


def _pbs_list(text: str) -> Iterator[str]:
    """Yield the resources of a list, which commas separate."""
    yield from (part for part in text.split(",") if part)


def _pbs_select(draft: RunDraft, option: Option) -> bool:
    chunk = re.fullmatch(r"(?:([0-9]+):?)?((?:\w+=[^:+]+:?)*)", option.value or "")
    if chunk is None or "+" in (option.value or ""):
        return False
    parts = dict(part.partition("=")[::2] for part in chunk[2].split(":") if part)
    if parts.keys() - {"ncpus", "mpiprocs", "ompthreads", "mem", "ngpus"}:
        return False
    if not all(re.fullmatch(r"[1-9][0-9]*", parts[k]) for k in parts if k != "mem"):
        return False
    memory = size_text(parts["mem"], default="b") if "mem" in parts else None
    if "mem" in parts and memory is None:
        return False
    cpus, tasks = int(parts.get("ncpus", "1")), int(parts.get("mpiprocs", "1"))
    if cpus % tasks:
        return False
    draft.set("resources/nodes", int(chunk[1] or "1"), option.where)
    draft.set("resources/tasks-per-node", tasks, option.where)
    if cpus // tasks > 1:
        draft.set("resources/cpus-per-task", cpus // tasks, option.where)
    if threads := parts.get("ompthreads"):
        draft.set_entry("environment", "OMP_NUM_THREADS", threads, option.where)
    if memory:
        draft.set("resources/memory", memory, option.where)
    if gpus := parts.get("ngpus"):
        draft.set("resources/gpus", int(gpus), option.where)
    return True


def _pbs_nodes(draft: RunDraft, option: Option) -> bool:
    match = re.fullmatch(r"([1-9][0-9]*)(?::ppn=([1-9][0-9]*))?", option.value or "")
    if match is None:
        return False
    draft.set("resources/nodes", int(match[1]), option.where)
    if match[2]:
        draft.set("resources/tasks-per-node", int(match[2]), option.where)
    return True


def _pbs_place(draft: RunDraft, option: Option) -> bool:
    words = set((option.value or "").split(":"))
    if words - {"scatter", "excl", "exclhost", "free", "pack", "shared"}:
        return False
    if words & {"excl", "exclhost"}:
        draft.set("resources/exclusive", True, option.where)
    if "pack" in words:
        draft.not_carried(option.where, f"{option.text}: all chunks on one host", "set `nodes: 1` and tasks-per-node")
    return True


def _pbs_time(draft: RunDraft, option: Option) -> bool:
    if not (value := clock(option.value or "")):
        return False
    draft.set("resources/time", value, option.where)
    return True


def _pbs_memory(draft: RunDraft, option: Option) -> bool:
    """Set the memory of a whole job, which is that of its node if it has one."""
    if draft.get("resources/nodes") not in (None, 1) or not (value := size_text(option.value or "", default="b")):
        return False
    draft.set("resources/memory", value, option.where)
    return True


_PBS_RESOURCES: dict[str, Handler] = {
    "select": _pbs_select,
    "nodes": _pbs_nodes,
    "place": _pbs_place,
    "walltime": _pbs_time,
    "mem": _pbs_memory,
    "ncpus": number_to("resources/cpus-per-task"),
    "mpiprocs": number_to("resources/tasks-per-node"),
}
_PBS_TOKENS = {"^array_index^": "{index}", "$PBS_JOBID": "{job}", "${PBS_JOBID}": "{job}", "$PBS_JOBNAME": "{run}"}


def _pbs_file(pointer: str) -> Handler:
    def handle(draft: RunDraft, option: Option) -> bool:
        host, colon, path = (option.value or "").rpartition(":")
        text = file_name(path, _PBS_TOKENS, "$")
        if not text or text.endswith("/"):
            return False
        if colon and host:
            draft.not_carried(option.where, f"the host {host} of {option.text}", "the file is on a shared file system")
        draft.set(pointer, text, option.where)
        return True

    return handle


def _pbs_join(draft: RunDraft, option: Option) -> bool:
    if option.value == "eo":
        draft.not_carried(option.where, "the output goes to the file of the errors", "name that file as `output`")
    return option.value in {"oe", "eo", "n"}


def _pbs_mail(draft: RunDraft, option: Option) -> bool:
    events = {"a": "fail", "b": "begin", "e": "end"}
    letters = option.value or ""
    if set(letters) - {*events, "n", "p"}:
        return False
    if wanted := [event for letter, event in events.items() if letter in letters]:
        draft.set("mail/on", [*wanted], option.where)
    return True


def _pbs_attributes(draft: RunDraft, option: Option) -> bool:
    if (option.value or "").startswith("depend="):
        return dependency(draft, option)
    return False


def _variables(separator: str) -> Handler:
    def handle(draft: RunDraft, option: Option) -> bool:
        for word in (option.value or "").split(separator):
            variable, equals, value = word.partition("=")
            if equals:
                draft.set_entry("environment", variable, value.strip("\"'"), option.where)
            else:
                hint = "write its value in `environment`, or set `inherit-environment: true`"
                draft.not_carried(option.where, f"the variable {word} of the shell that submits", hint)
        return True

    return handle


def _array(draft: RunDraft, option: Option) -> bool:
    return indices_to_array(draft, option.value or "", option.where)


def _pbs_shell(draft: RunDraft, option: Option) -> bool:
    draft.keys.pop("shell", None)
    draft.set("shell", option.value or "/bin/sh", option.where)
    return True


PBS = Dialect(
    name="pbs",
    title="PBS",
    single_dash=True,
    options={
        "N": name,
        "q": text_to("queue"),
        "A": text_to("account"),
        "l": _pbs_resources,
        "o": _pbs_file("output"),
        "e": _pbs_file("errors"),
        "j": _pbs_join,
        "m": _pbs_mail,
        "M": text_to("mail/to"),
        "J": _array,
        "t": _array,
        "V": true_to("inherit-environment"),
        "v": _variables(","),
        "W": _pbs_attributes,
        "S": _pbs_shell,
        "d": text_to("working-directory"),
        "w": text_to("working-directory"),
        **{letter: lambda draft, option: False for letter in "acDhIkpPruxz"},
    },
    flags=frozenset("VhIXzf"),
    submit_directory="PBS_O_WORKDIR",
    variables={
        **dict.fromkeys(("PBS_ARRAY_INDEX", "PBS_ARRAYID"), "ORDAIN_INDEX"),
        "PBS_JOBID": "ORDAIN_JOB_ID",
        "PBS_JOBNAME": "ORDAIN_RUN",
    },
    foreign=re.compile(r"\bPBS_[A-Z_]+\b"),
    launchers=frozenset({"pbsdsh", "pbs_tmrsh"}),
)


# LSF


def _lsf_name(draft: RunDraft, option: Option) -> bool:
    match = re.fullmatch(r"([^\[\]]*)(?:\[([0-9:,-]+)\](%[1-9][0-9]*)?)?", option.value or "")
    if match is None:
        return False
    if match[1]:
        draft.set_name(match[1], option.where)
    return not match[2] or indices_to_array(draft, match[2] + (match[3] or ""), option.where)


def _lsf_time(draft: RunDraft, option: Option) -> bool:
    match = re.fullmatch(r"(?:([0-9]+):)?([0-9]+)(/.*)?", option.value or "")
    if match is None:
        return False
    if match[3]:
        draft.not_carried(
            option.where, f"the host {match[3][1:]} whose speed scales the time", "the time is that of a clock"
        )
    draft.set("resources/time", span(int(match[1] or 0) * 3600 + int(match[2]) * 60), option.where)
    return True


def _lsf_requirements(draft: RunDraft, option: Option) -> bool:
    """Set the parts of a resource requirement; those without a key are kept as a directive of their own."""
    text = option.value or ""
    sections = re.findall(r"(\w+)\[((?:[^\[\]]|\[[^\]]*\])*)\]", text)
    if re.sub(r"(\w+)\[((?:[^\[\]]|\[[^\]]*\])*)\]", "", text).strip() or not sections:
        return False
    for section, inside in sections:
        if not _lsf_section(draft, section, inside, option):
            draft.add("native/lsf", f'-R "{section}[{inside}]"', option.where)
    return True


def _lsf_section(draft: RunDraft, section: str, inside: str, option: Option) -> bool:
    if match := re.fullmatch(r"ptile=([1-9][0-9]*)", inside) if section == "span" else None:
        draft.set("resources/tasks-per-node", int(match[1]), option.where)
    elif section == "span" and inside == "hosts=1":
        draft.set("resources/nodes", 1, option.where)
    elif match := re.fullmatch(r"core\(([1-9][0-9]*)\)", inside) if section == "affinity" else None:
        draft.set("resources/cpus-per-task", int(match[1]), option.where)
    elif section == "rusage":
        parts = [part.partition("=") for part in re.split(r"[,:]", inside)]
        keys = {"mem": "resources/memory", "tmp": "resources/scratch"}
        sizes = {resource.strip(): size_text(value) for resource, _, value in parts}
        if not all(resource in keys and value for resource, value in sizes.items()):
            return False
        for resource, value in sizes.items():
            draft.set(keys[resource], value, option.where)
    else:
        return False
    return True


def _lsf_memory(draft: RunDraft, option: Option) -> bool:
    """Set the memory if its unit is written; without one it depends on the configuration of the site."""
    text = option.value or ""
    value = size_text(text) if re.search(r"[A-Za-z]", text) else None
    if value is None or draft.get("resources/memory") not in (None, value):
        return False
    draft.set("resources/memory", value, option.where)
    return True


_LSF_TOKENS = {"%J": "{job}", "%I": "{index}"}


def _lsf_file(pointer: str) -> Handler:
    def handle(draft: RunDraft, option: Option) -> bool:
        text = file_name(option.value or "", _LSF_TOKENS, "%")
        if not text or text.endswith("/"):
            return False
        draft.set(pointer, text, option.where)
        return True

    return handle


def _lsf_environment(draft: RunDraft, option: Option) -> bool:
    words = [word.strip() for word in (option.value or "").split(",")]
    draft.set("inherit-environment", "all" in words, option.where)
    for word in words:
        variable, equals, value = word.partition("=")
        if equals:
            draft.set_entry("environment", variable, value, option.where)
        elif word not in {"all", "none"}:
            hint = "write its value in `environment`, or set `inherit-environment: true`"
            draft.not_carried(option.where, f"the variable {word} of the shell that submits", hint)
    return True


def _lsf_gpu(draft: RunDraft, option: Option) -> bool:
    parts = dict(part.partition("=")[::2] for part in (option.value or "").split(":"))
    if parts.keys() - {"num", "gmodel"} or not re.fullmatch(r"[1-9][0-9]*", parts.get("num", "")):
        return False
    draft.set("resources/gpus", int(parts["num"]), option.where)
    if model := parts.get("gmodel"):
        draft.set("resources/gpu-type", model, option.where)
    return True


def _lsf_mail(event: str) -> Handler:
    def handle(draft: RunDraft, option: Option) -> bool:
        draft.add("mail/on", event, option.where)
        return True

    return handle


def _lsf_limit(draft: RunDraft) -> None:
    """Report a memory limit without a unit beside the memory of ``rusage``: a run has one memory."""
    texts = draft.get("native/lsf")
    for text in list(texts) if isinstance(texts, list) else []:
        if str(text).startswith("-M ") and draft.get("resources/memory"):
            hint = f"its unit is that of the site; resources/memory, {draft.get('resources/memory')}, is the limit"
            draft.not_carried(draft.places["native/lsf"], str(text), hint)
            assert isinstance(texts, list)
            texts.remove(text)
    _drop_empty_native(draft, "lsf")


_never: Callable[[RunDraft, Option], bool] = lambda draft, option: False  # noqa: E731

LSF = Dialect(
    name="lsf",
    title="LSF",
    single_dash=True,
    options={
        "J": _lsf_name,
        "n": number_to("resources/tasks"),
        "W": _lsf_time,
        "q": text_to("queue"),
        "P": text_to("account"),
        "R": _lsf_requirements,
        "M": _lsf_memory,
        "o": _lsf_file("output"),
        "oo": _lsf_file("output"),
        "e": _lsf_file("errors"),
        "eo": _lsf_file("errors"),
        "x": true_to("resources/exclusive"),
        "u": text_to("mail/to"),
        "B": _lsf_mail("begin"),
        "N": _lsf_mail("end"),
        "w": dependency,
        "cwd": text_to("working-directory"),
        "env": _lsf_environment,
        "gpu": _lsf_gpu,
        **{letter: _never for letter in "aAbcCDEFgGikLmpsStTUvXZ"},
        **{
            word: _never
            for word in "app sla ul hl Ep Jd sp G ti notify outdir nnodes alloc_flags core_isolation".split()
        },
    },
    flags=frozenset({"x", "B", "N", "r", "rn", "H", "K", "I", "Is", "Ip", "ar"}),
    inherits=True,
    submit_directory="LS_SUBCWD",
    variables={"LSB_JOBINDEX": "ORDAIN_INDEX", "LSB_JOBID": "ORDAIN_JOB_ID", "LSB_JOBNAME": "ORDAIN_RUN"},
    foreign=re.compile(r"\b(?:LSB|LS|LSF)_[A-Z_]+\b"),
    launchers=frozenset({"jsrun", "blaunch", "lsrun"}),
    finish=_lsf_limit,
)

DIALECTS = {dialect.name: dialect for dialect in (SLURM, PBS, LSF)}


def dialect_of(text: str) -> Dialect | None:
    """Return the dialect whose directives ``text`` has, None if it has none or several."""
    found = [dialect for dialect in DIALECTS.values() if has_directives(text, dialect.name)]
    return found[0] if len(found) == 1 else None
