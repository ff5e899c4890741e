"""The images in the directory of a boot server: found by their names in documents, listed, added and removed.

    FILES/images/NAME/VERSION/   image.json (a `BootImage`), kernel, initrd, root

A version is a number, and a higher one is later. A directory becomes a version as a whole, so that no server and no
machine ever sees a part of an image.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.system import atomic_files
from ordain.transforms.netboot import ipxe_script
from ordain.transforms.netboot.boot_image import FILES, IMAGES, BootImage, ImageReference, parse_reference
from ordain.transforms.netboot.boot_target import BootTarget

CONTENT = "image.json"
MAX_CONTENT = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image below a directory of files; ``reference`` has its version and digest, ``path`` is its directory."""

    reference: ImageReference
    path: Path
    content: BootImage

    @property
    def location(self) -> str:
        """Its path below the directory of files."""
        return f"{IMAGES}/{self.reference.name}/{self.reference.version}"

    @property
    def size(self) -> int:
        """The number of bytes of its files."""
        return sum(getattr(self.content, name).size for name in FILES)


def list_images(files: Path) -> tuple[StoredImage, ...]:
    """Return all images that can be read, sorted by name and version."""
    try:
        names = sorted(entry.name for entry in (files / IMAGES).iterdir())
    except OSError:
        return ()
    images = [image for name in names for image in _versions(files, name) if image is not None]
    return tuple(images)


def find_image(files: Path, wanted: ImageReference) -> StoredImage:
    """Return the image that ``wanted`` names. Raises `Failure` with the reason if there is none."""
    numbers = _numbers(files, wanted.name)
    number = wanted.version or max(numbers, default=0)
    if number not in numbers:
        known = ", ".join(f"{wanted.name}:{n}" for n in sorted(numbers)[-3:])
        others = f"; the latest are {known}" if known else ""
        raise Failure(f"image {wanted}: not found below {files / IMAGES}{others}; make it with `ordainctl image`")
    image = read_image(files, wanted.name, number)
    if wanted.digest and image.reference.digest != wanted.digest:
        raise Failure(f"image {wanted}: the image on this server has the digest sha256:{image.reference.digest}")
    return image


def read_image(files: Path, name: str, number: int) -> StoredImage:
    """Return one version of an image. Raises `Failure` if it cannot be read, or if one of its files is not whole."""
    path = files / IMAGES / name / str(number)
    try:
        data = atomic_files.read(path / CONTENT, MAX_CONTENT)
        content = from_json(BootImage, json.loads(data))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Failure(f"{path / CONTENT}: {reason}; make the image again with `ordainctl image`") from None
    for file in FILES:
        try:
            size = (path / file).stat().st_size
        except OSError as error:
            raise Failure(atomic_files.describe_error(error, path / file)) from None
        if size != getattr(content, file).size:
            wanted = getattr(content, file).size
            raise Failure(f"{path / file}: it has {size:,} bytes and should have {wanted:,}; make the image again")
    reference = ImageReference(name=name, version=number, digest=hashlib.sha256(data).hexdigest())
    return StoredImage(reference=reference, path=path, content=content)


def image_of(target: BootTarget, files: Path) -> StoredImage:
    """Return the image that ``target`` names. Raises `Failure` with the place in the documents."""
    assert target.image is not None
    where = target.image.leaf.where
    try:
        return find_image(files, parse_reference(target.image.text))
    except ValueError as error:
        raise Failure(f"{where}: {target.image.text}: {error}") from None
    except Failure as failure:
        raise Failure(f"{where}: {failure}") from None


def script_of(target: BootTarget, image: StoredImage | None) -> str:
    """Return the script that starts ``target`` with its image."""
    if image is None:
        return ipxe_script.answer(target)
    return ipxe_script.answer(target, image.content, image.location)


def add_image(files: Path, name: str, made: Path, content: BootImage) -> tuple[StoredImage, bool]:
    """Make the directory ``made``, on the same file system, the next version of the image.

    Return the image, and whether it is new: if the latest version has the same digest, ``made`` is removed.
    Raises `Failure`.
    """
    data = json.dumps(to_json(content), indent=1, sort_keys=True).encode() + b"\n"
    latest = max(_numbers(files, name), default=0)
    if latest:
        try:
            image = read_image(files, name, latest)
        except Failure:
            image = None
        if image is not None and image.reference.digest == hashlib.sha256(data).hexdigest():
            shutil.rmtree(made)
            return image, False
    target = files / IMAGES / name / str(latest + 1)
    try:
        atomic_files.write(made / CONTENT, data, 0o644)
        atomic_files.sync_folder(made)
        atomic_files.make_folder(target.parent)
        made.rename(target)
        atomic_files.sync_folder(target.parent)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, target)) from None
    return read_image(files, name, latest + 1), True


def unused_images(
    images: Iterable[StoredImage], named: Iterable[ImageReference], running: Iterable[str], keep: int
) -> tuple[StoredImage, ...]:
    """Return the images that no document and no machine needs, apart from the latest ``keep`` of each name.

    ``named`` are the references in documents, and ``running`` the digests of the images that machines run.
    """
    images, named, running = tuple(images), tuple(named), frozenset(running)
    latest: dict[str, list[int]] = {}
    for image in images:
        latest.setdefault(image.reference.name, []).append(image.reference.version)
    kept = {(name, number) for name, numbers in latest.items() for number in sorted(numbers)[-keep:]}
    kept |= {(name, max(numbers)) for name, numbers in latest.items() if any(r.name == name for r in named)}
    kept |= {(reference.name, reference.version) for reference in named}
    digests = running | {reference.digest for reference in named if reference.digest}
    return tuple(
        image
        for image in images
        if (image.reference.name, image.reference.version) not in kept and image.reference.digest not in digests
    )


def remove_image(image: StoredImage) -> None:
    """Remove an image: first its name, so that no machine begins to fetch what vanishes. Raises `Failure`."""
    gone = image.path.with_name(f".{image.path.name}.removed")
    try:
        shutil.rmtree(gone, ignore_errors=True)
        image.path.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, image.path)) from None


def _numbers(files: Path, name: str) -> frozenset[int]:
    try:
        names = [entry.name for entry in (files / IMAGES / name).iterdir()]
    except OSError:
        return frozenset()
    return frozenset(int(text) for text in names if text.isascii() and text.isdigit() and text[0] != "0")


def _versions(files: Path, name: str) -> Iterable[StoredImage | None]:
    for number in sorted(_numbers(files, name)):
        try:
            yield read_image(files, name, number)
        except Failure:
            yield None
