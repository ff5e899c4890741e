"""Values that are valid but surely meant otherwise: numbers without a unit, modes in decimal, words of a shell.

Each function returns what is doubtful and a hint, or two empty texts. It is only warned of: the value is used as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Doubt = tuple[str, str]
"""A doubt in words, and a hint."""
NO_DOUBT: Doubt = ("", "")
_SIZES = frozenset(
    "MemoryMax MemoryHigh MemorySwapMax MemoryZSwapMax LimitMEMLOCK LimitAS LimitDATA LimitRSS LimitFSIZE LimitSTACK"
    " IOReadBandwidthMax IOWriteBandwidthMax".split()
)
"""Settings of bytes of which nobody means less than `LEAST`."""
LEAST = 1 << 20
_MODES = frozenset(
    "SocketMode DirectoryMode RuntimeDirectoryMode StateDirectoryMode CacheDirectoryMode LogsDirectoryMode"
    " ConfigurationDirectoryMode".split()
)
_DECIMAL_MODES = {
    f"{mode:d}": f"{mode:04o}"
    for mode in (0o400, 0o440, 0o444, 0o500, 0o550, 0o555, 0o600, 0o640, 0o644, 0o660, 0o664, 0o666, 0o700, 0o710,
                 0o711, 0o750, 0o755, 0o770, 0o775, 0o777)
}  # fmt: skip
"""Usual modes by their decimal number, as other programs write them: 420 is 0644."""
_MANY_CPUS = 10
_SPANS = frozenset("TimeoutStartSec TimeoutStopSec TimeoutSec TimeoutAbortSec RestartSec WatchdogSec".split())
_SECONDS = re.compile(r"([0-9]+)")
_LONGEST_SEC = 10_000
"""A number without a unit from here on is meant in milliseconds."""
_SHELLS = frozenset("sh ash bash dash ksh mksh zsh fish busybox env ssh su sudo runuser systemd-run xargs".split())
_OWN_OPERATORS: Mapping[str, set[str]] = {
    "find": {";"}, "test": {"<", ">"}, "[": {"<", ">"}, "expr": {"<", ">", "|", "&"}, "jq": {"|"}, "bc": {"<", ">"},
}  # fmt: skip
"""Programs to which such a word is an operator of their own."""
_OPERATORS = frozenset("&& || | ; ;; & > >> < << <<< >| &> &>> |& >&2 1>&2 2>&1".split())
_REDIRECTION = re.compile(r"(?:[0-9]|&)?>>?(?:&[0-9]|/\S+)|</\S+|\$\(.*\)|`.*`")
_VARIABLE = re.compile(r"\$(?:[A-Z_][A-Z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})")


def octal_of(text: str) -> str:
    """Return the usual mode whose decimal number ``text`` is, "" if it is none.

    >>> octal_of("384"), octal_of("0640")
    ('0600', '')
    """
    return _DECIMAL_MODES.get(text, "")


def of_setting(key: str, value: str) -> Doubt:
    """Return the doubt about the value of a setting of a unit.

    >>> of_setting("MemoryMax", "64")[0]
    'MemoryMax=64 is 64 bytes'
    """
    if key in _SIZES:
        return of_size(key, value)
    if key in _SPANS and (span := _SECONDS.fullmatch(value)) and int(span[1]) >= _LONGEST_SEC:
        hours, number = int(span[1]) / 3600, span[1]
        return (
            f"{key}={value} is {number} seconds ({hours:.0f} hours)",
            f"write the unit, such as {number}ms or {number}s",
        )
    if key in _MODES:
        return of_mode(value, f"{key}=")
    if key == "UMask" and value in ("18", "63", "23"):
        return f"UMask={value} is octal", f"write {int(value):04o} if the decimal number was meant"
    return NO_DOUBT


def of_size(name: str, value: str) -> Doubt:
    """Return the doubt about a size, the last word of a value."""
    size = "".join(value.split()[-1:])
    if size.isdecimal() and 0 < int(size) < LEAST:
        return f"{name}={value} is {size} bytes", f"write the unit, such as {size}M"
    return NO_DOUBT


def of_cpu(value: str) -> Doubt:
    """Return the doubt about the CPU limit of a service.

    >>> of_cpu("50")[0]
    '50 without % is 50 whole CPUs'
    """
    number = value.partition(".")[0]
    if number.isdecimal() and "%" not in value and int(number) >= _MANY_CPUS:
        return (
            f"{value} without % is {value} whole CPUs",
            f'write "{value}%", or "{int(number) * 100}%" for so many CPUs',
        )
    return NO_DOUBT


def of_mode(value: str, name: str = "mode ") -> Doubt:
    """Return the doubt about an access mode.

    >>> of_mode("420")
    ('mode 420 is octal: r---w----', 'write 0644 if the decimal number was meant')
    """
    if meant := octal_of(value):
        return f"{name}{value} is octal: {_rights(int(value, 8))}", f"write {meant} if the decimal number was meant"
    return NO_DOUBT


def of_command(words: Sequence[str], *, expanded: bool = False) -> Doubt:
    """Return the doubt about a command line, of which no shell reads the words; ``expanded``: PID 1 expands variables.

    >>> of_command(("/bin/echo", "a", "&&", "b"))[0]
    'no shell reads this command, so && is an ordinary word for /bin/echo'
    """
    program = words[0].rpartition("/")[2] if words else ""
    if program in _SHELLS:
        return NO_DOUBT
    own = _OWN_OPERATORS.get(program, set()) | ({";"} if expanded else set())
    for word in words[1:]:
        if (word in _OPERATORS and word not in own) or _REDIRECTION.fullmatch(word):
            what = f"no shell reads this command, so {word} is an ordinary word for {words[0]}"
            return what, 'for a shell, write [/bin/sh, -c, "…"]; for a redirection, use the journal'
        if expanded:
            continue
        if word == "$MAINPID":
            return "no shell and no systemd reads $MAINPID here", "write the name of a signal, such as `reload: SIGHUP`"
        if _VARIABLE.fullmatch(word):
            what = f"nothing expands {word}: {words[0]} gets this very word"
            return what, 'write the value, {template: …} for a value of the documents, or [/bin/sh, -c, "…"]'
    return NO_DOUBT


def _rights(mode: int) -> str:
    return "".join(letter if mode & 1 << bit else "-" for bit, letter in zip(range(8, -1, -1), "rwx" * 3, strict=True))
