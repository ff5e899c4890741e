"""Documents in files of this machine, read without waiting. Imports little, because the first boot waits for this.

/etc/ordain/documents/*                                                                  ─read_folder▶ texts
/run/ordain/document.json, /run/ordain/documents/*, the credential ordain.document ─read_boot_documents▶ texts
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ordain.agent.delivery.protocol import SourceError
from ordain.agent.model import RawDocuments
from ordain.generator.cache import CacheError
from ordain.generator.choose import read_trusted
from ordain.generator.first_boot import CREDENTIAL, HANDED_DIRECTORY, HANDED_OVER
from ordain.transforms.document.text.node import MAX_BYTES, is_document_name
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs

SERVER_DOCUMENTS = (f"{HANDED_DIRECTORY}/source.yaml", f"{HANDED_DIRECTORY}/source.json")
"""The documents that a boot server gave to an initrd (packaging/initrd/handover)."""
MAX_TOTAL_BYTES = 64 << 20
"""The limit for all documents together. `reader.read` refuses a single document that is too large, by its name."""

LEFT_OUT = ("~", ".bak", ".orig", ".old", ".save", ".tmp", ".new", ".rpmnew", ".rpmsave", ".disabled", ".off")
"""The ends of names that say that a file is not meant to be read."""
DOCUMENT_HEAD = lazy_pattern(rb'^\s*"?ordain"?\s*:', re.MULTILINE)
FIRST_BYTES = 4096
NOT_READ = "it holds a document, but is not read: its name does not end in .yaml, .yml or .json"

_Mark = tuple[int, int, int, int]


def read_folder(root: Path, path: str, shown: str = "") -> RawDocuments | None:
    """Return the documents in the directory ``path`` below ``root``; None if somebody wrote there meanwhile.

    ``shown`` is the directory as their paths call it, if it is another text than ``path``.

    Links lead to files below ``root`` only: an image gets no file of the machine on which it is made.
    Raises `SourceError`.
    """
    folder = rootfs.chase(root, path)
    before = _marks(root, folder)
    for file in (folder, *(folder / name for name in before)):
        try:
            rootfs.require_own(file, above=file == folder or file.is_symlink())
        except rootfs.UnsafeFile as unsafe:
            raise SourceError(f"{unsafe.filename}: {unsafe.strerror}", hint=unsafe.hint) from None
    try:
        texts = tuple((f"{shown or path}/{name}", _head(_file(root, folder, name))) for name in before)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(error) from error
    return texts if _marks(root, folder) == before else None


def read_boot_documents(root: Path, source: str = "") -> RawDocuments:
    """Return the documents that came with this boot, sorted by path.

    ``source`` is the path to show for the documents that the initrd got from a boot server. If the agent will follow
    that server, it will call its documents the same. Then both compile to the same units, and the agent changes
    nothing.

    Raises `SourceError` if a file cannot be read, is too large, or could have been written by users other than root.
    """
    names = filter(is_document_name, rootfs.names(root, HANDED_DIRECTORY))
    texts = []
    for path in (*HANDED_OVER, *(f"{HANDED_DIRECTORY}/{name}" for name in names)):
        try:
            data = read_trusted(str(_real_path(root, path)), MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from error
        except CacheError as error:
            raise SourceError(f"{path}: {error.what}") from error
        if data.strip():
            texts.append((source if source and path in SERVER_DOCUMENTS else path, data))
    return tuple(sorted(texts))


def _real_path(root: Path, path: str) -> Path:
    """Return the path to open; a service sees only its own credentials (units/ordain-agent.service)."""
    folder, _, name = path.rpartition("/")
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(credentials, name) if path == CREDENTIAL and credentials else rootfs.chase(root, folder) / name


def _file(root: Path, folder: Path, name: str) -> Path:
    """Return the file that ``name`` in ``folder`` is, with its links followed below ``root``."""
    return rootfs.chase(root, f"/{(folder / name).relative_to(root)}")


def _marks(root: Path, folder: Path) -> dict[str, _Mark]:
    """Return numbers for each document that change when it is written."""
    marks: dict[str, _Mark] = {}
    size = 0
    try:
        for name in sorted(entry.name for entry in folder.iterdir()):
            if not is_document_name(name):
                continue
            status = _file(root, folder, name).stat()
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(f"{folder / name}: not a regular file")
            size += min(status.st_size, MAX_BYTES)
            marks[name] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except OSError as error:
        raise _unreadable(error) from error
    if size > MAX_TOTAL_BYTES:
        raise SourceError(f"{folder}: {size:,} bytes of documents; {MAX_TOTAL_BYTES:,} at most")
    return marks


def _unreadable(error: OSError) -> SourceError:
    hint = "run it as root" if isinstance(error, PermissionError) else ""
    return SourceError(f"{error.filename}: {error.strerror}", hint=hint)


def misnamed_documents(folder: Path) -> Iterator[str]:
    """Yield the names of files in ``folder`` that hold a document, and are not read because of their names.

    Hidden files, and copies that editors, dpkg and people leave beside a document, are meant to be left out.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return
    for name in names:
        if is_document_name(name) or name.startswith((".", "#")) or name.endswith(LEFT_OUT) or ".dpkg-" in name:
            continue
        try:
            with (folder / name).open("rb") as file:
                head = file.read(FIRST_BYTES)
        except OSError:
            continue
        if DOCUMENT_HEAD.search(head):
            yield name


def _head(path: Path) -> bytes:
    """Return the bytes of a file, up to one more than a document may have, so that the reader notices the excess."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
