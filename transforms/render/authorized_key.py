"""A line of authorized_keys, checked as sshd reads it (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

A line has options, if any, the type of the key, the key in base64, and a comment. sshd ignores a line that it cannot
read, so that nobody can log in with that key.
"""

from __future__ import annotations

import base64
import binascii

from ordain.transforms.lazy_patterns import lazy_pattern

_OPTIONS = lazy_pattern(r'(?:"(?:\\"|[^"])*"|[^\s"])+')
"""The options of a line: blanks can be only in quotes, where a backslash precedes a quote."""
_FIELDS = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ssh-dss": 5,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}
"""The number of strings in a key of each type, the type included (RFC 4253, 5656, 8709; PROTOCOL.u2f of OpenSSH).

A key of another type, such as a certificate, only has to begin with its type.
"""
_LENGTH = 4
"""The bytes in which the length of each string is written (RFC 4251)."""


def fault_of_key(line: str) -> str:
    """Return the reason why sshd would ignore ``line``, ``""`` if it would read it.

    >>> fault_of_key("ssh-ed25519 AAAA name")
    'sshd cannot read the key, because it is cut off or changed'
    >>> fault_of_key("AAAAC3Nz name")
    'this is not a public key: the type (such as ssh-ed25519) or the key itself is missing'
    """
    if line != line.strip() or line.startswith("#") or any(char in line for char in "\0\r\n"):
        return "this is not a public key"
    options = _OPTIONS.match(line)
    rest = line[options.end() :] if options else ""
    faults = [_fault(words) for words in (line.split(), rest.split()) if len(words) > 1]
    if not faults or "" in faults:
        return "" if faults else _MISSING
    return next((fault for fault in faults if fault != _MISSING), _MISSING)


_MISSING = "this is not a public key: the type (such as ssh-ed25519) or the key itself is missing"
_CHANGED = "sshd cannot read the key, because it is cut off or changed"


def _fault(words: list[str]) -> str:
    """Return the fault of a type and a key, which are the first two of ``words``."""
    kind, text = words[:2]
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return _CHANGED if kind in _FIELDS else _MISSING
    first = key[_LENGTH : _LENGTH + int.from_bytes(key[:_LENGTH])]
    if first != kind.encode():
        return _CHANGED if kind in _FIELDS else _MISSING
    return _CHANGED if kind in _FIELDS and _count(key) != _FIELDS[kind] else ""


def _count(key: bytes) -> int:
    """Return the number of strings of which ``key`` consists, 0 if the last one is cut off."""
    count = at = 0
    while at < len(key):
        if at + _LENGTH > len(key):
            return 0
        at += _LENGTH + int.from_bytes(key[at : at + _LENGTH])
        count += 1
    return count if at == len(key) else 0
