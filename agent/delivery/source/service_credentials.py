"""The credentials that systemd gave this service (systemd.exec(5), LoadCredential=): in no log, argument or status."""

from __future__ import annotations

import os
from pathlib import Path

from ordain.agent.delivery.protocol import SourceError, SourceFault

MAX_BYTES = 1 << 16


def secret(name: str) -> str:
    """The text of a credential, without the newline an editor leaves. Raises `SourceError`."""
    try:
        with Path(path(name)).open("rb") as file:
            text = file.read(MAX_BYTES).decode().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _missing(name) from error
    if not text or not text.isprintable():
        raise _missing(name, "is empty, or holds what no password does")
    return text


def path(name: str) -> str:
    """Where the file of a credential is. Raises `SourceError` if it was not given."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory or not (Path(directory) / name).is_file():
        raise _missing(name)
    return str(Path(directory) / name)


def _missing(name: str, what: str = "is not there") -> SourceError:
    hint = f"put it at /etc/credstore/{name} or, encrypted, at /etc/credstore.encrypted/{name}; reload ordain-agent"
    return SourceError(f"the credential {name} {what}", code=SourceFault.CREDENTIAL, hint=hint)
