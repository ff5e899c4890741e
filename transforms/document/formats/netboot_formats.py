"""Checks of the strings in ``netboot``, by the ``format`` of a schema. Each raises `ValueError` with a hint."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ordain.transforms.lazy_patterns import lazy_pattern

POLICIES = ONCE, FOLLOW = "once", "follow"
"""When the machine installs: until an installation is complete, or again whenever the documents change."""
PARTITION_TYPES: Mapping[str, str] = {
    "bios": "21686148-6449-6e6f-744e-656564454649",
    "esp": "esp",
    "swap": "swap",
    "root": "root",
    "home": "home",
    "srv": "srv",
    "var": "var",
    "tmp": "tmp",
    "linux-generic": "linux-generic",
}
"""The types of partitions, and the words of repart.d(5) for them; the order is that on the disk."""
ROOT_FILE_SYSTEMS = ("ext4", "xfs", "btrfs")
"""The file systems that a system can be on."""
FILE_SYSTEMS = (*ROOT_FILE_SYSTEMS, "vfat", "swap")
_URL = lazy_pattern(r"(https?|tftp)://[^/]+/.+")
_CHARACTERS = lazy_pattern(r"[A-Za-z0-9._~:/?@!&'()*+,;=%\[\]-]+")
_ARGUMENT = lazy_pattern(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
_PARTITION = lazy_pattern(r"[a-z][a-z0-9-]{0,23}")
_CONTENT = lazy_pattern(r"[A-Za-z0-9_+.-]{1,160}")
_IMAGE = lazy_pattern(
    r"(?P<name>[a-z0-9][a-z0-9._-]{0,63})(:(?P<version>[1-9][0-9]{0,8}))?(@sha256:(?P<digest>[0-9a-f]{64}))?"
)


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


def parse_image(text: str) -> tuple[str, int, str]:
    """Return name, version (0: the latest) and digest ("": any) of a reference to an image.

    >>> parse_image("debian-13:4")
    ('debian-13', 4, '')
    """
    match = _IMAGE.fullmatch(text)
    if match is None:
        raise ValueError(
            "use NAME, NAME:VERSION or NAME:VERSION@sha256:DIGEST, as `ordainctl netboot images` prints it"
        )
    return match["name"], int(match["version"] or 0), match["digest"] or ""


def netboot_image(text: str) -> None:
    """Check a reference to an image."""
    parse_image(text)


def partition_name(text: str) -> None:
    """Check the name of a partition of an installation."""
    if not _PARTITION.fullmatch(text):
        raise ValueError("use at most 24 lower-case letters, digits and -, and a letter first")


def content_of_disk(text: str) -> None:
    """Check the name of the content of a disk, as the machine that refuses it prints it."""
    if not _CONTENT.fullmatch(text):
        raise ValueError("copy it from the message of the machine, such as gpt-0c5d4e1a-… or ext4-71ba…")


FORMATS: dict[str, Callable[[str], None]] = {
    "netboot-file": netboot_file,
    "netboot-image": netboot_image,
    "kernel-argument": kernel_argument,
    "partition-name": partition_name,
    "content-of-disk": content_of_disk,
}
