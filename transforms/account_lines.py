"""The accounts that lines of sysusers.d(5) make, and the numbers that they cannot have.

Standard library only: `generator.accounts` imports this module, and the package of the generator has a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

FOLDER = "run/ordain/sysusers"
"""The files of the sections `users` and `groups`, below the root."""
RESERVED = frozenset({"65535", "4294967295"})
"""Numbers that mean "none" in 16 and 32 bits, so that no account can have them (systemd.io, UIDS-GIDS)."""


@dataclass(frozen=True, slots=True)
class AccountLine:
    """A line that makes an account: ``kind`` is u or g, ``number`` "" if any will do.

    ``group`` is the main group of a user, "" if it has none of its own.
    """

    kind: str
    name: str
    number: str = ""
    group: str = ""

    @property
    def noun(self) -> str:
        """Return the word for the account, and that for its number."""
        return "user" if self.kind == "u" else "group"

    @property
    def key(self) -> str:
        """Return the word for the number."""
        return "uid" if self.kind == "u" else "gid"


def account_rows(data: bytes) -> list[list[str]]:
    """Return the fields of each line of passwd(5), group(5) or shadow(5).

    Only a line feed ends a line, as for the C library: users write their own name into theirs with chfn(1), and it may
    have other line ends of Unicode, such as U+2028. Whoever split there would not know the user any more.
    """
    return [line.split(":") for line in data.decode("utf-8", "surrogateescape").split("\n")]


def account_lines(text: str) -> Iterator[AccountLine]:
    """Yield the accounts that the lines of a file of ours make.

    >>> [(line.kind, line.number, line.group) for line in account_lines("g web 33\\nu web 33:web - / -\\nm web adm")]
    [('g', '33', ''), ('u', '33', 'web')]
    """
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        words = rest.split()
        if kind in ("u", "g") and len(words) > 1:
            number, _, group = words[1].partition(":")
            yield AccountLine(kind, words[0], "" if number == "-" else number, group)


def memberships(text: str) -> Iterator[tuple[str, str]]:
    """Yield user and group of each line that makes a user a member of a group."""
    for line in text.splitlines():
        kind, *words = line.split()[:3] or [""]
        if kind == "m" and len(words) == 2:
            yield words[0], words[1]


def why_not(line: AccountLine, uids: Mapping[str, str], gids: Mapping[str, str]) -> str:
    """Return why ``line`` cannot have its number where these users and groups exist, by name; "" if it can.

    >>> why_not(AccountLine("u", "web", "33"), {"www-data": "33"}, {})
    'the uid 33 belongs to www-data'
    >>> why_not(AccountLine("u", "web", "33"), {}, {"www-data": "33"})
    'the gid 33, which the main group of web would get as well, belongs to www-data'
    """
    numbers = uids if line.kind == "u" else gids
    if not line.number:
        return ""
    if line.number in RESERVED:
        return f"the {line.key} {line.number} is reserved"
    if (own := numbers.get(line.name)) is not None:
        if own == line.number:
            return ""
        return (
            f"the {line.noun} {line.name} exists with the {line.key} {own}, which never changes, as files belong to it"
        )
    if owner := _owner(line, numbers):
        return f"the {line.key} {line.number} belongs to {owner}"
    # systemd-sysusers refuses such a number, too (uid_is_ok() in src/sysusers/sysusers.c), unless a group is named.
    if line.kind == "u" and not line.group and (owner := _owner(line, gids)):
        return f"the gid {line.number}, which the main group of {line.name} would get as well, belongs to {owner}"
    return ""


def _owner(line: AccountLine, numbers: Mapping[str, str]) -> str:
    return next((name for name, number in numbers.items() if number == line.number and name != line.name), "")
