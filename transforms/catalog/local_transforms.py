"""The Transforms of the administrator of a machine, as files; `catalog.machine_catalog` reads them."""

from __future__ import annotations

from pathlib import Path

from ordain.transforms.document.text.node import MAX_BYTES, is_document_name
from ordain.transforms.machine import rootfs

TRANSFORMS = "etc/ordain/transforms"
"""The directory of the administrator's Transforms."""


def local_transforms(root: Path) -> tuple[tuple[str, bytes], ...]:
    """Return the Transforms of the administrator as pairs of a path and its content.

    Raises `OSError` for a file that cannot be read, and `UnsafeFile` for one that others than root could have written.
    """
    directory = root / TRANSFORMS
    if not directory.is_dir():
        return ()
    rootfs.require_own(directory)
    names = sorted(path.name for path in directory.iterdir() if is_document_name(path.name))
    return tuple((f"/{TRANSFORMS}/{name}", _content(directory / name)) for name in names)


def _content(path: Path) -> bytes:
    """Return the bytes of a file, up to one more than a document may have, so that its reader notices the excess."""
    rootfs.require_own(path, above=path.is_symlink())
    return rootfs.first_bytes(path, MAX_BYTES + 1)
