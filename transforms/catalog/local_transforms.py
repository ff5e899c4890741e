"""The Transforms of the administrator of a machine, as files; `catalog.machine_catalog` reads them."""

from __future__ import annotations

from pathlib import Path

from ordain.transforms.document.text.node import is_document_name

TRANSFORMS = "etc/ordain/transforms"
"""The directory of the administrator's Transforms."""


def local_transforms(root: Path) -> tuple[tuple[str, bytes], ...]:
    """Return the Transforms of the administrator as pairs of a path and its content."""
    directory = root / TRANSFORMS
    if not directory.is_dir():
        return ()
    names = sorted(path.name for path in directory.iterdir() if is_document_name(path.name))
    return tuple((f"/{TRANSFORMS}/{name}", (directory / name).read_bytes()) for name in names)
