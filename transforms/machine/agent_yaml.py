"""Reads agent.yaml: the text that is in force, and the values in a text.

    bytes ─parse─▶ Node ─schema (`agent_keys`)─▶ problems
                     └──without wrong keys──▶ values

A running agent keeps the text that it follows at `IN_FORCE`, since the file may be wrong, half written or deleted at
any moment. So all programs that ask about this machine (the agent, its worker, ordain-source, ordainctl) get the same
answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ordain.transforms.document import validate
from ordain.transforms.document.formats.agent_formats import BOOT_SERVER, url_fault
from ordain.transforms.document.formats.conditions import FACTS
from ordain.transforms.document.formats.secret_names import SECRET
from ordain.transforms.document.keys import agent_keys
from ordain.transforms.document.keys.shapes import Position
from ordain.transforms.document.text import yaml_reader
from ordain.transforms.document.text.node import Node, Unreadable, pointer_below
from ordain.transforms.errors import Problem, Severity, Where, sorted_problems
from ordain.transforms.machine import rootfs
from ordain.transforms.model import Branch, Tree

PATH = "etc/ordain/agent.yaml"
IN_FORCE = "run/ordain/agent.yaml"
CODE = "Settings"
CUTOFF = 0.6
"""The similarity of a misspelled key, see `difflib`; the one for which a message suggests a key."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentYaml:
    """The contents of a file.

    ``values`` are the valid keys by name: a map is a dict, a list a tuple, a label a tuple of its values.
    ``wrong`` are the keys at the top that have an error in them, or whose name is misspelled, in both spellings; ""
    means that nothing in the file could be read.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    wrong: frozenset[str] = frozenset()


def read_in_force(root: Path) -> bytes | None:
    """Return the text that is in force on the machine ``root``, None if there is none.

    Raises `OSError` if it cannot be read.
    """
    kept = rootfs.read(root, IN_FORCE)
    return read_written(root) if kept is None else kept


def read_written(root: Path) -> bytes | None:
    """Return the text of the file of the machine ``root``, None if there is none.

    Raises `OSError` if it cannot be read, and `UnsafeFile` if users other than root could have written it.
    """
    data = rootfs.read(root, PATH)
    if data is not None:
        rootfs.require_own(root / PATH)
    return data


def read(data: bytes, path: str = f"/{PATH}") -> AgentYaml:
    """Return the values in the text ``data`` of an agent.yaml, and every problem; ``path`` names the file in them."""
    try:
        nodes = list(yaml_reader.read(path, data.decode()))
    except UnicodeDecodeError:
        return _nothing(Problem(where=Where(path=path), what="the file is not UTF-8", hint="save it as UTF-8"))
    except Unreadable as unreadable:
        return _nothing(unreadable.problem)
    if len(nodes) > 1:  # a part of the settings would be ignored
        what = "the file has more than one document"
        return _nothing(Problem(where=Where(path=path), what=what, hint="remove the line ---"))
    if not nodes:
        return AgentYaml()
    node = _without_empty(nodes[0])
    problems = [*validate.misfits(node, agent_keys.schema()), *_hidden_source_problems(node)]
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    tree = agent_keys.SETTINGS.canonical(_sound(node, set(map(_left_out, errors))), Position(CODE))
    assert isinstance(tree, Branch)
    values = _values(tree)
    labels = dict(values.get("labels", {}))
    for name in sorted(labels.keys() & FACTS):
        where = replace(node.at(["labels"]).keys[name], pointer=pointer_below("labels", name))
        what = f"a label cannot have the name of a fact: {name}"
        problems.append(Problem(where=where, what=what, hint="choose another name", severity=Severity.WARNING))
    values["labels"] = {name: words for name, words in labels.items() if name not in FACTS and words}
    wrong = {problem.where.pointer.partition("/")[0] for problem in errors}
    return AgentYaml(
        values=values,
        problems=sorted_problems(replace(problem, code=CODE) for problem in problems),
        wrong=frozenset(wrong | _misspelled(wrong, node)),
    )


def _misspelled(wrong: Set[str], node: Node) -> Set[str]:
    """Return the keys that are missing in ``node``, and that one of the unknown keys in ``wrong`` may mean."""
    import difflib  # which few files need

    keys = agent_keys.SETTINGS.keys.keys()
    given = node.value.keys() if isinstance(node.value, Mapping) else keys
    names = [name.casefold() for name in sorted(wrong - keys) if name]
    return {
        key
        for key in keys - given
        if any(key in name or difflib.get_close_matches(name, [key], cutoff=CUTOFF) for name in names)
    }


def _nothing(problem: Problem) -> AgentYaml:
    return AgentYaml(problems=(replace(problem, code=CODE),), wrong=frozenset({""}))


def _without_empty(node: Node) -> Node:
    """Return ``node`` without the keys of `source` that are null or an empty text: both mean the default."""
    source = node.value.get("source") if isinstance(node.value, Mapping) else None
    if source is None or not isinstance(source.value, Mapping):
        return node
    assert isinstance(node.value, Mapping)
    given = {name: child for name, child in source.value.items() if child.value not in (None, "")}
    return replace(node, value={**node.value, "source": replace(source, value=given)})


def _left_out(problem: Problem) -> str:
    """Return the pointer of the value that is ignored: the whole source, as half of it would mean another source."""
    return "source" if problem.where.pointer.startswith("source/") else problem.where.pointer


def _sound(node: Node, wrong: Set[str], pointer: str = "") -> Node:
    """Return ``node`` without the values at the pointers ``wrong``; a wrong file becomes an empty map."""
    if not pointer and ("" in wrong or not isinstance(node.value, Mapping)):
        return replace(node, value={})
    if isinstance(node.value, Mapping):
        entries = {name: (pointer_below(pointer, name), child) for name, child in node.value.items()}
        return replace(
            node, value={name: _sound(child, wrong, at) for name, (at, child) in entries.items() if at not in wrong}
        )
    if isinstance(node.value, tuple):
        items = [(pointer_below(pointer, index), child) for index, child in enumerate(node.value)]
        return replace(node, value=tuple(_sound(child, wrong, at) for at, child in items if at not in wrong))
    return node


def _values(tree: Branch) -> dict[str, Any]:
    """Return the values of a tree by name, without those that are null."""

    def value(child: Tree) -> Any:
        return _values(child) if isinstance(child, Branch) else child.value

    values = {name: value(child) for name, child in tree.children.items()}
    return {name: plain for name, plain in values.items() if plain is not None}


def _hidden_source_problems(root: Node) -> Iterator[Problem]:
    """Yield problems of a source that no schema can find: keys that need each other, and a password in plain text."""
    node = root.value.get("source") if isinstance(root.value, Mapping) else None
    source = node.plain() if node else None
    if node is None or not isinstance(source, dict):
        return

    def problem(key: str, what: str, hint: str, severity: Severity = Severity.ERROR) -> Problem:
        where = replace(node.keys.get(key, node.where), pointer=f"source/{key}".rstrip("/"))
        return Problem(where=where, what=what, hint=hint, severity=severity)

    if ("cert" in source) != ("key" in source):
        hint = "cert: /etc/ordain/node.pem and key: NAME, a credential that holds the private key"
        yield problem("", "cert and key are needed together", hint)
    if "user" in source and "credential" not in source:
        yield problem("user", "a user needs a password", "credential: NAME, a systemd credential")
    given = source.get("endpoints", source.get("url"))
    urls = given if isinstance(given, list) else [given]
    for url in urls if "credential" in source else ():
        if isinstance(url, str) and not url_fault(url, BOOT_SERVER):
            parts = urlsplit(url)
            if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
                what = f"the credential is sent to {parts.netloc} in plain text"
                yield problem("", what, "use https://", Severity.WARNING)
    for url in urls:
        if isinstance(url, str) and not url_fault(url, BOOT_SERVER):
            for name in filter(SECRET.search, parse_qs(urlsplit(url).query)):
                what = f"{name} in the URL looks like a secret, and every user can read it in the status and in units"
                yield problem("", what, "credential: NAME, a systemd credential with a bearer token", Severity.WARNING)
    if source.get("type") == "http" and len(urls) > 1:
        yield problem("url", "only the first URL is used", "write one URL", Severity.WARNING)
