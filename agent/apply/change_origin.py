"""The origin of a change: who asked for it, or who changed which documents and when, as far as the machine knows."""

from __future__ import annotations

import pwd
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ordain.agent.model import Change, ChangedDocument, Plan

MAX_DOCUMENTS = 10
_NO_LOGIN = 2**32 - 1
"""The login user of processes that no login started (proc_pid_loginuid(5))."""


def user_of_process(process: int, proc: Path = Path("/proc")) -> str:
    """Return the name of the user who logged in and started ``process``, else of its own user; "" if it has ended."""
    if not process:
        return ""
    try:
        login = int((proc / str(process) / "loginuid").read_text())
        return _user_name(login if login != _NO_LOGIN else (proc / str(process)).stat().st_uid)
    except (OSError, ValueError):
        return ""


def changed_documents(planned: Plan, root: Path) -> tuple[ChangedDocument, ...]:
    """Return the local documents that a plan has changes of, with owner and time; a store's document has none here."""
    paths = sorted({cause.path for change in _changes(planned) for cause in change.causes})
    return tuple(_described(path, root) for path in paths[:MAX_DOCUMENTS])


def _changes(planned: Plan) -> Iterator[Change]:
    yield from planned.changes
    yield from planned.settings
    for file in planned.files:
        yield from file.changes
        yield Change(unit=file.path, causes=file.causes)


def _described(path: str, root: Path) -> ChangedDocument:
    try:
        status = (root / path.lstrip("/")).stat() if path.startswith("/") else None
    except OSError:
        status = None
    if status is None:
        return ChangedDocument(path=path)
    time = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
    return ChangedDocument(path=path, owner=_user_name(status.st_uid), changed=time)


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def names(documents: Iterable[ChangedDocument]) -> str:
    """Return documents in a line for people: ``web.yaml (alice)``."""
    return ", ".join(
        document.path.rpartition("/")[2] + (f" ({document.owner})" if document.owner else "") for document in documents
    )
