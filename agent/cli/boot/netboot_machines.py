"""netboot status, fleet discovered, fleet adopt, fleet boot: the machines that asked a boot server."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from ordain.agent.cli.boot.netboot_images import SHORT
from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.documents.document_files import read_valid
from ordain.agent.cli.json_shapes import JsonAdopted, JsonNetbootMachine
from ordain.agent.cli.labels import parse_labels
from ordain.agent.cli.moments import spoken_ago
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.agent.netboot.adoption import node_text, require_new, write_node
from ordain.agent.netboot.boot_count import rolls_back
from ordain.agent.netboot.images import find_image
from ordain.agent.netboot.machine_records import NetbootRecord, read_records, record_named, write_once
from ordain.transforms.errors import did_you_mean
from ordain.transforms.netboot.boot_image import ImageReference, parse_reference
from ordain.transforms.netboot.ipxe_script import installation_of
from ordain.transforms.netboot.machine_query import parse_mac

_TITLES = ("MACHINE", "NODE", "IMAGE", "LAST REQUEST", "LAST GOOD BOOT")


def status(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl netboot status`."""
    records = read_records(Path(request.state))
    failing = [record for record in records if record.problems]
    if request.json:
        console.json([json_of(record) for record in records])
        return Exit.DEGRADED if failing else Exit.OK
    now = time.time()
    rows = [_row(record, now) for record in records]
    if any(_installs(record) for record in records):
        rows = [(*row, _installation(record, now)) for row, record in zip(rows, records, strict=True)]
        console.table((*_TITLES, "INSTALLED"), rows)
    else:
        console.table(_TITLES, rows)
    for record in records:
        if record.waiting:
            console.line(f"{record.node or record.machine} boots release {record.release}: {record.waiting}", Style.DIM)
    for record in failing:
        for problem in record.problems:
            console.line(f"{record.node or record.machine}: {problem}", Style.WARN)
    return Exit.DEGRADED if failing else Exit.OK


def _row(record: NetbootRecord, now: float) -> tuple[Cell, ...]:
    return (
        record.machine,
        record.node or ("discovered", Style.DIM),
        _image(record.good_image if rolls_back(record) else record.image),
        spoken_ago(now - record.last),
        spoken_ago(now - record.reported) if record.reported else ("never reported", Style.DIM),
    )


def _installs(record: NetbootRecord) -> bool:
    """Return whether a machine has an image on its disk, or should have."""
    return bool(record.installed or record.not_installed or installation_of(record.script))


def _installation(record: NetbootRecord, now: float) -> Cell:
    """Return the image on the disk of a machine, and when the machine last said that it is complete."""
    if record.installed:
        when = f", {spoken_ago(now - record.installed_at)}" if record.installed_at else ""
        return (_image(record.installed_image) if record.installed_image else "another image") + when
    if record.not_installed:
        return "not installed", Style.WARN
    return ("not yet", Style.DIM) if _installs(record) else "no"


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
    path = ""
    if request.documents:
        require_new(request.name, machine, read_valid([request.documents])[0])
        path = str(write_node(Path(request.documents), request.name, text))
    if request.json:
        console.json(JsonAdopted(document=text, path=path))
    elif path:
        console.line(f"wrote {path}: {machine} is {request.name} from its next boot on", Style.GOOD)
    else:
        console.text(text)
    return Exit.OK


def boot(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet boot`."""
    folder = Path(request.state)
    record = record_named(read_records(folder), request.machine)
    named, image = record.node or record.machine, ""
    starts = "what its documents say"
    if request.once:
        reference = _parsed(request.once)
        if request.files:
            reference = find_image(Path(request.files), reference).reference
        image, starts = str(reference), f"{reference}, and later ones what its documents say"
    write_once(folder, record.machine, image)
    console.line(f"{named}: the next boot starts {starts}", Style.GOOD)
    return Exit.OK


def _parsed(text: str) -> ImageReference:
    try:
        return parse_reference(text)
    except ValueError as error:
        raise Usage(f"--once {text}: {error}") from None


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
        installed=record.installed,
        installed_image=record.installed_image,
        installed_at=record.installed_at,
        not_installed=record.not_installed,
        problems=record.problems,
        channel=record.channel,
        release=record.release,
        waiting=record.waiting,
        log=record.log,
    )


def _require_discovered(machine: str, records: Iterable[NetbootRecord]) -> None:
    known = {record.machine: record for record in records}
    if machine not in known:
        hint = did_you_mean(machine, known)
        raise Failure(f"{machine} has not asked this boot server" + (f"; {hint}" if hint else ""))


def _image(text: str) -> str:
    if not text:
        return "none"
    reference = parse_reference(text)
    return f"{reference.name}:{reference.version} ({reference.digest[:SHORT]})"
