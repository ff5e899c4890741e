"""The types of settings: a small grammar over scalars, each of which says the characters that a value may have.

    TYPE = SCALAR | record | list of SCALAR | map of TYPE

A value becomes a part of a file of another program, whose syntax is not known here. So no scalar but ``lines`` and
``certificate`` can hold a line end, and none but ``text`` a quote or a backslash.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ordain.transforms.document.formats import network_formats
from ordain.transforms.errors import did_you_mean
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.values import EncodeError, size, timespan

Read = Callable[[str], str | int]
"""The value of a text. Raises `ValueError` with a hint."""
RECORD, LIST_OF, MAP_OF = "record", "list of ", "map of "
FLAG = "flag"


def _pattern(pattern: str, hint: str) -> Read:
    compiled = lazy_pattern(pattern)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(hint)
        return text

    return read


def _whole_lines(read: Read) -> Read:
    """Return ``read`` with a line end added to its last line."""

    def read_lines(text: str) -> str:
        read(text)
        return text if text.endswith("\n") or not text else f"{text}\n"

    return read_lines


def _checked(check: Callable[[str], object]) -> Read:
    """Return a reader of values that ``check`` accepts, except for those with a line end, as systemd ignores blanks."""

    def read(text: str) -> str:
        if not text.isprintable():
            raise ValueError("write it on one line, without tabs")
        try:
            check(text)
        except EncodeError as error:
            raise ValueError(error.hint or error.what) from None
        return text

    return read


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError("write a whole number")
    return int(text)


def _port(text: str) -> int:
    network_formats.port(text)
    return int(text)


def _host(text: str) -> str:
    if ":" not in text:
        _NAME_OF_HOST(text)
        return text
    address, percent, scope = text.partition("%")  # ipaddress takes any text for a scope, also line ends and quotes
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError("use a name or an address, without a port") from None
    if percent:
        network_formats.interface(scope)
    return text


_NUMBER = lazy_pattern(r"-?(0|[1-9][0-9]{0,17})")
_NAME_OF_HOST = _pattern(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?", "use a name or an address, without a port"
)
_BASE64_LINES = r"(?:[A-Za-z0-9+/=]{1,76}\r?\n)+"

SCALARS: Mapping[str, tuple[str, Read]] = {
    FLAG: ("true or false", str),
    "number": ("a whole number", _number),
    "text": ("a text of one line", _pattern(r"[^\x00-\x1f\x7f\u0085\u2028\u2029]*", "write it on one line")),
    "lines": ("a text", _whole_lines(_pattern(r"[^\x00-\x08\x0b-\x1f\x7f]*", "remove the control characters"))),
    "word": ("a word", _pattern(r"[A-Za-z0-9_.@:+/-]+", "use letters, digits and - _ . @ : + /")),
    "name": ("a name", _pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "use letters, digits, - and _")),
    "host": ("a host name or an address", _host),
    "domain": ("a domain", _checked(network_formats.domain)),
    "ip": ("an IP address", _checked(network_formats.FORMATS["ip"])),
    "network": ("an address or a network", _checked(network_formats.network)),
    "port": ("a port", _port),
    "open-port": (
        "a port with its protocol",
        _pattern(r"(?!0)[0-9]{1,5}(?:-(?!0)[0-9]{1,5})?/(?:tcp|udp)", "such as 443/tcp, 51820/udp or 6000-6010/tcp"),
    ),
    "url": (
        "a URL",
        _pattern(
            r"[a-z][a-z0-9+.-]{0,15}://[A-Za-z0-9._~:/?@!&*+,=%\[\]-]+",
            "such as http://proxy.example.org:3128/, without blanks, quotes, $, ; and #",
        ),
    ),
    "path": ("an absolute path", _checked(network_formats.file)),
    "account": (
        "a user, or % and a group",
        _pattern(r"%?[A-Za-z_][A-Za-z0-9_.-]{0,63}", "use letters, digits and - _ . with % before a group"),
    ),
    "plain-command": (
        "ALL, or a command with its full path",
        _pattern(
            r"ALL|/[A-Za-z0-9_./+-]+(?: [A-Za-z0-9_./@%+-]+)*",
            "begin with /, and use letters, digits and - _ . / @ % + in words with one blank between them",
        ),
    ),
    "size": ("a size", _checked(size)),
    "timespan": ("a time span", _checked(timespan)),
    "certificate": (
        "a certificate in PEM",
        _whole_lines(
            _pattern(
                rf"(?:-----BEGIN CERTIFICATE-----\r?\n{_BASE64_LINES}-----END CERTIFICATE-----\s*)+",
                "use the lines from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE----- and no others",
            )
        ),
    ),
    "public-key": (
        "a public key of OpenPGP in ASCII armor",
        _whole_lines(
            _pattern(
                r"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[A-Za-z]+: [ -~]*\r?\n)*\s*\n"
                rf"{_BASE64_LINES}-----END PGP PUBLIC KEY BLOCK-----\s*",
                "use the lines from -----BEGIN PGP PUBLIC KEY BLOCK----- to its END, and no others",
            )
        ),
    ),
}
"""By the name of a scalar type, its name in problems and the reader of its values."""
INTEGERS = frozenset({"number", "port"})
"""The scalars whose values are numbers."""


@dataclass(frozen=True, slots=True)
class SettingType:
    """A type: a scalar or a record, within ``outer`` lists and maps, the outermost first (``list``, ``map``)."""

    inner: str
    outer: tuple[str, ...] = ()

    @property
    def below(self) -> SettingType:
        """Return the type of the members of a list or a map."""
        return SettingType(self.inner, self.outer[1:])


def parse_type(text: str) -> SettingType:
    """Return the type that ``text`` names. Raises `ValueError` with a hint.

    >>> parse_type("map of list of host")
    SettingType(inner='host', outer=('map', 'list'))
    """
    outer: list[str] = []
    rest = text
    while rest.startswith((LIST_OF, MAP_OF)):
        kind, _, rest = rest.partition(" of ")
        outer.append(kind)
    if rest != RECORD and rest not in SCALARS:
        known = (RECORD, *SCALARS)
        raise ValueError(did_you_mean(rest, known) or f"known types: {', '.join(known)}, and list of, map of")
    if "list" in outer[:-1] or (rest == RECORD and "list" in outer):
        raise ValueError("a list can hold scalars only")
    return SettingType(rest, tuple(outer))


def setting_type(text: str) -> None:
    """Check a type."""
    parse_type(text)
