"""netboot status, fleet discovered, fleet adopt: the machines that asked a boot server."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ordain.agent.cli.boot.netboot_images import SHORT
from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.documents.document_files import read_valid
from ordain.agent.cli.json_shapes import JsonAdopted, JsonNetbootMachine
from ordain.agent.cli.moments import spoken_span
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.agent.netboot.machine_records import NetbootRecord, read_records
from ordain.agent.system import atomic_files
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused, did_you_mean, only_errors
from ordain.transforms.model import Document, Kind
from ordain.transforms.netboot.boot_image import parse_reference
from ordain.transforms.netboot.boot_target import netboot_documents, node_of
from ordain.transforms.netboot.machine_query import BEFORE_ANY_SYSTEM, parse_mac


def status(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl netboot status`."""
    records = read_records(Path(request.state))
    failing = [record for record in records if record.problems]
    if request.json:
        console.json([json_of(record) for record in records])
        return Exit.DEGRADED if failing else Exit.OK
    now = time.time()
    console.table(
        ("MACHINE", "NODE", "IMAGE", "LAST REQUEST"),
        [
            (record.machine, record.node or ("discovered", Style.DIM), _image(record), _ago(now - record.last))
            for record in records
        ],
    )
    for record in failing:
        for problem in record.problems:
            console.line(f"{record.node or record.machine}: {problem}", Style.WARN)
    return Exit.DEGRADED if failing else Exit.OK


def discovered(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet discovered`."""
    records = [record for record in read_records(Path(request.state)) if not record.node]
    if request.json:
        console.json([json_of(record) for record in records])
        return Exit.OK
    now = time.time()
    facts = ("system-manufacturer", "system-product-name", "system-serial-number", "arch", "system-firmware")
    console.table(
        ("MACHINE", "MANUFACTURER", "PRODUCT", "SERIAL", "ARCH", "FIRMWARE", "LAST REQUEST"),
        [
            (record.machine, *(record.said.get(name, "") for name in facts), _ago(now - record.last))
            for record in records
        ],
    )
    return Exit.OK


def adopt(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet adopt`."""
    machine = parse_mac(request.mac)
    if not machine:
        raise Usage(f"MAC must be a MAC address such as 52:54:00:12:34:56, not {request.mac!r}")
    if request.state:
        _require_discovered(machine, read_records(Path(request.state)))
    text = node_text(request.name, machine, _labels(request.label))
    path = f"{request.name}.yaml"
    _, problems = read(path, text.encode())
    if only_errors(problems):
        raise Refused(problems)
    if not request.documents:
        if request.json:
            console.json(JsonAdopted(document=text, path=""))
        else:
            console.text(text)
        return Exit.OK
    target = Path(request.documents) / path
    _require_new(request.name, machine, read_valid([request.documents])[0])
    try:
        if target.exists():
            raise Failure(f"{target}: the file exists; choose another --name, or edit the file")
        atomic_files.replace(target, text.encode(), atomic_files.PUBLIC)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, target)) from None
    if request.json:
        console.json(JsonAdopted(document=text, path=str(target)))
    else:
        console.line(f"wrote {target}: {machine} is {request.name} from its next boot on", Style.GOOD)
    return Exit.OK


def node_text(name: str, machine: str, labels: Mapping[str, str]) -> str:
    """Return the Node of a machine with a MAC address."""
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in labels.items()}
    shown = "".join(f"  {key}: {value}\n" for key, value in quoted.items())
    head = f'ordain: v1\nkind: Node\nname: {json.dumps(name, ensure_ascii=False)}\nmatch: {{mac: "{machine}"}}\n'
    return head + (f"labels:\n{shown}" if shown else "")


def json_of(record: NetbootRecord) -> JsonNetbootMachine:
    """Return a record as `--json` prints it."""
    return JsonNetbootMachine(
        machine=record.machine,
        node=record.node,
        image=record.image,
        first=record.first,
        last=record.last,
        said=record.said,
        script=record.script,
        problems=record.problems,
    )


def _require_discovered(machine: str, records: Iterable[NetbootRecord]) -> None:
    known = {record.machine: record for record in records}
    if machine not in known:
        hint = did_you_mean(machine, known)
        raise Failure(f"{machine} has not asked this boot server" + (f"; {hint}" if hint else ""))


def _require_new(name: str, machine: str, documents: Iterable[Document]) -> None:
    documents = tuple(documents)
    same = [document for document in documents if document.kind is Kind.NODE and document.name == name]
    if same:
        raise Failure(f"{same[0].where}: there is a Node {name}; choose another --name, or add the machine there")
    node = node_of(netboot_documents(documents), replace(BEFORE_ANY_SYSTEM, mac=(machine,)))
    if node:
        raise Failure(f"the Node {node} already matches {machine}; edit that one")


def _labels(words: Iterable[str]) -> Mapping[str, str]:
    labels: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise Usage(f"--label must be KEY=VALUE, not {word!r}")
        labels[name] = value
    return labels


def _image(record: NetbootRecord) -> Cell:
    if not record.image:
        return "none"
    reference = parse_reference(record.image)
    return f"{reference.name}:{reference.version} ({reference.digest[:SHORT]})"


def _ago(seconds: float) -> str:
    return "just now" if seconds < 10 else f"{spoken_span(seconds)} ago"
