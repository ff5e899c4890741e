"""Messages in the native protocol of journald."""

from __future__ import annotations

import socket
from pathlib import Path

from ordain.agent.system.systemd.journal_socket import SOCKET, encode, send


def test_a_message_names_the_unit_that_it_is_about(tmp_path: Path) -> None:
    path = tmp_path / SOCKET
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        send(tmp_path, "restart web.service: its memory changed", unit="web.service")
        fields = journal.recv(4096).decode().splitlines()

    assert "OBJECT_SYSTEMD_UNIT=web.service" in fields
    assert "MESSAGE=restart web.service: its memory changed" in fields
    assert "SYSLOG_IDENTIFIER=ordain-agent" in fields


def test_a_value_with_a_newline_cannot_add_a_field() -> None:
    assert encode({"MESSAGE": "a\nUNIT=b"}) == b"MESSAGE\n" + (8).to_bytes(8, "little") + b"a\nUNIT=b\n"


def test_without_a_journal_nothing_happens(tmp_path: Path) -> None:
    send(tmp_path, "a message")
