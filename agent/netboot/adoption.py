"""A machine that asked a boot server becomes a Node among its documents.

name, MAC address, labels ─node_text▶ text of the document      documents ─require_new▶ nothing is there yet
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.system import atomic_files
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused, only_errors
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Document, Kind
from ordain.transforms.netboot.boot_target import netboot_documents, node_of
from ordain.transforms.netboot.machine_query import BEFORE_ANY_SYSTEM

_PLAIN = lazy_pattern(r"[A-Za-z][A-Za-z0-9._-]*")


def node_text(name: str, machine: str, labels: Mapping[str, str]) -> str:
    """Return the Node of a machine with a MAC address. Raises `Refused` if it is not a valid document."""
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in labels.items()}
    shown = "".join(
        f"  {key if _PLAIN.fullmatch(key) else json.dumps(key)}: {value}\n" for key, value in quoted.items()
    )
    head = f'ordain: v1\nkind: Node\nname: {json.dumps(name, ensure_ascii=False)}\nmatch: {{mac: "{machine}"}}\n'
    text = head + (f"labels:\n{shown}" if shown else "")
    documents, problems = read(f"{name}.yaml", text.encode())
    if only_errors(problems):
        raise Refused(problems)
    assert [document.name for document in documents] == [name]
    return text


def require_new(name: str, machine: str, documents: Iterable[Document]) -> None:
    """Raise `Failure` if a Node among ``documents`` has this name, or matches this machine."""
    documents = tuple(documents)
    same = [document for document in documents if document.kind is Kind.NODE and document.name == name]
    if same:
        raise Failure(f"{same[0].where}: there is a Node {name}; choose another name, or add the machine there")
    node = node_of(netboot_documents(documents), replace(BEFORE_ANY_SYSTEM, mac=(machine,)))
    if node:
        raise Failure(f"the Node {node} already matches {machine}; edit that one")


def write_node(folder: Path, name: str, text: str) -> Path:
    """Write the document of a new Node below ``folder``, and return its path. Raises `Failure`."""
    target = folder / f"{name}.yaml"
    try:
        if target.exists():
            raise Failure(f"{target}: the file exists; choose another name, or edit the file")
        atomic_files.replace(target, text.encode(), atomic_files.PUBLIC)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, target)) from None
    return target
