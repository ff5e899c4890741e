"""Turns a neutral value into the text after ``Key=``, with one encoder for each kind of setting.

Strings are bytes: no specifier, no ``$`` and no quote in them has a meaning (docs/design/documents.md, rule 9). A value
that the syntax of a setting cannot express, or that PID 1 would ignore, is refused here and not found at boot.

A value is a `Neutral`:

* a string, number or boolean: one value; in a list setting, a list of one;
* ``tuple[str, ...]``: the words of a list (After=, ReadWritePaths=), or the argument vector of a command; the empty
  tuple becomes the empty text, which resets a list;
* a mapping: ``{name: value}`` for Environment=, ``{from: to}`` for BindPaths= and TemporaryFileSystem=, one entry for
  LoadCredential= and SetCredential=.

All functions raise `EncodeError` for a value that they cannot write.
"""

from __future__ import annotations

from functools import lru_cache

from ordain.transforms.systemd import quoting
from ordain.transforms.systemd.parser_table import setting_kind
from ordain.transforms.systemd.setting_kinds import Neutral
from ordain.transforms.systemd.special_settings import command, environment
from ordain.transforms.systemd.values import EncodeError

__all__ = ["EncodeError", "Neutral", "encode", "encode_command", "encode_environment", "encode_raw"]

RAW_MAX_BYTES = 64 * 1024


def encode(section: str, key: str, value: Neutral) -> str:
    """Return the text after ``key=`` in ``[section]`` that makes PID 1 hold exactly ``value``.

    >>> encode("Unit", "Description", "100% of it"), encode("Service", "PrivateTmp", True)
    ('100%% of it', 'yes')
    >>> encode("Service", "ReadWritePaths", ("/srv/my data", "/run/x"))
    '"/srv/my data" /run/x'
    """
    return _encode_text(section, key, value) if isinstance(value, str) else _encode(section, key, value)


def _encode(section: str, key: str, value: Neutral) -> str:
    return _short_enough(key, setting_kind(section, key).encode(value))


# Many services have the same values, and usually only one of many documents changes.
_encode_text = lru_cache(maxsize=16384)(_encode)


@lru_cache(maxsize=16384)
def encode_command(argv: tuple[str, ...]) -> str:
    """Return the command line for an Exec setting whose words are exactly ``argv``.

    >>> encode_command(("/bin/echo", "50% of $HOME", ";"))
    '/bin/echo "50%% of $$HOME" ";"'
    """
    return _short_enough("a command", command(argv))


@lru_cache(maxsize=16384)
def encode_environment(name: str, value: str) -> str:
    """Return one assignment for Environment=.

    >>> encode_environment("GREETING", "good morning")
    '"GREETING=good morning"'
    """
    return _short_enough("Environment", environment(name, value))


def encode_raw(section: str, key: str, text: str) -> str:
    """Return ``text``, which is in systemd's own syntax, after the checks that are possible without the machine.

    Specifiers and quotes have the meaning that systemd gives them. The empty text resets the setting.

    >>> encode_raw("Service", "ExecStart", " -/bin/echo %n $HOME ")
    '-/bin/echo %n $HOME'
    """
    quoting.check_encodable(text)
    line = text.strip(" \t")
    if any(end in line for end in "\n\r\0"):
        raise EncodeError(
            "more than one line", "for several values, repeat the key with a list; a command needs no line ends"
        )
    if (len(line) - len(line.rstrip("\\"))) % 2:
        raise EncodeError("ends in a backslash, which would join the next line to it", "remove the backslash")
    if len(line.encode()) > RAW_MAX_BYTES:
        raise EncodeError(f"longer than {RAW_MAX_BYTES // 1024} KiB", "put the text into a file")
    if line:
        setting_kind(section, key).check(line)
    return line


def _short_enough(key: str, text: str) -> str:
    if len(text.encode()) > quoting.MAX_BYTES:
        raise EncodeError(f"{key}: longer than {quoting.MAX_BYTES} bytes", "put the text into a file")
    return text
