"""Unit names: which are valid, templates and instances, escaping.

The rules are those of systemd's src/basic/unit-name.c; `escape` and `escape_path` give what systemd-escape gives.
"""

from __future__ import annotations

import re
import string

from ordain.transforms.systemd.values import EncodeError

TYPES = ("service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope")
TRIGGERS = {"socket": ("Socket", "Service"), "timer": ("Timer", "Unit"), "path": ("Path", "Unit")}
"""Unit types that start a service: the section and the key that name it. Without the key it is the service of the same
name (systemd.socket(5), systemd.timer(5), systemd.path(5))."""
TRIGGER_SUFFIXES = tuple(f".{unit_type}" for unit_type in TRIGGERS)
MAX_BYTES = 255

_PLAIN = frozenset(string.ascii_letters + string.digits + ":_.")
_UNIT = re.compile(
    r"(?P<prefix>[A-Za-z0-9:_.\\-]+)(?:@(?P<instance>[A-Za-z0-9:_.\\@-]*))?\.(?P<suffix>" + "|".join(TYPES) + ")"
)


def is_valid(name: str) -> bool:
    """Whether ``name`` names a unit: plain, template or instance.

    A leading dot is refused too: systemd never reads a hidden file.

    >>> [is_valid(n) for n in ("web.service", "web@.service", "web@a@b.service", "@x.service", "web", "a b.path")]
    [True, True, True, False, False, False]
    """
    return len(name) <= MAX_BYTES and not name.startswith(".") and _UNIT.fullmatch(name) is not None


def check(name: str) -> str:
    """``name`` itself, if it is valid; else raises `EncodeError`."""
    if is_valid(name):
        return name
    if len(name.encode(errors="replace")) > MAX_BYTES:
        raise EncodeError(f"unit name of more than {MAX_BYTES} bytes: {name[:40]}…", "choose a shorter name")
    if name.rpartition(".")[2] not in TYPES:
        raise EncodeError(f"not a unit name: {name!r}", "it ends in a unit type, such as .service")
    raise EncodeError(
        f"not a unit name: {name!r}", "letters, digits and :_.-\\ are allowed, and one @ before an instance"
    )


def unit_type(name: str) -> str:
    """The unit type at the end of a valid name.

    >>> unit_type("dev-sda.device")
    'device'
    """
    return name.rpartition(".")[2]


def split(name: str) -> tuple[str, str | None, str]:
    """A valid name as (prefix, instance, suffix); instance is None for a plain unit, "" for a template.

    >>> split("getty@tty1.service"), split("getty@.service"), split("web.service")
    (('getty', 'tty1', 'service'), ('getty', '', 'service'), ('web', None, 'service'))
    """
    match = _UNIT.fullmatch(check(name))
    assert match is not None
    return match["prefix"], match["instance"], match["suffix"]


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
    """The unit that ``template`` makes for ``instance``, which is escaped here.

    >>> instance_of("backup@.service", "/srv/data")
    'backup@-srv-data.service'
    """
    prefix, empty, kind = split(template)
    if empty != "":
        raise EncodeError(f"not a template unit: {template!r}", "a template unit is named NAME@.TYPE")
    if not instance:
        raise EncodeError(f"no name for an instance of {template}")
    return check(f"{prefix}@{escape(instance)}.{kind}")


def escape(text: str) -> str:
    r"""Any text as a part of a unit name.

    >>> escape("a-b/c d"), escape(".x")
    ('a\\x2db-c\\x20d', '\\x2ex')
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise EncodeError(f"not Unicode text: {text!r}") from None
    if b"\0" in data:
        raise EncodeError("a NUL byte cannot stand in a unit name")
    escaped = "".join(
        "-" if byte == ord("/") else chr(byte) if chr(byte) in _PLAIN and (at or byte != ord(".")) else f"\\x{byte:02x}"
        for at, byte in enumerate(data)
    )
    if len(escaped) > MAX_BYTES:
        raise EncodeError(f"escaped, the name has more than {MAX_BYTES} bytes: {text[:40]!r}…", "choose a shorter name")
    return escaped


def escape_path(path: str) -> str:
    r"""An absolute path as a part of a unit name, as mount and device units have it.

    >>> escape_path("/srv//my-data/"), escape_path("/")
    ('srv-my\\x2ddata', '-')
    """
    if not path.startswith("/"):
        raise EncodeError(f"not an absolute path: {path!r}")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise EncodeError(f"path with '..': {path!r}", "write the path without it")
    return escape("/".join(parts)) or "-"


def unescape(text: str) -> str:
    r"""What `escape` was given. Raises `EncodeError` if ``text`` is nothing that `escape` gives.

    >>> unescape("a\\x2db-c")
    'a-b/c'
    """
    out = bytearray()
    for match in re.finditer(r"\\x([0-9a-fA-F]{2})|(-)|([^\\-]+)|(\\)", text, re.DOTALL):
        code, dash, plain, stray = match.groups()
        if stray:
            raise EncodeError(f"not an escaped name: {text!r}", "a backslash is written \\x5c")
        out += bytes([int(code, 16)]) if code else b"/" if dash else plain.encode(errors="surrogatepass")
    try:
        return out.decode()
    except UnicodeDecodeError:
        raise EncodeError(f"not the escaped form of a text: {text!r}") from None


def unescape_path(text: str) -> str:
    r"""What `escape_path` was given, in its shortest form.

    >>> unescape_path("srv-my\\x2ddata"), unescape_path("-")
    ('/srv/my-data', '/')
    """
    return "/" if text == "-" else "/" + unescape(text)
