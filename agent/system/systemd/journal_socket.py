"""Messages to the journal with fields of their own (https://systemd.io/JOURNAL_NATIVE_PROTOCOL).

A message about a unit has the field OBJECT_SYSTEMD_UNIT, so that `journalctl -u UNIT` shows it with those of the unit.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

SOCKET = "run/systemd/journal/socket"
INFO = "6"


def send(root: Path, message: str, *, unit: str = "", identifier: str = "ordain-agent") -> None:
    """Send one message to the journal of the machine below ``root``. Without a journal, nothing happens."""
    fields = {"MESSAGE": message, "PRIORITY": INFO, "SYSLOG_IDENTIFIER": identifier}
    if unit:
        fields["OBJECT_SYSTEMD_UNIT"] = unit
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.setblocking(False)  # a journal that hangs must not hold up an apply
        connection.sendto(encode(fields), str(root / SOCKET))


def encode(fields: Mapping[str, str]) -> bytes:
    """Return the datagram of a message: a value that holds a newline has its length before it.

    >>> encode({"PRIORITY": "6"})
    b'PRIORITY=6\\n'
    """
    parts = []
    for name, text in fields.items():
        value = text.encode("utf-8", "replace")
        if b"\n" in value:
            parts.append(name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n")
        else:
            parts.append(name.encode() + b"=" + value + b"\n")
    return b"".join(parts)
