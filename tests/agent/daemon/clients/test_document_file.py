"""Documents that are passed over the bus in a file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from ordain.agent.daemon.clients.document_file import SIZE_MAX, DocumentFile, write_documents
from ordain.agent.errors import Failure

DOCUMENTS = (("a.yaml", b"ordain: v1\n\0"), ("empty.yaml", b""), ("b.yaml", b"\xff" * 5000))


def test_documents_are_read_as_they_were_written() -> None:
    sizes, file = write_documents(DOCUMENTS)
    with file:
        received = DocumentFile([(str(path), int(size)) for path, size in sizes], file.fileno())
        received.check()

        assert received.read() == DOCUMENTS
        with pytest.raises(PermissionError):
            os.pwrite(file.fileno(), b"x", 0)


def test_a_file_that_could_change_or_wait_or_is_too_large_is_refused(tmp_path: Path) -> None:
    _, sealed = write_documents(DOCUMENTS)
    plain = os.open(tmp_path / "plain", os.O_RDWR | os.O_CREAT)
    not_sealed = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    reader, writer = os.pipe()
    large = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.ftruncate(large, SIZE_MAX + 1)  # sparse
    with sealed:
        for descriptor, sizes, words in (
            (plain, [("a", 0)], "not sealed"),
            (not_sealed, [("a", 0)], "not sealed"),
            (reader, [("a", 0)], "not sealed"),
            (_sealed(large), [("a", SIZE_MAX + 1)], "are allowed"),
            (sealed.fileno(), [("a", 1 << 63)], "not the sum"),
            (sealed.fileno(), [], "not the sum"),
        ):
            with pytest.raises(Failure, match=words):
                DocumentFile(sizes, descriptor).check()
    for descriptor in (plain, not_sealed, reader, writer, large):
        os.close(descriptor)


def _sealed(descriptor: int) -> int:
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return descriptor
