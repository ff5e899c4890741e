"""JSDL 1.0 (GFD.56) with its POSIX application, both ways: the part of it that a Run has keys for.

    XmlElement ─import_jsdl▶ RunDraft          Run ─export_jsdl▶ text, and the keys that JSDL cannot hold

Each element becomes a key or is reported, by its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Problem, Where, warning
from ordain.transforms.importing.draft.document_draft import Plain
from ordain.transforms.model import Branch, Document, Leaf, Template, Tree, strings
from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.scheduler_rows import vectors
from ordain.transforms.runs.script_options import span
from ordain.transforms.runs.xml_elements import XmlElement
from ordain.transforms.systemd.values import size, timespan
from ordain.transforms.template.expand import holds_template

JSDL = "http://schemas.ggf.org/jsdl/2005/11/jsdl"
POSIX = "http://schemas.ggf.org/jsdl/2005/11/jsdl-posix"
_URI = "file://"


# From JSDL


def import_jsdl(root: XmlElement) -> RunDraft:
    """Return the draft of the Run that a JobDefinition describes."""
    draft = RunDraft()
    if root.namespace != JSDL or root.name != "JobDefinition":
        draft.not_carried(root.where, f"<{root.name}> is not a JobDefinition of JSDL 1.0", f"its namespace is {JSDL}")
        return draft
    _walk(draft, root, {"JobDescription": _job_description}, "JobDefinition")
    return draft


_Handler = Callable[[RunDraft, XmlElement], None]


def _walk(draft: RunDraft, element: XmlElement, known: Mapping[str, _Handler], path: str) -> None:
    """Carry each child that ``known`` has a handler for, and report the others."""
    seen: set[str] = set()
    for child in element.children:
        handler = known.get(child.name)
        if handler is None or child.namespace not in (JSDL, POSIX):
            draft.not_carried(
                child.where, f"{path}/{child.name}: a Run has no key for it", "use `native`, or remove it"
            )
        elif child.name in seen and child.name not in _REPEATED:
            draft.not_carried(child.where, f"{path}/{child.name} a second time", "write it once")
        else:
            seen.add(child.name)
            handler(draft, child)


_REPEATED = frozenset({"DataStaging", "Argument", "Environment", "JobAnnotation", "JobProject"})


def _job_description(draft: RunDraft, element: XmlElement) -> None:
    known = {
        "JobIdentification": _job_identification,
        "Application": _application,
        "Resources": _resources,
        "DataStaging": _data_staging,
    }
    _walk(draft, element, known, "JobDescription")


def _job_identification(draft: RunDraft, element: XmlElement) -> None:
    known = {
        "JobName": lambda draft, child: draft.set_name(child.words, child.where),
        "Description": _text("description"),
        "JobProject": _text("account"),
    }
    _walk(draft, element, known, "JobIdentification")


def _application(draft: RunDraft, element: XmlElement) -> None:
    known = {"Description": _text("description"), "POSIXApplication": _posix}
    _walk(draft, element, known, "Application")


def _posix(draft: RunDraft, element: XmlElement) -> None:
    executable = element.find("Executable")
    if executable is None or not executable.words:
        draft.not_carried(element.where, "POSIXApplication has no Executable", "add `command`")
    else:
        words: list[Plain] = [executable.words, *(argument.text for argument in element.all("Argument"))]
        draft.set("command", words, executable.where)
    known = {
        "Executable": _done,
        "Argument": _done,
        "Input": _text("input"),
        "Output": _text("output", braces=True),
        "Error": _text("errors", braces=True),
        "WorkingDirectory": _text("working-directory"),
        "Environment": _environment,
        "WallTimeLimit": _seconds,
        "MemoryLimit": _bytes("resources/memory"),
    }
    _walk(draft, element, known, "POSIXApplication")


def _done(draft: RunDraft, element: XmlElement) -> None:
    """Do nothing but look at its attributes: another handler has carried the element."""
    _file_system(draft, element)


def _file_system(draft: RunDraft, element: XmlElement) -> None:
    if filesystem := element.attributes.get("filesystemName"):
        draft.not_carried(element.where, f"the file system {filesystem}", "write an absolute path")


def _text(pointer: str, *, braces: bool = False) -> _Handler:
    def handle(draft: RunDraft, element: XmlElement) -> None:
        text = element.words
        _file_system(draft, element)
        if text:
            draft.set(pointer, text.replace("{", "{{").replace("}", "}}") if braces else text, element.where)

    return handle


def _environment(draft: RunDraft, element: XmlElement) -> None:
    name = element.attributes.get("name", "")
    _file_system(draft, element)
    if not name:
        draft.not_carried(element.where, "Environment without a name", "write its name")
    else:
        draft.set_entry("environment", name, element.text, element.where)


def _seconds(draft: RunDraft, element: XmlElement) -> None:
    if number := _whole(element.words):
        draft.set("resources/time", span(number), element.where)
    else:
        draft.not_carried(element.where, f"WallTimeLimit {element.words!r}", "write whole seconds")


def _bytes(pointer: str) -> _Handler:
    def handle(draft: RunDraft, element: XmlElement) -> None:
        if number := _whole(element.words):
            draft.set(pointer, _size_text(number), element.where)
        else:
            draft.not_carried(element.where, f"{element.name} {element.words!r}", "write whole bytes")

    return handle


def _resources(draft: RunDraft, element: XmlElement) -> None:
    known = {
        "TotalResourceCount": _range("resources/nodes"),
        "IndividualCPUCount": _range("resources/cpus-per-node"),
        "TotalCPUCount": _range("resources/cpus"),
        "IndividualPhysicalMemory": _range("resources/memory"),
        "IndividualDiskSpace": _range("resources/scratch"),
        "ExclusiveExecution": _exclusive,
    }
    _walk(draft, element, known, "Resources")
    _settle_cpus(draft, element.where)


def _range(pointer: str) -> _Handler:
    """Return the handler of a RangeValue: an exact value, or a range whose lowest value is enough."""

    def handle(draft: RunDraft, element: XmlElement) -> None:
        values = [(c.name, _whole(c.words)) for c in element.children]
        if len(values) != 1 or not values[0][1] or values[0][0] not in {"Exact", "LowerBoundedRange"}:
            hint = "write one <Exact> with a whole number"
            draft.not_carried(element.where, f"the values of {element.name}", hint)
            return
        kind, number = values[0]
        bound = element.children[0].attributes
        for name in ("epsilon", "exclusiveBound"):
            if bound.get(name, "false") not in {"false", "0"}:
                what = f"{name} {bound[name]} of {element.name}"
                draft.not_carried(element.where, what, f"the run has {number} exactly")
        if kind == "LowerBoundedRange":
            draft.not_carried(element.where, f"{element.name} may be more than {number}", f"the run has {number}")
        if pointer.endswith(("memory", "scratch")):
            draft.set(pointer, _size_text(number or 0), element.where)
        else:
            draft.set(pointer, number, element.where)

    return handle


def _settle_cpus(draft: RunDraft, where: Where) -> None:
    """Replace the CPUs of a node, or of all, by those of each task: JSDL has one task on each node."""
    resources = draft.keys.get("resources")
    if not isinstance(resources, dict):
        return
    of_node, total, nodes = (resources.pop(k, None) for k in ("cpus-per-node", "cpus", "nodes"))
    if isinstance(nodes, int):
        resources["nodes"] = nodes
    if isinstance(total, int) and not isinstance(of_node, int):
        if total % (nodes if isinstance(nodes, int) else 1):
            draft.not_carried(where, f"{total} CPUs on {nodes} nodes", "use a number that divides")
            return
        of_node = total // (nodes if isinstance(nodes, int) else 1)
    elif isinstance(total, int) and isinstance(of_node, int):
        if total % of_node or (isinstance(nodes, int) and of_node * nodes != total):
            draft.not_carried(where, f"TotalCPUCount {total} beside {of_node} CPUs on each node", "remove one of them")
        elif nodes is None:
            resources["nodes"] = total // of_node
    if isinstance(of_node, int) and of_node > 1:
        resources["cpus-per-task"] = of_node


def _exclusive(draft: RunDraft, element: XmlElement) -> None:
    if element.words in {"true", "1"}:
        draft.set("resources/exclusive", True, element.where)
    elif element.words not in {"false", "0"}:
        draft.not_carried(element.where, f"ExclusiveExecution {element.words!r}", "write true or false")


def _data_staging(draft: RunDraft, element: XmlElement) -> None:
    name = element.find("FileName")
    if name is None or not name.words:
        draft.not_carried(element.where, "DataStaging without a FileName", "write its name")
        return
    for child in element.children:
        uri = child.find("URI")
        if child.name in {"Source", "Target"}:
            path = _path(uri.words) if uri else ""
            if not path:
                shown = uri.words if uri else "nothing"
                hint = "stage-in and stage-out copy files of a file system; use a command for it"
                draft.not_carried(child.where, f"the {child.name.lower()} {shown}", hint)
            elif child.name == "Source":
                draft.set_entry("stage-in", name.words, path, child.where)
            else:
                draft.set_entry("stage-out", name.words, path, child.where)
        elif (child.name, child.words) not in {("FileName", name.words), ("CreationFlag", "overwrite")}:
            hint = "a copy overwrites, and stays after the run"
            if (child.name, child.words) != ("DeleteOnTermination", "false"):
                draft.not_carried(child.where, f"DataStaging/{child.name} {child.words}", hint)


def _path(uri: str) -> str:
    """Return the path that a URI names (RFC 8089), "" if it names no file."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri):
        return uri
    match = re.fullmatch(r"file:(?://(?:localhost)?)?(/[^?#]*)", uri, re.IGNORECASE)
    return unquote(match[1]) if match else ""


def _whole(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,18})(?:\.0+)?", text)
    return int(match[1]) if match and int(match[1]) else None


def _size_text(number: int) -> str:
    for power, unit in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if number % 1024**power == 0:
            return f"{number // 1024**power}{unit}"
    return str(number)


# To JSDL

_CARRIED = frozenset(
    """
    command input environment working-directory stage-in stage-out output errors account description
    resources/nodes resources/cpus-per-task resources/memory resources/time resources/exclusive resources/scratch
    """.split()
)


def export_jsdl(run: Document) -> tuple[str, tuple[Problem, ...]]:
    """Return a Run as JSDL, and a problem for each key that JSDL cannot hold."""
    problems: list[Problem] = []
    tree = _without_nulls(run.sections, problems)
    problems += _not_carried(tree, "")
    head = [f'<jsdl:JobDefinition xmlns:jsdl="{JSDL}" xmlns:jsdl-posix="{POSIX}">', "  <jsdl:JobDescription>"]
    lines = [*head, *_identification(run), *_posix_lines(tree, problems), *_resource_lines(tree)]
    for name, source in _texts(tree.branch("stage-in")):
        lines += _staging(name, "Source", source)
    for name, branch in tree.branch("stage-out").branches():
        if to := branch.leaf("to"):
            lines += _staging(name, "Target", str(to.value))
        if branch.value("when") == "always":
            problems.append(_problem(branch.here, "stage-out after a run that failed"))
    lines += ["  </jsdl:JobDescription>", "</jsdl:JobDefinition>"]
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join(lines) + "\n", tuple(problems)


def _without_nulls(tree: Branch, problems: list[Problem]) -> Branch:
    """Return ``tree`` without its nulls, which remove what layers set: JSDL has no layers."""
    children: dict[str, Tree] = {}
    for name, child in tree.children.items():
        if isinstance(child, Branch):
            children[name] = _without_nulls(child, problems)
        elif child.value is None:
            problems.append(_problem(child, f"{child.where.pointer}: null"))
        else:
            children[name] = child
    return replace(tree, children=children)


def _problem(leaf: Leaf, what: str) -> Problem:
    return warning("", leaf.where, what, "JSDL 1.0 has no element for it", "NotCarried")


def _not_carried(tree: Branch, above: str) -> Iterator[Problem]:
    for name, child in tree.children.items():
        key = f"{above}{name}"
        if key in {"stage-out", "environment", "stage-in"}:
            if holds_template(child):
                yield _problem(_leaf(child), f"{key}: a template")
        elif isinstance(child, Branch) and key == "resources":
            yield from _not_carried(child, "resources/")
        elif key not in _CARRIED:
            yield _problem(_leaf(child), f"{key}: {plain(child)}")
        elif holds_template(child):
            yield _problem(_leaf(child), f"{key}: a template")


def _leaf(tree: Tree) -> Leaf:
    return tree if isinstance(tree, Leaf) else tree.here


def _identification(run: Document) -> Iterator[str]:
    yield "    <jsdl:JobIdentification>"
    yield f"      <jsdl:JobName>{escape(run.name)}</jsdl:JobName>"
    for key, element in (("description", "Description"), ("account", "JobProject")):
        if text := _text_of(run.sections.leaf(key)):
            yield f"      <jsdl:{element}>{_escaped(text)}</jsdl:{element}>"
    yield "    </jsdl:JobIdentification>"


def _posix_lines(tree: Branch, problems: list[Problem]) -> Iterator[str]:
    commands = vectors(tree.leaf("command"))
    leaf = tree.leaf("command")
    if leaf and len(commands) > 1:
        problems.append(_problem(leaf, "the second command and those after it"))
    yield "    <jsdl:Application>"
    yield "      <jsdl-posix:POSIXApplication>"
    if leaf and commands and not holds_template(leaf):
        yield from _elements("Executable", commands[0][:1])
        yield from _elements("Argument", commands[0][1:])
    yield from _elements("Input", [text for text in [_text_of(tree.leaf("input"))] if text])
    for key, element in (("output", "Output"), ("errors", "Error")):
        file = tree.leaf(key)
        text = _text_of(file)
        if file and re.search(r"(?<!\{)\{(job|index|run)\}", text):
            problems.append(_problem(file, f"{key}: {text}"))
        elif text:
            yield from _elements(element, [text.replace("{{", "{").replace("}}", "}")])
    yield from _elements("WorkingDirectory", [text for text in [_text_of(tree.leaf("working-directory"))] if text])
    for name, value in _texts(tree.branch("environment")):
        yield f'        <jsdl-posix:Environment name="{escape(name)}">{_escaped(value)}</jsdl-posix:Environment>'
    if time := tree.branch("resources").leaf("time"):
        yield from _elements("WallTimeLimit", [str(-(-timespan(str(time.value)) // 1_000_000))])
    yield "      </jsdl-posix:POSIXApplication>"
    yield "    </jsdl:Application>"


def _elements(name: str, texts: object) -> Iterator[str]:
    for text in strings(tuple(texts)):  # type: ignore[arg-type] # an iterable of texts
        yield f"        <jsdl-posix:{name}>{_escaped(text)}</jsdl-posix:{name}>"


def _resource_lines(tree: Branch) -> Iterator[str]:
    resources = tree.branch("resources")
    lines: list[str] = []
    if resources.value("exclusive") is True:
        lines.append("      <jsdl:ExclusiveExecution>true</jsdl:ExclusiveExecution>")
    for key, element in (
        ("cpus-per-task", "IndividualCPUCount"),
        ("memory", "IndividualPhysicalMemory"),
        ("scratch", "IndividualDiskSpace"),
        ("nodes", "TotalResourceCount"),
    ):
        if leaf := resources.leaf(key):
            number = size(str(leaf.value)) if key in {"memory", "scratch"} else leaf.value
            lines.append(f"      <jsdl:{element}><jsdl:Exact>{number}</jsdl:Exact></jsdl:{element}>")
    if lines:
        yield "    <jsdl:Resources>"
        yield from lines
        yield "    </jsdl:Resources>"


def _staging(name: str, kind: str, path: str) -> Iterator[str]:
    yield "    <jsdl:DataStaging>"
    yield f"      <jsdl:FileName>{_escaped(name)}</jsdl:FileName>"
    yield "      <jsdl:CreationFlag>overwrite</jsdl:CreationFlag>"
    uri = f"{_URI}{quote(path)}" if path.startswith("/") else path
    yield f"      <jsdl:{kind}><jsdl:URI>{_escaped(uri)}</jsdl:URI></jsdl:{kind}>"
    yield "    </jsdl:DataStaging>"


def _texts(branch: Branch) -> Iterator[tuple[str, str]]:
    for name, child in branch.children.items():
        if isinstance(child, Leaf) and not isinstance(child.value, Template) and child.value is not None:
            yield name, str(child.value)


def _text_of(leaf: Leaf | None) -> str:
    return "" if leaf is None or leaf.value is None or isinstance(leaf.value, Template) else str(leaf.value)


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})
