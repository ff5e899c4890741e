"""Values that are valid but surely meant otherwise: numbers without a unit, decimal modes, words of a shell.

Each function returns what is doubtful and a hint, or two empty texts. It is only warned of: the value is used as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ordain.transforms.decimal_numbers import clamped
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.calendar import never_comes
from ordain.transforms.systemd.values import INFINITY, EncodeError, mode, timespan

Doubt = tuple[str, str]
"""A doubt in words, and a hint."""
NO_DOUBT: Doubt = ("", "")
_SIZES = frozenset(
    "MemoryMax MemoryHigh MemorySwapMax MemoryZSwapMax LimitMEMLOCK LimitAS LimitDATA LimitRSS LimitFSIZE LimitSTACK"
    " LimitCORE LimitMSGQUEUE IOReadBandwidthMax IOWriteBandwidthMax".split()
)
"""Settings of bytes of which nobody means less than `LEAST`."""
LEAST = 1 << 20
_BYTES = lazy_pattern(r"[0-9]+(?:\.[0-9]+)?")
_TOO_FEW = {
    "LimitNOFILE": (8, "a process has three open files when it starts, and needs more to read its libraries"),
    "LimitNPROC": (1, "the user could not start any process"),
    "MemoryHigh": (1, "the service would be throttled from its first byte on"),
    "MemoryMax": (1, "no process of the service could run"),
    "StartLimitBurst": (1, "with this number, starts are not limited"),
}
"""Settings with the number below which nothing works, and the reason."""
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
_SPANS = frozenset(
    "TimeoutStartSec TimeoutStopSec TimeoutSec TimeoutAbortSec RestartSec WatchdogSec StartLimitIntervalSec".split()
)
_ENDLESS = frozenset(
    "TimeoutStartSec TimeoutStopSec TimeoutSec TimeoutAbortSec JobTimeoutSec JobRunningTimeoutSec".split()
)
"""Settings of which 0 means that there is not any limit (config_parse_service_timeout())."""
_NEVER = frozenset(
    "OnActiveSec OnBootSec OnStartupSec OnUnitActiveSec OnUnitInactiveSec RandomizedDelaySec RestartSec".split()
)
"""Settings of which infinity is a time that never comes."""
_MONTHS = lazy_pattern(r"([0-9.]+)[ \t]*M(?![a-z])")
_TEN_YEARS = 10 * 31_557_600_000_000
_SECONDS = lazy_pattern(r"([0-9]+)")
_LONGEST_SEC = 10_000
"""A number without a unit from here on is meant in milliseconds."""
_SHELLS = frozenset("sh ash bash dash ksh mksh zsh fish busybox env ssh su sudo runuser systemd-run xargs".split())
_OWN_OPERATORS: Mapping[str, set[str]] = {
    "find": {";"}, "test": {"<", ">"}, "[": {"<", ">"}, "expr": {"<", ">", "|", "&"}, "jq": {"|"}, "bc": {"<", ">"},
}  # fmt: skip
"""Programs to which such a word is an operator of their own."""
_OPERATORS = frozenset("&& || | ; ;; & > >> < << <<< >| &> &>> |& >&2 1>&2 2>&1".split())
_BUILTINS = frozenset("cd export source ulimit umask set unset exec eval trap alias read . :".split())
"""Commands of a shell for which most systems have no program."""
_OWN_LANGUAGES = frozenset(
    "find rsync tar zip sed awk gawk mawk grep egrep rg perl python python3 ruby jq envsubst make psql mysql sqlite3"
    " expr docker podman".split()
)
"""Programs that read variables, patterns or quotes of their own in their words."""
_REDIRECTION = lazy_pattern(r"(?:[0-9]|&)?>>?(?:&[0-9]|/\S+)|</\S+")
_SUBSTITUTION = lazy_pattern(r"\$\(.*\)|`.*`|\S*\$\(\S*|`\S+|\S+`", re.DOTALL)
_END = lazy_pattern(r"[\w./:=%@+,${}-]+;")
"""A word with the ``;`` that ends a command of a shell."""
_ASSIGNMENT = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_TOP = "(?:bin|boot|data|dev|etc|home|lib|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)"
_HOME = lazy_pattern(r"~(?:[a-z_][a-z0-9_-]*)?(?:/\S*)?")
_GLOB = lazy_pattern(rf"(?:/{_TOP}|~|\.\.?)/\S*(?:[*?]|\[\S+\]|\{{\S*,\S*\}})\S*")
_VARIABLE = lazy_pattern(r"\S*(?<!\$)\$(?:[A-Z_][A-Z0-9_]+|\{[A-Za-z_][A-Za-z0-9_]*\})\S*")
_EXPANSION = lazy_pattern(r"\S*\$\{[A-Za-z_][A-Za-z0-9_]*(?::?[-=+?]|[#%/^,:])\S*\}\S*")
_USED_VARIABLE = lazy_pattern(r"(?:^|[/:=,\s])(\$(?:[A-Z][A-Z_]{2,}|\{[A-Z][A-Z0-9_]+\}))(?=$|[/:,\s])")
"""The use of a variable such as $HOME; a password may have a dollar sign, too."""
_SIGNAL = lazy_pattern("SIG(HUP|INT|QUIT|TERM|USR1|USR2|WINCH|CONT|PWR|ALRM)")
"""Signals by which a program may be told to read its configuration again."""
_NOTES = frozenset("tr cut paste column sort join fold printf echo".split())
"""Programs to which # is often an ordinary word."""
_COLOUR = lazy_pattern("[0-9a-fA-F]{3,8}")
_WORD_OF_NOTE = lazy_pattern(r"[A-Za-z][A-Za-z',.]*")
_SHELL = 'for a shell, write [/bin/sh, -c, "…"]'


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
    if key in _SIZES and (doubt := of_size(key, value))[0]:
        return doubt
    if key == "OnCalendar" and (why := never_comes(value)):
        return f"{value!r} never comes: {why}", "write another day"
    if key in _TOO_FEW and (counts := value.split(":")) and all(map(str.isdecimal, counts)):
        fewest, why = _TOO_FEW[key]
        if min(map(clamped, counts)) < fewest:
            return f"{key}={value}: {why}", "write a larger number, or remove it"
    if key in _SPANS and (span := _SECONDS.fullmatch(value)) and clamped(span[1]) >= _LONGEST_SEC:
        hours, number = clamped(span[1]) / 3600, span[1]
        return (
            f"{key}={value} is {number} seconds ({hours:.0f} hours)",
            f"write the unit, such as {number}ms or {number}s",
        )
    if key.endswith("Sec"):
        return of_span(key, value)
    if key in _MODES:
        return of_mode(value, f"{key}=")
    return of_mask(value) if key == "UMask" else NO_DOUBT


def of_span(name: str, value: str) -> Doubt:
    """Return the doubt about a time span, the value of the setting or key ``name``.

    >>> of_span("TimeoutStopSec", "5M")
    ('TimeoutStopSec=5M: M is months, and m is minutes', 'write 5min, or 5month')
    """
    try:
        span = timespan(value)
    except EncodeError:
        return NO_DOUBT
    if months := _MONTHS.search(value):
        return f"{name}={value}: M is months, and m is minutes", f"write {months[1]}min, or {months[1]}month"
    if name in _ENDLESS and not span:
        return f"{name}={value} is a time without an end", "write infinity, or a time"
    if span == INFINITY:
        return (
            (f"{name}={value} is a time that never comes", "write a time, or remove it") if name in _NEVER else NO_DOUBT
        )
    if span > _TEN_YEARS:
        return f"{name}={value} is {span // (_TEN_YEARS // 10)} years", "write the unit, such as ms or s"
    return NO_DOUBT


def is_endless(value: str) -> bool:
    """Return whether a timeout has no end: infinity, or 0 in any spelling.

    >>> is_endless("0 s"), is_endless("infinity"), is_endless("1s"), is_endless("")
    (True, True, False, False)
    """
    try:
        return timespan(value) in (0, INFINITY)
    except EncodeError:
        return False


def of_mask(value: str) -> Doubt:
    """Return the doubt about a file mode creation mask, whose bits are taken away.

    >>> of_mask("0755")[0]
    'UMask=0755 takes the rights rwx from the owner of each new file'
    """
    if value in ("18", "63", "23"):
        return f"UMask={value} is octal", f"write {int(value):04o} if the decimal number was meant"
    try:
        taken = mode(value) & 0o700
    except EncodeError:
        return NO_DOUBT
    if not taken:
        return NO_DOUBT
    rights = _rights(taken).replace("-", "")
    hint = f"write {0o777 & ~mode(value):04o} if this mode of new files was meant"
    return f"UMask={value} takes the rights {rights} from the owner of each new file", hint


def of_variable(name: str, value: str) -> Doubt:
    """Return the doubt about an environment variable, in whose value PID 1 expands nothing (systemd.exec(5)).

    >>> of_variable("PATH", "$PATH:/opt/bin")[0]
    'nothing expands $PATH: the program gets this very text'
    """
    used = _USED_VARIABLE.search(value)
    if used is None:
        return NO_DOUBT
    return f"nothing expands {used[1]}: the program gets this very text", f"write the whole value of {name}"


def of_size(name: str, value: str) -> Doubt:
    """Return the doubt about a size, the last word of a value."""
    size = "".join(value.split()[-1:])
    if _BYTES.fullmatch(size) and 0 < float(size) < LEAST:
        return f"{name}={value} is {size} bytes", f"write the unit, such as {size}M"
    return NO_DOUBT


def of_cpu(value: str) -> Doubt:
    """Return the doubt about the CPU limit of a service.

    >>> of_cpu("50")[0]
    '50 without % is 50 whole CPUs'
    """
    number = value.partition(".")[0]
    if number.isdecimal() and "%" not in value and clamped(number) >= _MANY_CPUS:
        return (
            f"{value} without % is {value} whole CPUs",
            f'write "{value}%", or "{clamped(number) * 100}%" for so many CPUs',
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


def of_signal(word: str) -> Doubt:
    """Return the doubt about a command of one word that is the name of a signal without SIG.

    >>> of_signal("hup")
    ('hup is taken for a program, and not for a signal', 'write SIGHUP')
    """
    name = word.upper()
    full = name if name.startswith("SIG") else f"SIG{name}"
    if word == full or not word.isalnum() or not _SIGNAL.fullmatch(full):
        return NO_DOUBT
    return f"{word} is taken for a program, and not for a signal", f"write {full}"


def of_command(words: Sequence[str], *, expanded: bool = False) -> Doubt:
    """Return the doubt about a command line, of which no shell reads the words; ``expanded``: PID 1 expands variables.

    >>> of_command(("/bin/echo", "a", "&&", "b"))[0]
    'no shell reads this command, so && is an ordinary word for /bin/echo'
    """
    first = words[0].lstrip("-@:+!|") if words and expanded else "".join(words[:1])
    program = first.rpartition("/")[2]
    if program in _SHELLS:
        return NO_DOUBT
    if first in _BUILTINS:
        return f"{first} is a command of the shell, and not a program", f"{_SHELL}, or a key such as working-directory"
    if _ASSIGNMENT.fullmatch(first):
        name, _, value = first.partition("=")
        what = f"no shell reads this command, so {first} is taken for the program"
        return what, f"write `environment: {{{name}: {value or '...'}}}`, and the program as the first word"
    faults = (_fault_of_word(word, words[at + 1 :], first, expanded) for at, word in enumerate(words[1:], 1))
    return next((fault for fault in faults if fault[0]), NO_DOUBT)


def _fault_of_word(word: str, rest: Sequence[str], first: str, expanded: bool) -> Doubt:
    program = first.rpartition("/")[2]
    if word.startswith("#") and program not in _OWN_LANGUAGES | _NOTES and _is_note((word[1:], *rest)):
        return f"nothing begins a comment here, so {word} is an ordinary word for {first}", "write it above the command"
    own = _OWN_OPERATORS.get(program, set()) | ({";"} if expanded else set())
    ends = _END.fullmatch(word) and rest and not rest[0].startswith("-")
    if (word in _OPERATORS and word not in own) or _REDIRECTION.fullmatch(word) or (ends and program != "find"):
        what = f"no shell reads this command, so {word} is an ordinary word for {first}"
        return what, f"{_SHELL}; for a redirection, use the journal"
    if program in _OWN_LANGUAGES:
        return NO_DOUBT
    if _SUBSTITUTION.fullmatch(word):
        return f"no shell reads this command, so {word} is an ordinary word for {first}", _SHELL
    if word == "$MAINPID" and not expanded:
        return "no shell and no systemd reads $MAINPID here", "write the name of a signal, such as `reload: SIGHUP`"
    if _EXPANSION.fullmatch(word) or (_VARIABLE.fullmatch(word) and not expanded):
        what = f"nothing expands {word}: {first} gets this very word"
        return what, 'write the value, {template: …} for a value of the documents, or [/bin/sh, -c, "…"]'
    if _HOME.fullmatch(word) or _GLOB.fullmatch(word):
        what = f"no shell reads this command, so nothing expands {word}: {first} gets this very word"
        return what, f"write the whole path; {_SHELL}"
    return NO_DOUBT


def _is_note(words: Sequence[str]) -> bool:
    """Return whether ``words`` are two or more ordinary words, the first of which may be empty."""
    told = words if words[0] else words[1:]
    if _COLOUR.fullmatch(words[0]):
        return False
    return bool(told) and len(words) > 1 and all(map(_WORD_OF_NOTE.fullmatch, told))


def _rights(mode: int) -> str:
    return "".join(letter if mode & 1 << bit else "-" for bit, letter in zip(range(8, -1, -1), "rwx" * 3, strict=True))
