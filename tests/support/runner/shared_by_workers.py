"""One server for all worker processes of a run of tests."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest


def folder_of_run(factory: pytest.TempPathFactory) -> Path:
    """Return a directory that all workers of this run have, and no other run has."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextlib.contextmanager
def shared(folder: Path, name: str, start: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """Yield the text that ``start`` yields in the first worker that gets here; that worker ends it after all others.

    ``folder`` is that of `folder_of_run`. A worker that comes when the first has ended starts again.
    """
    text = folder / name
    with (
        text.with_suffix(".lock").open("w") as lock,
        text.with_suffix(".users").open("w") as users,
        contextlib.ExitStack() as stack,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        joins = text.exists()
        if joins:
            fcntl.flock(users, fcntl.LOCK_SH)
        else:
            text.write_text(stack.enter_context(start()))
        fcntl.flock(lock, fcntl.LOCK_UN)
        try:
            yield text.read_text()
        finally:
            if not joins:
                # Always in this order, so that a worker that joins and the one that ends cannot wait for each other.
                fcntl.flock(lock, fcntl.LOCK_EX)
                fcntl.flock(users, fcntl.LOCK_EX)
                text.unlink()
