"""netboot images: the images in the directory of a boot server."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console
from ordain.agent.cli.json_shapes import JsonNetbootImage
from ordain.agent.errors import Failure
from ordain.agent.netboot.images import StoredImage, list_images

SHORT = 12


def images(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl netboot images`."""
    found = list_images(_directory(request))
    if request.json:
        console.json([json_of(image) for image in found])
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
            for image in found
        ],
    )
    return Exit.OK


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
