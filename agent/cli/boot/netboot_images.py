"""netboot images, netboot prune: the images in the directory of a boot server."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import read_valid
from ordain.agent.cli.json_shapes import JsonNetbootImage, JsonPrunedImages
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.agent.netboot.images import StoredImage, list_images, remove_image, unused_images
from ordain.agent.netboot.machine_records import read_records
from ordain.transforms.model import Document
from ordain.transforms.netboot.boot_image import ImageReference, parse_reference
from ordain.transforms.netboot.boot_target import SECTION

SHORT = 12
KEEP = 2
"""The versions of each image that stay by default: the latest, and the one to roll back to."""


def images(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl netboot images`."""
    images = list_images(_directory(request))
    if request.json:
        console.json([json_of(image) for image in images])
        return Exit.OK
    console.table(
        ("IMAGE", "DIGEST", "SYSTEM", "KERNEL", "TO FETCH", "IN MEMORY"),
        [
            (
                f"{image.reference.name}:{image.reference.version}",
                image.reference.digest[:SHORT],
                image.content.os,
                image.content.release,
                megabytes(image.size),
                megabytes(image.content.memory),
            )
            for image in images
        ],
    )
    return Exit.OK


def prune(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl netboot prune`."""
    files = _directory(request)
    keep = _count(request.keep) if request.keep else KEEP
    named = tuple(_named(read_valid([request.documents])[0]))
    records = read_records(Path(request.state))
    references = {reference for record in records for reference in (record.image, record.good_image) if reference}
    running = {parse_reference(reference).digest for reference in references}
    stored = list_images(files)
    unused = unused_images(stored, named, running, keep)
    if not request.dry_run:
        for image in unused:
            remove_image(image)
    kept = [image for image in stored if image not in unused]
    if request.json:
        console.json(JsonPrunedImages(removed=[*map(json_of, unused)], kept=[*map(json_of, kept)]))
        return Exit.OK
    verb = "would remove" if request.dry_run else "removed"
    for image in unused:
        console.line(f"{verb} {image.reference.name}:{image.reference.version} ({megabytes(image.size)})")
    console.line(f"{plural(len(kept), 'image')} kept, {len(unused)} removed", Style.GOOD)
    return Exit.OK


def _named(documents: Iterable[Document]) -> Iterator[ImageReference]:
    """Yield the images that documents name. Raises `Failure` if one of them depends on the machine."""
    for document in documents:
        leaf = document.sections.branch(SECTION).leaf("image")
        if leaf is None or leaf.value is None:
            continue
        if not isinstance(leaf.value, str):
            raise Failure(f"{leaf.where}: the image comes from a template, so that any version may be in use; name it")
        yield parse_reference(leaf.value)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) == int(text)):
        raise Usage(f"--keep {text}: not a number of versions, 1 or more")
    return int(text)


def json_of(image: StoredImage) -> JsonNetbootImage:
    """Return an image as `--json` prints it."""
    return JsonNetbootImage(
        reference=str(image.reference),
        name=image.reference.name,
        version=image.reference.version,
        digest=image.reference.digest,
        size=image.size,
        memory=image.content.memory,
        os=image.content.os,
        release=image.content.release,
        generation=image.content.generation,
    )


def megabytes(size: int) -> str:
    """Return a number of bytes in megabytes, rounded up."""
    return f"{-(-size // (1 << 20)):,} MB"


def _directory(request: Namespace) -> Path:
    path = Path(request.files)
    if not path.is_dir():
        raise Failure(f"{path}: directory not found; name the one of `ordainctl serve --files`")
    return path
