"""Documents in a file without a name, which is passed over the bus: a message of the bus should be small.

documents ──write_documents──▶ paths and sizes, file ──bus──▶ DocumentFile ──read──▶ documents
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ordain.agent.errors import Failure
from ordain.agent.model import RawDocument, RawDocuments

SIZE_MAX = 64 << 20
"""The most bytes of all documents together."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_CHUNK = 1 << 20


def write_documents(documents: Sequence[RawDocument]) -> tuple[list[list[str | int]], BinaryIO]:
    """Return the path and size of each document, and a file with their bytes, one after the other.

    The file is sealed (memfd_create(2)): nobody can change it, so it need not be copied to be checked.
    """
    file = os.fdopen(os.memfd_create("ordain-documents", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b")
    for _, data in documents:
        file.write(data)
    file.flush()
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    return [[path, len(data)] for path, data in documents], file


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """A file of documents that came over the bus, with the path and size of each."""

    sizes: Sequence[tuple[str, int]]
    descriptor: int

    def check(self) -> None:
        """Raise `Failure` unless the file is sealed, has the size of the documents, and is not too large.

        To read a sealed file never waits, as to read a pipe or a file on a network does.
        """
        try:
            sealed = fcntl.fcntl(self.descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS
        except OSError:  # it is not a memfd
            sealed = False
        if not sealed:
            raise Failure("the file of documents is not sealed: use memfd_create(2), and seal it against changes")
        size = os.fstat(self.descriptor).st_size
        if size > SIZE_MAX:
            raise Failure(f"the file of documents has {size} bytes; {SIZE_MAX} are allowed")
        if size != sum(length for _, length in self.sizes):
            raise Failure(f"the file of documents has {size} bytes, and not the sum of the sizes of the documents")

    def sha256(self) -> str:
        """Return the SHA-256 of all bytes, in hexadecimal. At no time much of the file is in memory."""
        digest = hashlib.sha256()
        offset = 0
        while data := os.pread(self.descriptor, _CHUNK, offset):
            digest.update(data)
            offset += len(data)
        return digest.hexdigest()

    def read(self) -> RawDocuments:
        """Return the documents."""
        documents, offset = [], 0
        for path, size in self.sizes:
            documents.append((path, os.pread(self.descriptor, size, offset)))
            offset += size
        return tuple(documents)
