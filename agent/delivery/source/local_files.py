"""Documents in files of this machine, read at once; effect. Imports little: the first boot waits for this.

/etc/ordain/documents/*                                                                  ─documents_in▶ texts
/run/ordain/document.json, /run/ordain/documents/*, the credential ordain.document ─handed_over▶ texts
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ordain.agent.delivery.protocol import SourceError
from ordain.agent.model import RawDocuments
from ordain.generator.cache import CacheError
from ordain.generator.choose import read_trusted
from ordain.generator.first_boot import CREDENTIAL, HANDED_DIRECTORY, HANDED_OVER
from ordain.transforms.document.node import MAX_BYTES, is_document_name
from ordain.transforms.machine import rootfs

SERVER_DOCUMENTS = (f"{HANDED_DIRECTORY}/source.yaml", f"{HANDED_DIRECTORY}/source.json")
"""What a boot server gave an initrd (packaging/initrd/handover)."""
MAX_TOTAL_BYTES = 64 << 20
"""All documents together. One that is too large by itself is `documents.read`'s to refuse, by name."""

_Mark = tuple[int, int, int, int]


def read_folder(folder: Path, shown: str) -> RawDocuments | None:
    """The documents in ``folder``, which is called ``shown``; None if someone wrote there meanwhile.

    Raises `SourceError`.
    """
    before = _marks(folder)
    try:
        texts = tuple((f"{shown}/{name}", _head(folder / name)) for name in before)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}") from error
    return texts if _marks(folder) == before else None


def read_boot_documents(root: Path, source: str = "") -> RawDocuments:
    """What came with this boot, sorted by path.

    ``source``: what to call that which the initrd got from a boot server. Where the agent will follow that server, its
    documents are called the same, so that they come to the same, and nothing is left to do.

    Raises `SourceError` if a file cannot be read, is too large, or others than root could have written it.
    """
    listed = filter(is_document_name, rootfs.names(root, HANDED_DIRECTORY))
    texts = []
    for path in (*HANDED_OVER, *(f"{HANDED_DIRECTORY}/{name}" for name in listed)):
        try:
            data = read_trusted(str(_real(root, path)), MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from error
        except CacheError as error:
            raise SourceError(f"{path}: {error.what}") from error
        if data.strip():
            texts.append((source if source and path in SERVER_DOCUMENTS else path, data))
    return tuple(sorted(texts))


def _real(root: Path, path: str) -> Path:
    """Where a file of this name is; of the credentials a service sees only its own (units/ordain-agent.service)."""
    folder, _, name = path.rpartition("/")
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(given, name) if path == CREDENTIAL and given else rootfs.chase(root, folder) / name


def _marks(folder: Path) -> dict[str, _Mark]:
    marks: dict[str, _Mark] = {}
    size = 0
    try:
        for name in sorted(entry.name for entry in folder.iterdir()):
            if not is_document_name(name):
                continue
            status = (folder / name).stat()
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(f"{folder / name}: not a regular file")
            size += min(status.st_size, MAX_BYTES)
            marks[name] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}") from error
    if size > MAX_TOTAL_BYTES:
        raise SourceError(f"{folder}: {size:,} bytes of documents; {MAX_TOTAL_BYTES:,} at most")
    return marks


def _head(path: Path) -> bytes:
    """A file's bytes, one more than a document may have at most, so that it shows."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
