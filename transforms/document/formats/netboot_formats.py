"""Checks of the strings in ``netboot``, by the ``format`` of a schema. Each raises `ValueError` with a hint."""

from __future__ import annotations

import re
from collections.abc import Callable

_URL = re.compile(r"(https?|tftp)://[^/]+/.+")
_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?@!&'()*+,;=%\[\]-]+")
_ARGUMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")


def netboot_file(text: str) -> None:
    """Check a URL that iPXE fetches, or a normal path below the files of the server."""
    if not _CHARACTERS.fullmatch(text):
        raise ValueError("use letters, digits and ._~:/?@!&'()*+,;=%[]-; write others as %20 and so on")
    if "://" in text:
        if not _URL.fullmatch(text):
            raise ValueError("use http://, https:// or tftp://, a host and a path")
    elif any(part in {"", ".", ".."} for part in text.split("/")) or set(text) & set("?%:"):
        raise ValueError("use a path below the files of the server, without a leading /, //, . and .., or a URL")


def kernel_argument(text: str) -> None:
    """Check the name of a kernel argument, without its value."""
    if not _ARGUMENT.fullmatch(text):
        raise ValueError("use letters, digits and _.:/-; its value comes after the colon, as in `console: ttyS0`")


FORMATS: dict[str, Callable[[str], None]] = {"netboot-file": netboot_file, "kernel-argument": kernel_argument}
