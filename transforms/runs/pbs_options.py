"""The options of qsub(1B) of PBS and Torque, each with the keys of a Run that mean the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import Plain
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.script_options import (
    Dialect,
    Handler,
    Option,
    clock,
    dependency,
    file_name,
    indices_to_array,
    name,
    size_text,
    text_to,
    true_to,
    variables,
)

_NUMBER = lazy_pattern(r"[1-9][0-9]*")
_ON_HOSTS = frozenset({"select", "nodes", "place", "ncpus", "mem", "ngpus", "mpiprocs", "procs", "pmem"})
"""Resources that say together which hosts a job gets."""


def _pbs_resources(draft: RunDraft, option: Option) -> bool:
    """Set the resources of ``-l``; those without a key are kept as directives of their own."""
    for text in filter(None, (option.value or "").split(",")):
        resource, _, value = text.partition("=")
        if resource in _ON_HOSTS:
            draft.pending.append((resource, value, option.where))
        elif resource != "walltime" or not _pbs_time(draft, Option(resource, value, text, option.where)):
            draft.add("native/pbs", f"-l {text}", option.where)
    return True


def _pbs_finish(draft: RunDraft) -> None:
    """Set the hosts from all resources about them, or keep all: qsub refuses old resources beside ``select``."""
    wanted: dict[str, str] = {}
    places: dict[str, Where] = {}
    for resource, value, where in draft.pending:
        wanted.setdefault(resource, value)
        places.setdefault(resource, where)
    keys = _pbs_hosts(draft, wanted) if len(wanted) == len(draft.pending) else None
    if keys is None:
        for resource, value, where in draft.pending:
            draft.add("native/pbs", f"-l {resource}={value}", where)
    else:
        for pointer, (plain, resource) in keys.items():
            section, _, entry = pointer.partition("/")
            if section == "environment":
                draft.set_entry(section, entry, plain, places[resource])
            else:
                draft.set(pointer, plain, places[resource])
        draft.accounted |= {where.line for where in places.values()}
    _pbs_files(draft)


_HostKeys = dict[str, tuple[Plain, str]]
"""By pointer, a value and the resource that it comes from."""


def _pbs_hosts(draft: RunDraft, wanted: Mapping[str, str]) -> _HostKeys | None:
    """Return the keys that mean the same as ``wanted``, None if no keys do."""
    rest = dict(wanted)
    place = set(filter(None, rest.pop("place", "").split(":")))
    if place - {"scatter", "excl", "exclhost", "free", "shared"}:
        return None
    if "select" in rest:
        keys = _pbs_chunks(rest.pop("select"), scatter="scatter" in place)
        if keys and "scatter" not in place and keys.get("resources/nodes", (1, ""))[0] != 1:
            what = "chunks that may share a host"
            where = next(where for resource, _, where in draft.pending if resource == "select")
            draft.not_carried(where, what, "the run has a host for each chunk, as with place=scatter")
    else:
        keys = _pbs_old_resources(rest)
        rest = {}
    if keys is None or rest:
        return None
    if place & {"excl", "exclhost"}:
        keys["resources/exclusive"] = (True, "place")
    return keys


def _pbs_chunks(text: str, *, scatter: bool) -> _HostKeys | None:
    """Return the keys for chunks that are all alike: those with one task may be anywhere, others are nodes."""
    first, *words = text.split(":")
    number, words = (int(first), words) if _NUMBER.fullmatch(first) else (1, [first, *words])
    parts = dict(word.partition("=")[::2] for word in words)
    features: list[Plain] = [name for name, value in parts.items() if value.lower() == "true"]
    numbers = {name: value for name, value in parts.items() if name not in features and name != "mem"}
    known = numbers.keys() <= {"ncpus", "mpiprocs", "ompthreads", "ngpus"}
    if not known or not all(map(_NUMBER.fullmatch, numbers.values())):
        return None
    memory = size_text(parts["mem"], default="b") if "mem" in parts else None
    cpus, tasks, gpus = (
        int(numbers.get(name, default)) for name, default in (("ncpus", 1), ("mpiprocs", 1), ("ngpus", 0))
    )
    if cpus % tasks or ("mem" in parts and memory is None):
        return None
    anywhere = tasks == 1 and number > 1 and not scatter
    if anywhere and memory and not (memory := _divided(memory, cpus)):
        return None
    keys: _HostKeys = {}
    if anywhere:
        keys["resources/tasks"] = (number, "select")
    else:
        keys |= {"resources/nodes": (number, "select"), "resources/tasks-per-node": (tasks, "select")}
    if cpus // tasks > 1:
        keys["resources/cpus-per-task"] = (cpus // tasks, "select")
    if memory:
        keys["resources/memory-per-cpu" if anywhere else "resources/memory"] = (memory, "select")
    if gpus:
        keys["resources/gpus-per-task" if anywhere else "resources/gpus"] = (gpus, "select")
    if features:
        keys["resources/features"] = (features, "select")
    if threads := numbers.get("ompthreads"):
        keys["environment/OMP_NUM_THREADS"] = (threads, "select")
    return keys


def _pbs_old_resources(wanted: Mapping[str, str]) -> _HostKeys | None:
    """Return the keys for resources of a whole job, and for ``nodes``, as PBS converts them to chunks."""
    first, *properties = wanted.get("nodes", "1").split(":")
    parts = dict(word.partition("=")[::2] for word in properties)
    features: list[Plain] = [name for name, value in parts.items() if not value]
    own = {name: value for name, value in parts.items() if value}
    numbers = {first, *own.values(), *(v for n, v in wanted.items() if n in {"ncpus", "ngpus", "mpiprocs", "procs"})}
    if own.keys() - {"ppn", "gpus"} or not all(map(_NUMBER.fullmatch, numbers)):
        return None
    nodes, tasks_per_node = int(first), int(own.get("ppn", wanted.get("mpiprocs", "1")))
    cpus = int(wanted.get("ncpus", str(tasks_per_node)))
    gpus = own.get("gpus", wanted.get("ngpus", ""))
    whole_job = nodes > 1 and wanted.keys() & {"ncpus", "ngpus", "mpiprocs"}
    twice = ("ppn" in own and wanted.keys() & {"ncpus", "mpiprocs"}) or ("gpus" in own and "ngpus" in wanted)
    if (
        whole_job
        or twice
        or cpus % tasks_per_node
        or ("procs" in wanted and len(wanted) > 1)
        or {"mem", "pmem"} <= wanted.keys()
    ):
        return None
    if "procs" in wanted:
        return {"resources/tasks": (int(wanted["procs"]), "procs")}
    keys: _HostKeys = {}
    if "nodes" in wanted:
        keys["resources/nodes"] = (nodes, "nodes")
    if tasks_per_node > 1 or "ppn" in own:
        keys["resources/tasks-per-node"] = (tasks_per_node, "nodes" if "ppn" in own else "mpiprocs")
    if "ncpus" in wanted:
        keys["resources/cpus-per-task"] = (cpus // tasks_per_node, "ncpus")
    if gpus:
        keys["resources/gpus"] = (int(gpus), "nodes" if "gpus" in own else "ngpus")
    if features:
        keys["resources/features"] = (features, "nodes")
    for resource, pointer, divisor in (
        ("mem", "resources/memory", nodes),
        ("pmem", "resources/memory-per-cpu", cpus // tasks_per_node),
    ):
        if resource in wanted:
            size = size_text(wanted[resource], default="b")
            if not size or not (part := _divided(size, divisor)):
                return None
            keys[pointer] = (part, resource)
    return keys


def _divided(size: str, number: int) -> str | None:
    """Return a part of a size such as ``64G`` in the same unit or a smaller one, None if it does not divide.

    >>> _divided("64G", 4), _divided("2G", 4), _divided("1B", 2)
    ('16G', '512M', None)
    """
    amount, units = int(size[:-1]), "BKMGT"
    unit = units.index(size[-1])
    while amount % number and unit:
        amount, unit = amount * 1024, unit - 1
    return None if amount % number else f"{amount // number}{units[unit]}"


def _pbs_time(draft: RunDraft, option: Option) -> bool:
    if not (value := clock(option.value or "")):
        return False
    draft.set("resources/time", value, option.where)
    return True


def _pbs_files(draft: RunDraft) -> None:
    """Report what the files of the job have and a run has not."""
    native = draft.get("native/pbs")
    for key, option in (("output", "-o"), ("errors", "-e")):
        if draft.get("array") and "{job}" in str(draft.get(key) or ""):
            value = str(draft.get(key)).replace("{job}", "$PBS_JOBID").replace("{index}", "^array_index^")
            draft.add("native/pbs", f"{option} {value.replace('{run}', '$PBS_JOBNAME')}", draft.places[key])
            del draft.keys[key]
    joined = any(str(text).startswith(("-j", "-e")) for text in native) if isinstance(native, list) else False
    if not joined and not draft.get("errors") and "join" not in draft.places:
        where = draft.places.get("output") or Where(path=next((w.path for w in draft.places.values()), ""))
        what = "PBS writes the error messages to a file of their own, and the run to the file of the output"
        draft.not_carried(where, what, "set `errors`, such as `errors: NAME.err`")


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
    if option.value in {"oe", "eo"}:
        draft.places["join"] = option.where
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
    """Report the dependencies of a list of attributes, and keep the others."""
    for text in re.split(r",(?=\w+=)", option.value or ""):
        part = Option(option.name, text, f"-W {shlex.quote(text)}", option.where)
        if not text.startswith("depend=") or not dependency(draft, part):
            draft.add("native/pbs", part.text, option.where)
    return True


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
    attached=True,
    at_home=True,
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
        "v": variables(","),
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
    of_element=frozenset({"PBS_JOBID"}),
    foreign=lazy_pattern(r"\bPBS_[A-Z_]+\b"),
    commands=frozenset({"pbsdsh", "pbs_tmrsh"}),
    finish=_pbs_finish,
)
