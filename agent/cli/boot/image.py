"""image: adds documents to a root file system that is not running, and packs it for boots from the network."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from ordain.agent.cli.boot.netboot_images import json_of, megabytes
from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import contents
from ordain.agent.cli.json_shapes import JsonImage, json_problems
from ordain.agent.cli.parse import Usage
from ordain.agent.compile.image import BakedImage, bake, check_tree, has_documents
from ordain.agent.model import to_json
from ordain.agent.netboot.images import StoredImage
from ordain.agent.netboot.pack import pack
from ordain.agent.packages.image_packages import ImageInstallation, install_in_image
from ordain.transforms.document.formats.netboot_formats import parse_image
from ordain.transforms.errors import Refused, Severity

NOTHING_INSTALLED = ImageInstallation(changes=(), conditions=())


def image(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl image`."""
    name = _name(request)
    texts, problems = contents(request.file)
    if problems:
        raise Refused(problems)
    root = Path(request.directory).absolute()
    baked, installation = None, NOTHING_INSTALLED
    if texts or not request.netboot or has_documents(root):
        baked = bake(root, texts)
        if request.install and baked.generation.packages:
            installation = install_in_image(root, baked.generation)
            again = bake(root, ())  # with the units that came with the packages
            baked = replace(again, written=(*baked.written, *again.written))
    else:
        check_tree(root)
    stored, new = None, False
    if request.netboot:
        generation = baked.generation.hash if baked else ""
        stored, new = pack(root, Path(request.netboot).absolute(), name=name, generation=generation)
    if request.json:
        console.json(_json(baked, stored, installation))
    else:
        _print_packages(installation, console)
        if baked:
            _print(baked, console)
        if stored:
            _print_netboot(stored, new, console)
    blocked = baked is not None and any(problem.severity is Severity.BLOCKED for problem in baked.problems)
    failed = any(condition.fault for condition in installation.conditions)
    return Exit.DEGRADED if blocked or failed else Exit.OK


def _print_packages(installation: ImageInstallation, console: Console) -> None:
    for change in installation.changes:
        console.line(" ".join(filter(None, (change.action, change.name, change.version))))
    for condition in installation.conditions:
        console.note(f"{condition.what} [{condition.code}]", Style.WARN)


def _name(request: Namespace) -> str:
    """Return the name of the image for boots from the network. Raises `Usage`."""
    if not request.name:
        return ""
    if not request.netboot:
        raise Usage("--name is used with --netboot only")
    try:
        name, version, digest = parse_image(request.name)
    except ValueError:
        name, version, digest = "", 0, ""
    if not name or version or digest:
        raise Usage(f"--name must be lower-case letters, digits and ._-, not {request.name!r}; versions are numbered")
    return name


def _json(baked: BakedImage | None, stored: StoredImage | None, installation: ImageInstallation) -> JsonImage:
    shown = JsonImage(
        hash=baked.generation.hash if baked else "",
        documents=baked.documents if baked else 0,
        written=baked.written if baked else (),
        unknown=baked.unknown if baked else (),
        problems=json_problems(baked.problems if baked else ()),
    )
    if installation != NOTHING_INSTALLED:
        shown["packages"] = [to_json(change) for change in installation.changes]
        shown["conditions"] = [to_json(condition) for condition in installation.conditions]
    if stored:
        shown["netboot"] = json_of(stored)
    return shown


def _print(baked: BakedImage, console: Console) -> None:
    console.problems(baked.problems)
    for path in baked.written:
        console.line(f"wrote {path}")
    if baked.unknown:
        facts = ", ".join(baked.unknown)
        console.line(f"{facts}: known only in the boot; the agent will add the layers that match on it")
    files = plural(len(baked.generation.artifacts), "file")
    documents = plural(baked.documents, "document")
    console.line(f"generation {baked.generation.hash[:12]}: {documents}, {files}", Style.GOOD)


def _print_netboot(stored: StoredImage, new: bool, console: Console) -> None:
    sizes = f"{megabytes(stored.size)} to fetch, {megabytes(stored.content.memory)} in memory"
    console.line(f"{stored.path}: {sizes}" if new else f"{stored.path}: the latest version already has this content")
    console.line(f"image {stored.reference}", Style.GOOD)
