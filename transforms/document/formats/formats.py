"""Checks of strings, by the name in the ``format`` of a schema. Each raises `ValueError` with a hint."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from ordain.transforms.document.formats import (
    agent_formats,
    command_line,
    netboot_formats,
    network_formats,
    run_formats,
    setting_types,
)
from ordain.transforms.document.formats.conditions import FACTS
from ordain.transforms.document.formats.maintenance_windows import parse_window
from ordain.transforms.errors import did_you_mean
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.sealed_secret import check_copy, check_recipient, check_value
from ordain.transforms.systemd import directives, unit_name
from ordain.transforms.systemd.calendar import check_calendar
from ordain.transforms.systemd.checks.doubtful_values import octal_of
from ordain.transforms.systemd.values import EncodeError, signal, size, timespan

Check = Callable[[str], None]


def _bad(hint: str) -> ValueError:
    return ValueError(hint)


def _pattern(pattern: str, hint: str) -> Check:
    compiled = lazy_pattern(pattern)

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


def size_limit(text: str) -> None:
    """Check a size, or infinity."""
    if text != "infinity":
        _value(size)(text)


def path(text: str) -> None:
    """Check an absolute, normal path. A trailing slash is allowed, because it has a meaning in ``uses``."""
    parts = text.removesuffix("/").split("/")[1:]
    if not text.startswith("/"):
        raise _bad("write it with a leading /")
    if "\0" in text or any(part in {"", ".", ".."} for part in parts):
        raise _bad("write it without //, /./, /../ and NUL")


def time(text: str) -> None:
    """Check a time in UTC."""
    try:
        offset = datetime.fromisoformat(text).utcoffset()
    except ValueError:
        offset = None
    if offset != timedelta(0):
        raise _bad("write it in UTC, such as 2026-12-31T00:00:00+00:00")


def relative_path(text: str) -> None:
    """Check a normal path without a leading slash."""
    if text.startswith("/"):
        raise _bad("write it without a leading /; it is below the directory of its kind")
    path(f"/{text}")


def optional_path(text: str) -> None:
    """Check an absolute path, with ``-`` in front if the file may be missing."""
    path(text.removeprefix("-"))


def condition_path(text: str) -> None:
    """Check an absolute path, with ``!`` in front to negate the condition."""
    path(text.removeprefix("!"))


def command(text: str) -> None:
    """Check a command line: its quotes must be closed."""
    try:
        command_line.split(text)
    except command_line.BadCommandLine as error:
        raise _bad(str(error)) from None


def mode(text: str) -> None:
    """Check an access mode in octal."""
    if not re.fullmatch(r"[0-7]{3,4}", text):
        meant = octal_of(text)
        raise _bad(f"write {meant}: a mode is octal" if meant else "use three or four octal digits, such as 0640")


def base64_text(text: str) -> None:
    """Check base64, in which blanks are allowed."""
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except ValueError:  # binascii.Error, or not ASCII
        raise _bad("encode it with base64") from None


_SEALED_BYTES = 64
"""The fewest bytes of an encrypted credential: a header, an initialization vector and a tag (systemd-creds(1))."""


def sealed_text(text: str) -> None:
    """Check the output of ``systemd-creds encrypt``."""
    base64_text(text)
    if len(base64.b64decode("".join(text.split()))) < _SEALED_BYTES:
        raise _bad("copy the whole output of `systemd-creds encrypt`")


def service_name(text: str) -> None:
    """Check the neutral name of a service: a unit name without its suffix and without ``@`` (rule 13)."""
    if "@" in text:
        raise _bad("write instances below `instances`; the name of a service has no @")
    if text.rpartition(".")[2] in unit_name.TYPES:
        raise _bad("write the name of a service without its suffix; use `unit: NAME` for the exact name of a unit")
    if not unit_name.is_valid(f"{text}.service"):
        raise _bad("use letters, digits and - _ . :, at most 247 bytes")


def instance(text: str) -> None:
    """Check the instance of a template unit in the form that it has in the name of the unit."""
    if not text or not unit_name.is_valid(f"x@{text}.service"):
        raise _bad("use letters, digits and - _ . : @; systemd-escape converts other characters")


def unit(text: str) -> None:
    """Check a unit name with its suffix."""
    _value(unit_name.check)(text)


def unit_or_drop_in(text: str) -> None:
    """Check a unit name, or a unit name with ``.d``."""
    unit(text.removesuffix(".d"))


def slice_name(text: str) -> None:
    """Check the name of a slice, with or without its suffix."""
    unit(text if text.endswith(".slice") else f"{text}.slice")


def section(text: str) -> None:
    """Check a section of unit files."""
    known = {name for names in directives.SECTIONS.values() for name in names}
    if text not in known and not text.startswith("X-"):
        raise _bad(did_you_mean(text, known) or f"known sections: {', '.join(sorted(known))}, and X-…")


def match_key(text: str) -> None:
    """Check the name of a fact or a label."""
    if text not in FACTS:
        label_name(text)


def label(text: str) -> None:
    """Check a label, which cannot have the name of a fact."""
    if text in FACTS:
        raise _bad("this is the name of a fact; choose another name for the label")
    label_name(text)


label_name = _pattern(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}", "use at most 63 letters, digits and - _ . /")


def open_port(text: str) -> None:
    """Raise `ValueError` unless ``text`` is a port with its protocol, such as 443/tcp."""
    setting_types.SCALARS["open-port"][1](text)


FORMATS: dict[str, Check] = {
    **network_formats.FORMATS,
    **agent_formats.FORMATS,
    **run_formats.FORMATS,
    **netboot_formats.FORMATS,
    "secret-recipient": check_recipient,
    "secret-value": check_value,
    "secret-copy": check_copy,
    "base64": base64_text,
    "sealed": sealed_text,
    "calendar": _value(check_calendar),
    "channel": _pattern(r"[a-z0-9][a-z0-9-]{0,62}", "use at most 63 lower-case letters, digits and -"),
    "capability": _pattern(r"(?i)(cap_)?[a-z]+([_-][a-z]+)*", "such as net-bind-service; see capabilities(7)"),
    "command": command,
    "condition-path": condition_path,
    "count": _pattern(r"[0-9]+%?|infinity", "such as 512, 10% or infinity"),
    "cpu": _pattern(r"[0-9]+(\.[0-9]+)?%?", 'such as "50%", or 2 for two CPUs'),
    "credential-name": _pattern(r"(?!\.)[A-Za-z0-9_.-]{1,255}", "use letters, digits and - _ ."),
    "directive": _pattern(r"[A-Za-z0-9-]+", "use letters, digits and -"),
    "document-name": _pattern(r"[!-~]+(/[!-~]+)+", "write its scopes and its name, such as role=web/nginx.yaml"),
    "instance": instance,
    "key-id": _pattern(r"[0-9a-f]{16}", "use 16 lower-case hexadecimal digits"),
    "label": label,
    "label-or-fact": match_key,
    "listen": _pattern(r"[^\s\x00-\x1f]+", "such as 8080, 127.0.0.1:8080, [::1]:8080 or /run/x.sock"),
    "mode": mode,
    "name": _pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", "use at most 128 letters, digits and - _ ."),
    "open-port": open_port,
    "optional-path": optional_path,
    "path": path,
    "package-name": _pattern(
        r"[A-Za-z0-9](?:[A-Za-z0-9._@/+-]*[A-Za-z0-9_+])?", "use letters, digits and - _ . + @ /, without a version"
    ),
    "package-version": _pattern(r"[A-Za-z0-9][A-Za-z0-9.+:~^_-]*\*?", "such as 1.22.1-9, or 1.22.* for its beginning"),
    "raw": _pattern(r"[^\n\r\x00]*", "write it on one line; for several values, use a list"),
    "reference": _pattern(r"[^\s\x00]+", "use the name of a service, a milestone, a path or a unit name"),
    "relative-path": relative_path,
    "rlimit": _pattern(r"[0-9]+|infinity", "such as 4096 or infinity"),
    "section": section,
    "service-name": service_name,
    "sha256": _pattern(r"[0-9a-f]{64}", "use 64 lower-case hexadecimal digits, as sha256sum prints them"),
    "time": time,
    "setting-type": setting_types.setting_type,
    "share": _pattern(r"(100|[0-9]{1,2}(\.[0-9]{1,3})?)%", "such as 1%, 0.5% or 100%"),
    "signal": _value(signal),
    "size": _value(size),
    "size-limit": size_limit,
    "slice": slice_name,
    "timespan": _value(timespan),
    "unit-name": unit,
    "unit-or-drop-in": unit_or_drop_in,
    "uri": _pattern(
        r"(https?://|file:/|info:|man:)\S+", "begin it with http://, https://, file:, info: or man:; see uri(7)"
    ),
    "variable": _pattern(r"[A-Za-z_][A-Za-z0-9_]*", "use letters, digits and _, and do not begin with a digit"),
    "window": _value(parse_window),
}
"""`reader` checks the version ranges in `match`, because only some of its keys have them."""
