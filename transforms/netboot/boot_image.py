"""Images that machines start from the network into RAM: their names in documents, and the content of one.

    "debian-13:4@sha256:6a1f…"  ─parse_reference▶ `ImageReference`

An image is a kernel, an initrd that fetches the root, and the archive of the root. Its digest is that of the text of
its `BootImage` (docs/design/file-formats.md), which has the digests of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ordain.transforms.document.formats.netboot_formats import parse_image

IMAGES = "images"
"""The directory of the images, below that of the files of the server."""
RELEASE = "ordain.release"
"""The argument of the kernel with the release that a machine boots, as CHANNEL:NUMBER, for `RolloutGate`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """The name of an image; ``version`` 0 is the latest, and ``digest`` "" any."""

    name: str
    version: int = 0
    digest: str = ""

    def __str__(self) -> str:
        """Return the text that `parse_reference` reads."""
        version = f":{self.version}" if self.version else ""
        return f"{self.name}{version}" + (f"@sha256:{self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """One file of an image: its size in bytes, and its SHA-256."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BootImage:
    """The content of an image. ``memory`` is the number of bytes of memory that the unpacked root takes.

    ``os`` is ID and VERSION_ID of its os-release, ``release`` that of its kernel, and ``generation`` the hash of the
    generation that is baked in, "" if there is none.
    """

    os: str
    release: str
    generation: str
    memory: int
    kernel: ImageFile
    initrd: ImageFile
    root: ImageFile


FILES = ("kernel", "initrd", "root")
"""The names of the files of an image, which are the names of their fields in `BootImage`."""


def parse_reference(text: str) -> ImageReference:
    """Return the reference that ``text`` is. Raises `ValueError` with a hint.

    >>> parse_reference("debian-13:4").version
    4
    """
    name, version, digest = parse_image(text)
    return ImageReference(name=name, version=version, digest=digest)
