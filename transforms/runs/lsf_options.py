"""The options of bsub(1), each with the keys of a Run that mean the same."""

from __future__ import annotations

import re
from collections.abc import Callable

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
    number_to,
    size_text,
    span,
    text_to,
    true_to,
)

_NUMBER = lazy_pattern(r"[1-9][0-9]*")


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
        for resource in filter(None, re.split(r"[,:]", inside)):
            if not _lsf_usage(draft, resource, option):
                draft.add("native/lsf", f'-R "rusage[{resource}]"', option.where)
    elif section == "select" and all(map(_FEATURE.fullmatch, words := [w.strip() for w in inside.split("&&")])):
        features: list[Plain] = [*words]
        draft.set("resources/features", features, option.where)
    else:
        return False
    return True


_FEATURE = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_.+-]*")


def _lsf_usage(draft: RunDraft, text: str, option: Option) -> bool:
    """Set a resource of rusage[]; without a unit, a size depends on the configuration of the site."""
    resource, _, value = (part.strip() for part in text.removesuffix("/host").partition("="))
    if re.fullmatch(r"ngpus(?:_\w+)?", resource) and _NUMBER.fullmatch(value):
        draft.set("resources/gpus", int(value), option.where)
        return True
    size = size_text(value) if re.search(r"[A-Za-z]", value) else None
    if size and resource == "tmp":
        draft.set("resources/scratch", size, option.where)
    elif size and resource == "mem":
        draft.pending.append(("rusage", size, option.where))
    else:
        return False
    return True


def _lsf_memory(draft: RunDraft, option: Option) -> bool:
    """Leave the limit to ``finish`` if its unit is written; without one it depends on the configuration of the site."""
    text = option.value or ""
    value = size_text(text) if re.search(r"[A-Za-z]", text) else None
    if value:
        draft.pending.append(("limit", value, option.where))
    return value is not None


def _lsf_finish(draft: RunDraft) -> None:
    """Set the memory: LSF has a reservation and a limit, and a run has one memory, which is both."""
    sizes = {option: (size, where) for option, size, where in draft.pending}
    native = draft.get("native/lsf")
    for option, title, other in (("rusage", "reservation", "limit"), ("limit", "limit", "reservation")):
        if option not in sizes:
            continue
        size, where = sizes[option]
        given = any(str(text).startswith("-M ") for text in native) if isinstance(native, list) else False
        if option == "rusage" and given:
            draft.add("native/lsf", f'-R "rusage[mem={size}B]"', where)  # the site knows how -M compares with it
            continue
        draft.set("resources/memory", size, where)
        if len(sizes) == 1:
            what, hint = f"the {title} of memory becomes a {other}, too", "the memory of a run is both"
            draft.not_carried(where, what, hint)
    if draft.get("resources/nodes") and "nnodes" in draft.places:
        what = "-nnodes, with which LSF places the tasks of jsrun"
        hint = 'on such a system, set `directives: {tasks: "-nnodes {nodes}", span: ""}` in its row'
        draft.not_carried(draft.places["nnodes"], what, hint)


def _lsf_nodes(draft: RunDraft, option: Option) -> bool:
    """Set the nodes of ``-nnodes``, which a job has for itself."""
    if not _NUMBER.fullmatch(option.value or ""):
        return False
    draft.set("resources/nodes", int(option.value or "1"), option.where)
    draft.set("resources/exclusive", True, option.where)
    draft.places["nnodes"] = option.where
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
    number, _, unit = parts.pop("num", "1").partition("/")
    if option.value == "-" or not _NUMBER.fullmatch(number) or unit not in {"", "task", "host"}:
        return False
    draft.set("resources/gpus-per-task" if unit == "task" else "resources/gpus", int(number), option.where)
    if model := parts.pop("gmodel", ""):
        draft.set("resources/gpu-type", model, option.where)
    for part, value in parts.items():
        if (part, value) not in {("mode", "shared"), ("mps", "no"), ("j_exclusive", "no")}:
            hint = "a layer that matches LSF can set all of -gpu in `native`, with `gpus: null`"
            draft.not_carried(option.where, f"{part}={value} of {option.text}", hint)
    return True


def _lsf_mail(event: str) -> Handler:
    def handle(draft: RunDraft, option: Option) -> bool:
        draft.add("mail/on", event, option.where)
        return True

    return handle


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
        "nnodes": _lsf_nodes,
        **{letter: _never for letter in "aAbcCDEFgGikLmpsStTUvXZ"},
        **{word: _never for word in "app sla ul hl Ep Jd sp G ti notify outdir alloc_flags core_isolation".split()},
    },
    flags=frozenset({"x", "B", "N", "r", "rn", "H", "K", "I", "Is", "Ip", "ar", "Zs"}),
    inherits=True,
    submit_directory="LS_SUBCWD",
    variables={"LSB_JOBINDEX": "ORDAIN_INDEX", "LSB_JOBID": "ORDAIN_JOB_ID", "LSB_JOBNAME": "ORDAIN_RUN"},
    foreign=lazy_pattern(r"\b(?:LSB|LS|LSF)_[A-Z_]+\b"),
    commands=frozenset({"blaunch", "lsrun"}),
    finish=_lsf_finish,
)
