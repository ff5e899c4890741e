"""Unit names: their validity, templates and instances, and their escaping.

The rules are those of systemd's src/basic/unit-name.c. `escape` and `escape_path` return what systemd-escape prints.
"""

from __future__ import annotations

import re
import string

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.values import EncodeError

TYPES = ("service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope")
TRIGGERS = {"socket": ("Socket", "Service"), "timer": ("Timer", "Unit"), "path": ("Path", "Unit")}
"""Unit types that start a service: the section and the key that name it. Without the key it is the service of the same
name (systemd.socket(5), systemd.timer(5), systemd.path(5))."""
TRIGGER_SUFFIXES = tuple(f".{unit_type}" for unit_type in TRIGGERS)
MAX_BYTES = 255

_PLAIN = frozenset(string.ascii_letters + string.digits + ":_.")
_UNIT = lazy_pattern(
    r"(?P<prefix>[A-Za-z0-9:_.\\-]+)(?:@(?P<instance>[A-Za-z0-9:_.\\@-]*))?\.(?P<type>" + "|".join(TYPES) + ")"
)


def is_valid(name: str) -> bool:
    """Return whether ``name`` is the name of a unit, a template or an instance.

    A name with a leading dot is invalid, too: systemd never reads a hidden file.

    >>> [is_valid(n) for n in ("web.service", "web@.service", "web@a@b.service", "@x.service", "web", "a b.path")]
    [True, True, True, False, False, False]
    """
    return len(name) <= MAX_BYTES and not name.startswith(".") and _UNIT.fullmatch(name) is not None


def check(name: str) -> str:
    """Return ``name`` if it is valid, else raise `EncodeError`."""
    if is_valid(name):
        return name
    if len(name.encode(errors="replace")) > MAX_BYTES:
        raise EncodeError(f"unit name longer than {MAX_BYTES} bytes: {name[:40]}…", "choose a shorter name")
    if name.rpartition(".")[2] not in TYPES:
        raise EncodeError(f"not a unit name: {name!r}", "end it with a unit type, such as .service")
    raise EncodeError(f"not a unit name: {name!r}", "use letters, digits and :_.-\\, and one @ before an instance")


def unit_type(name: str) -> str:
    """Return the unit type at the end of a valid name.

    >>> unit_type("dev-sda.device")
    'device'
    """
    return name.rpartition(".")[2]


def split(name: str) -> tuple[str, str | None, str]:
    """Return a valid name as (prefix, instance, unit type); instance is None for a plain unit, "" for a template.

    Raises `EncodeError` for an invalid name.

    >>> split("getty@tty1.service"), split("getty@.service"), split("web.service")
    (('getty', 'tty1', 'service'), ('getty', '', 'service'), ('web', None, 'service'))
    """
    match = _UNIT.fullmatch(check(name))
    assert match is not None
    return match["prefix"], match["instance"], match["type"]


def template_of(name: str) -> str:
    """Return the template of an instance, ``""`` for any other unit.

    >>> template_of("getty@tty1.service"), template_of("getty@.service"), template_of("web.service")
    ('getty@.service', '', '')
    """
    prefix, at, rest = name.partition("@")
    instance, _, unit_type = rest.rpartition(".")
    return f"{prefix}@.{unit_type}" if at and instance else ""


def is_template(name: str) -> bool:
    """Return whether ``name`` is a template, which itself can have no job.

    >>> is_template("web@.service"), is_template("web@1.service"), is_template("web.service")
    (True, False, False)
    """
    _, at, rest = name.partition("@")
    return bool(at) and rest.rpartition(".")[:2] == ("", ".")


def instance_of(template: str, instance: str) -> str:
    """Return the unit that ``template`` makes for ``instance``, which is written as systemd writes it (`escape`).

    >>> instance_of("backup@.service", "a-b.c@d"), instance_of("backup@.service", escape("/srv/data"))
    ('backup@a-b.c@d.service', 'backup@-srv-data.service')
    """
    prefix, empty, kind = split(template)
    if empty != "":
        raise EncodeError(f"not a template unit: {template!r}", "the name of a template unit is NAME@.TYPE")
    if not instance:
        raise EncodeError(f"the name of an instance of {template} is empty")
    return check(f"{prefix}@{instance}.{kind}")


def escape(text: str) -> str:
    r"""Return any text as a part of a unit name.

    >>> escape("a-b/c d"), escape(".x")
    ('a\\x2db-c\\x20d', '\\x2ex')
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise EncodeError(f"not Unicode text: {text!r}") from None
    if b"\0" in data:
        raise EncodeError("a unit name cannot hold a NUL byte")
    escaped = "".join(
        "-" if byte == ord("/") else chr(byte) if chr(byte) in _PLAIN and (at or byte != ord(".")) else f"\\x{byte:02x}"
        for at, byte in enumerate(data)
    )
    if len(escaped) > MAX_BYTES:
        raise EncodeError(f"the escaped name is longer than {MAX_BYTES} bytes: {text[:40]!r}…", "choose a shorter name")
    return escaped


def escape_path(path: str) -> str:
    r"""Return an absolute path as a part of a unit name, as in mount and device units.

    >>> escape_path("/srv//my-data/"), escape_path("/")
    ('srv-my\\x2ddata', '-')
    """
    if not path.startswith("/"):
        raise EncodeError(f"not an absolute path: {path!r}")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise EncodeError(f"path with '..': {path!r}", "write the path without ..")
    return escape("/".join(parts)) or "-"


def unescape(text: str) -> str:
    r"""Return the text that `escape` made ``text`` from. Raises `EncodeError` if `escape` never returns ``text``.

    >>> unescape("a\\x2db-c")
    'a-b/c'
    """
    out = bytearray()
    for match in re.finditer(r"\\x([0-9a-fA-F]{2})|(-)|([^\\-]+)|(\\)", text, re.DOTALL):
        code, dash, plain, stray = match.groups()
        if stray:
            raise EncodeError(f"not an escaped name: {text!r}", "write \\x5c for a backslash")
        out += bytes([int(code, 16)]) if code else b"/" if dash else plain.encode(errors="surrogatepass")
    try:
        return out.decode()
    except UnicodeDecodeError:
        raise EncodeError(f"not an escaped text: {text!r}") from None


def unescape_path(text: str) -> str:
    r"""Return the path that `escape_path` made ``text`` from, in its shortest form.

    >>> unescape_path("srv-my\\x2ddata"), unescape_path("-")
    ('/srv/my-data', '/')
    """
    return "/" if text == "-" else "/" + unescape(text)
