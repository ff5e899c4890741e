"""The credentials that systemd gives to this service (systemd.exec(5), LoadCredential=).

No log line, command-line argument or status shows their content.
"""

from __future__ import annotations

import os
from pathlib import Path

from ordain.agent.delivery.protocol import SourceError, SourceFault

MAX_BYTES = 1 << 16


def read_secret(name: str) -> str:
    """Return the text of a credential, without the newline that an editor leaves at its end. Raises `SourceError`."""
    try:
        with Path(credential_path(name)).open("rb") as file:
            text = file.read(MAX_BYTES).decode().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _missing(name) from error
    if not text or not text.isprintable():
        raise _missing(name, "is empty, or contains characters that a password cannot have")
    return text


def credential_path(name: str) -> str:
    """Return the path of a credential's file. Raises `SourceError` if systemd gave no such credential."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory or not (Path(directory) / name).is_file():
        raise _missing(name)
    return str(Path(directory) / name)


def _missing(name: str, message: str = "was not found") -> SourceError:
    hint = (
        f"put it into /etc/credstore/{name} or, encrypted, into /etc/credstore.encrypted/{name}; then reload"
        " ordain-agent.service"
    )
    return SourceError(f"the credential {name} {message}", code=SourceFault.CREDENTIAL, hint=hint)
