"""netboot status, fleet discovered, fleet adopt, fleet boot: the machines that asked a boot server."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ordain.agent.cli.boot.netboot_images import SHORT
from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.documents.document_files import read_valid
from ordain.agent.cli.json_shapes import JsonAdopted, JsonNetbootMachine
from ordain.agent.cli.labels import parse_labels
from ordain.agent.cli.moments import spoken_ago
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.agent.netboot.boot_count import rolls_back
from ordain.agent.netboot.images import find_image
from ordain.agent.netboot.machine_records import NetbootRecord, once_path, read_records
from ordain.agent.system import atomic_files
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused, did_you_mean, only_errors
from ordain.transforms.model import Document, Kind
from ordain.transforms.netboot.boot_image import ImageReference, parse_reference
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
        ("MACHINE", "NODE", "IMAGE", "LAST REQUEST", "LAST GOOD BOOT"),
        [
            (
                record.machine,
                record.node or ("discovered", Style.DIM),
                _image(record.good_image if rolls_back(record) else record.image),
                spoken_ago(now - record.last),
                spoken_ago(now - record.reported) if record.reported else ("never reported", Style.DIM),
            )
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
            (record.machine, *(record.said.get(name, "") for name in facts), spoken_ago(now - record.last))
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
    labels = {name: values[-1] for name, values in parse_labels(request.label).items()}
    text = node_text(request.name, machine, labels)
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


def boot(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet boot`."""
    folder = Path(request.state)
    records = read_records(folder)
    wanted = parse_mac(request.machine) or request.machine
    matching = [record for record in records if wanted in (record.machine, record.node)]
    if not matching:
        hint = did_you_mean(wanted, [name for record in records for name in (record.machine, record.node) if name])
        raise Failure(f"no machine {wanted} has asked this boot server" + (f"; {hint}" if hint else ""))
    if len(matching) > 1:
        named = ", ".join(record.machine for record in matching)
        raise Failure(f"{wanted} matches {len(matching)} machines; name one of {named}")
    path = once_path(folder, matching[0].machine)
    try:
        if request.once:
            reference = _parsed(request.once)
            if request.files:
                reference = find_image(Path(request.files), reference).reference
            atomic_files.replace(path, f"{reference}\n".encode(), atomic_files.PUBLIC)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, path)) from None
    named = matching[0].node or matching[0].machine
    if request.once:
        console.line(f"{named}: the next boot starts {reference}, and later ones what its documents say", Style.GOOD)
    else:
        console.line(f"{named}: the next boot starts what its documents say", Style.GOOD)
    return Exit.OK


def _parsed(text: str) -> ImageReference:
    try:
        return parse_reference(text)
    except ValueError as error:
        raise Usage(f"--once {text}: {error}") from None


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
        boots=record.boots,
        good_image=record.good_image,
        reported=record.reported,
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


def _image(text: str) -> str:
    if not text:
        return "none"
    reference = parse_reference(text)
    return f"{reference.name}:{reference.version} ({reference.digest[:SHORT]})"
