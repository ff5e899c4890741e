"""Checks of strings, by the names the schema's ``format`` gives them; each raises `ValueError` with a hint."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from ordain.transforms.document import agent_formats, command_line, network_formats
from ordain.transforms.document.conditions import FACTS
from ordain.transforms.document.maintenance_windows import parse_window
from ordain.transforms.errors import did_you_mean
from ordain.transforms.systemd import directives, unit_name
from ordain.transforms.systemd.calendar import check_calendar
from ordain.transforms.systemd.values import EncodeError, signal, size, timespan

Check = Callable[[str], None]


def _bad(hint: str) -> ValueError:
    return ValueError(hint)


def _pattern(pattern: str, hint: str) -> Check:
    compiled = re.compile(pattern)

    def check(text: str) -> None:
        if not compiled.fullmatch(text):
            raise _bad(hint)

    return check


def _value(read: Callable[[str], object]) -> Check:
    def check(text: str) -> None:
        try:
            read(text)
        except EncodeError as error:
            raise _bad(error.hint or error.what) from None

    return check


def path(text: str) -> None:
    """An absolute, normal path; a trailing slash is allowed, since ``uses`` gives it a meaning."""
    parts = text.removesuffix("/").split("/")[1:]
    if not text.startswith("/"):
        raise _bad("write it with a leading /")
    if "\0" in text or any(part in {"", ".", ".."} for part in parts):
        raise _bad("write it without //, /./, /../ and NUL")


def relative_path(text: str) -> None:
    """A normal path that does not begin with a slash."""
    if text.startswith("/"):
        raise _bad("write it without a leading /; it lies below the directory of its kind")
    path(f"/{text}")


def optional_path(text: str) -> None:
    """An absolute path, ``-`` in front if the file may be missing."""
    path(text.removeprefix("-"))


def condition_path(text: str) -> None:
    """An absolute path, ``!`` in front to negate."""
    path(text.removeprefix("!"))


def command(text: str) -> None:
    """A command line whose quotes close."""
    try:
        command_line.split(text)
    except command_line.BadCommandLine as error:
        raise _bad(str(error)) from None


def base64_text(text: str) -> None:
    """Base64, blanks allowed."""
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise _bad("it is no base64") from None


def service_name(text: str) -> None:
    """The neutral name of a service: a unit name without its suffix, and never an ``@`` (rule 13)."""
    if "@" in text:
        raise _bad("instances stand below `instances`; a name holds no @")
    if text.rpartition(".")[2] in unit_name.TYPES:
        raise _bad("a service is named without its suffix; `unit: NAME` names a unit outright")
    if not unit_name.is_valid(f"{text}.service"):
        raise _bad("letters, digits, - _ . : are allowed, and 247 bytes at most")


def instance(text: str) -> None:
    """The instance of a template unit, as it stands in the unit's name."""
    if not text or not unit_name.is_valid(f"x@{text}.service"):
        raise _bad("letters, digits, - _ . : @ are allowed; systemd-escape makes them of anything")


def unit(text: str) -> None:
    """A unit name with its suffix."""
    _value(unit_name.check)(text)


def unit_or_drop_in(text: str) -> None:
    """A unit name, or a unit name with ``.d``."""
    unit(text.removesuffix(".d"))


def slice_name(text: str) -> None:
    """The name of a slice, with or without its suffix."""
    unit(text if text.endswith(".slice") else f"{text}.slice")


def section(text: str) -> None:
    """A section of unit files."""
    known = {name for names in directives.SECTIONS.values() for name in names}
    if text not in known and not text.startswith("X-"):
        raise _bad(did_you_mean(text, known) or f"known: {', '.join(sorted(known))}, and X-…")


def match_key(text: str) -> None:
    """A fact or a label."""
    if text not in FACTS:
        label_name(text)


def label(text: str) -> None:
    """A label, which may not be called like a fact."""
    if text in FACTS:
        raise _bad("this is a fact; a label may not take its name")
    label_name(text)


label_name = _pattern(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}", "letters, digits, - _ . / are allowed, 63 at most")

FORMATS: dict[str, Check] = {
    **network_formats.FORMATS,
    **agent_formats.FORMATS,
    "base64": base64_text,
    "calendar": _value(check_calendar),
    "channel": _pattern(r"[a-z0-9][a-z0-9-]{0,62}", "lower-case letters, digits and - are allowed, 63 at most"),
    "capability": _pattern(r"(?i)(cap_)?[a-z]+([_-][a-z]+)*", "such as net-bind-service, see capabilities(7)"),
    "command": command,
    "condition-path": condition_path,
    "count": _pattern(r"[0-9]+%?|infinity", "such as 512, 10% or infinity"),
    "cpu": _pattern(r"[0-9]+(\.[0-9]+)?%?", 'such as "50%", or 2 for two CPUs'),
    "credential-name": _pattern(r"(?!\.)[A-Za-z0-9_.-]{1,255}", "letters, digits, - _ . are allowed"),
    "directive": _pattern(r"[A-Za-z0-9-]+", "letters, digits and - are allowed"),
    "document-name": _pattern(r"[!-~]+(/[!-~]+)+", "its scopes and its name, such as role=web/nginx.yaml"),
    "instance": instance,
    "key-id": _pattern(r"[0-9a-f]{16}", "16 lower-case hexadecimal digits"),
    "label": label,
    "label-or-fact": match_key,
    "listen": _pattern(r"[^\s\x00-\x1f]+", "such as 8080, 127.0.0.1:8080, [::1]:8080 or /run/x.sock"),
    "mode": _pattern(r"[0-7]{3,4}", "three or four octal digits, such as 0640"),
    "name": _pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", "letters, digits, - _ . are allowed"),
    "optional-path": optional_path,
    "path": path,
    "raw": _pattern(r"[^\n\r\x00]*", "a value stands on one line; a list repeats the key"),
    "reference": _pattern(r"[^\s\x00]+", "a service, milestone, path or unit name"),
    "relative-path": relative_path,
    "rlimit": _pattern(r"[0-9]+|infinity", "such as 4096 or infinity"),
    "section": section,
    "service-name": service_name,
    "sha256": _pattern(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits, as sha256sum prints"),
    "share": _pattern(r"(100|[0-9]{1,2}(\.[0-9]{1,3})?)%", "such as 1%, 0.5% or 100%"),
    "signal": _value(signal),
    "size": _value(size),
    "slice": slice_name,
    "timespan": _value(timespan),
    "unit-name": unit,
    "unit-or-drop-in": unit_or_drop_in,
    "uri": _pattern(r"(https?://|file:/|info:|man:)\S+", "http://, https://, file:, info: or man:, see uri(7)"),
    "variable": _pattern(r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and _, not beginning with a digit"),
    "window": _value(parse_window),
}
"""`check_range` of `match` is applied where a document's `match` is read, since it depends on the key."""
