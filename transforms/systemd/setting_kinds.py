"""The kinds of settings: how each writes a neutral value, and how it checks text in systemd's own syntax.

A `SettingKind` is a pair of functions. ``encode`` turns a neutral value into text; ``check`` looks at text that is in
systemd's syntax already. Both raise `EncodeError`. The functions below make kinds, `parser_table` assigns them to
directives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd import quoting, splitting, unit_name
from ordain.transforms.systemd.values import EncodeError, boolean

Neutral = str | int | float | bool | tuple[str, ...] | Mapping[str, str]
"""A value of a document. A tuple holds the words of a list, a mapping the pairs of NAME=VALUE or FROM:TO."""

Check = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingKind:
    """One way to write and to check a setting."""

    encode: Callable[[Neutral], str]
    check: Check


def scalar(value: Neutral) -> str:
    """Return a neutral scalar as text: booleans as yes and no, numbers as plain decimals.

    >>> scalar(True), scalar(2.0), scalar(0.5)
    ('yes', '2', '0.5')
    """
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            if value != value or abs(value) >= 1e15:
                raise EncodeError(f"a setting cannot hold the number {value}", "use a smaller one")
            return f"{value:.6f}".rstrip("0").rstrip(".")
        case str() | int():
            return str(value)
        case _:
            raise EncodeError("expected one value, found a list")


def as_list(value: Neutral) -> tuple[str, ...]:
    """Return a neutral value as a list; a scalar becomes a list of one."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, Mapping):
        raise EncodeError("expected a list, found a map")
    return (scalar(value),)


def blank_separated(text: str) -> tuple[str, ...]:
    """Return the words of a text in which systemd unquotes nothing; str.split() would split at more characters."""
    return tuple(re.findall(r"[^ \t\n\r]+", text))


def accept_anything(text: str) -> None:
    """Accept anything."""


def _anything_with_specifiers(check: Check) -> Check:
    """Return a check that runs ``check`` on texts without specifiers, and on others only asks that PID 1 knows them."""

    def checked(text: str) -> None:
        splitting.check_specifiers(text)
        if "%" not in text:
            check(text)

    return checked


def _each_without_specifier(parts: Iterable[str], checks: Iterable[Check]) -> None:
    """Run each check on its part; PID 1 knows the value of a part with a specifier only when it loads the unit."""
    for part, check in zip(parts, checks, strict=False):
        if part and "%" not in part:
            check(part)


def typed(check: Check) -> SettingKind:
    """Return the kind of a scalar without specifiers and quotes: numbers, booleans, time spans."""

    def encode(value: Neutral) -> str:
        text = scalar(value)
        check(text)
        return quoting.one_line(text, specifiers=False)

    return SettingKind(encode=encode, check=check)


def choice(*names: str, or_bool: bool = False) -> SettingKind:
    """Return the kind of a word out of ``names``, or, with ``or_bool``, a boolean."""

    def check(text: str) -> None:
        if text in names:
            return
        if or_bool:
            try:
                boolean(text)
            except EncodeError:
                pass
            else:
                return
        allowed = ("yes", "no", *names) if or_bool else names
        raise EncodeError(f"unknown value: {text!r}", f"known values: {', '.join(allowed)}")

    return typed(check)


def text(check: Check = accept_anything, *, specifiers: bool = True) -> SettingKind:
    """Return the kind of a string that systemd neither unquotes nor unescapes; ``check`` sees its shape."""

    def encode(value: Neutral) -> str:
        plain = scalar(value)
        encoded = quoting.one_line(plain, specifiers=specifiers)
        check(quoting.without_sentinels(plain))
        return encoded

    return SettingKind(encode=encode, check=_anything_with_specifiers(check) if specifiers else check)


def word_list(check: Check, *, unescape: bool = False, raw_check: Check | None = None) -> SettingKind:
    """Return the kind of words that systemd unquotes and expands, and with ``unescape`` also C-unescapes.

    ``raw_check`` checks each word in systemd's own syntax, if that allows more than a neutral value can say.
    """
    quote = quoting.c_word if unescape else quoting.quoted_word

    def encode(value: Neutral) -> str:
        items = as_list(value)
        for item in items:
            check(quoting.without_sentinels(item))
        return " ".join(quote(item, specifiers=True) for item in items)

    def check_raw(raw: str) -> None:
        for word in splitting.split(raw, unescape=unescape):
            _anything_with_specifiers(raw_check or check)(word)

    return SettingKind(encode=encode, check=check_raw)


def _any_list(_words: Sequence[str]) -> None:
    """Accept any list."""


def bare_words(
    check: Check,
    *,
    specifiers: bool = False,
    invertible: bool = False,
    alone: str = "",
    check_list: Callable[[Sequence[str]], None] = _any_list,
) -> SettingKind:
    """Return the kind of words without quotes between blanks. The parser would keep quotes, but it removes backslashes.

    ``invertible``: a ~ before the first word turns the list into "all but these"; PID 1 would ignore a quoted ~.
    ``alone`` is a word that only stands for the whole list. ``check_list`` sees all words, with the ~.
    """

    def check_word(word: str, at: int) -> None:
        if not word or any(blank in word for blank in " \t\n\r"):
            raise EncodeError(f"a word of this list cannot hold a blank: {word!r}")
        check(word.removeprefix("~") if invertible and at == 0 else word)

    def check_words(words: Sequence[str], *, expanded: bool) -> None:
        if alone and tuple(words) == (alone,):
            return
        for at, word in enumerate(words):
            if not (expanded and "%" in word):
                check_word(word, at)
        check_list(words)

    def encode(value: Neutral) -> str:
        items = as_list(value)
        check_words([quoting.without_sentinels(item) for item in items], expanded=False)
        return quoting.one_line(" ".join(items).replace("\\", "\\\\"), specifiers=specifiers)

    def check_raw(raw: str) -> None:
        if specifiers:
            splitting.check_specifiers(raw)
        check_words(blank_separated(raw), expanded=specifiers)

    return SettingKind(encode=encode, check=check_raw)


def colon_list(check: Check) -> SettingKind:
    """Return the kind of words with colons between them; a word cannot hold a colon, a quote or a backslash."""

    def encode(value: Neutral) -> str:
        items = as_list(value)
        for item in items:
            if bad := set(item) & set(":\"'\\"):
                raise EncodeError(f"a word of this list cannot hold {min(bad)!r}: {item!r}")
            check(quoting.without_sentinels(item))
        return quoting.one_line(":".join(items), specifiers=True)

    def check_raw(raw: str) -> None:
        for word in raw.split(":"):
            _anything_with_specifiers(check)(word)

    return SettingKind(encode=encode, check=check_raw)


def colon_words(*checks: Check) -> Check:
    """Return the check of words in systemd's own syntax that are parts between colons, one check for each part.

    The last part keeps further colons. In quotes or behind a backslash a colon is an ordinary character, so such words
    are not looked into.
    """

    def check(raw: str) -> None:
        words = splitting.split(raw, unescape=False)
        splitting.check_specifiers(raw)
        if not set(raw) & set("\"'\\"):
            for word in words:
                _each_without_specifier(word.split(":", len(checks) - 1), checks)

    return check


def pairs(
    check_from: Check,
    check_to: Check,
    *,
    escape: Callable[[str], str] = str,
    specifiers_to: bool = True,
    raw: tuple[Check, ...] = (),
) -> SettingKind:
    """Return the kind of words FROM (from a tuple) or FROM:TO (from a mapping, where "" means no TO).

    ``escape`` protects FROM from a second pass of systemd over it. ``specifiers_to``: systemd expands specifiers in TO.
    ``raw`` checks the parts between the colons in systemd's own syntax, if that allows more.
    """

    def half(text: str, check: Check, *, specifiers: bool, escape: Callable[[str], str] = str) -> str:
        check(quoting.without_sentinels(text))
        word = quoting.quoted_word(text, specifiers=specifiers, escape=escape)
        return f'"{word}"' if ":" in text and not word.startswith('"') else word

    def one(left: str, right: str) -> str:
        word = half(left, check_from, specifiers=True, escape=escape)
        return f"{word}:{half(right, check_to, specifiers=specifiers_to)}" if right else word

    def encode(value: Neutral) -> str:
        items = value.items() if isinstance(value, Mapping) else ((item, "") for item in as_list(value))
        return " ".join(one(left, right) for left, right in items)

    return SettingKind(encode=encode, check=colon_words(*(raw or (check_from, check_to))))


_PLAIN = lazy_pattern(r"[A-Za-z0-9_./:=@,+*~#-]+( +[A-Za-z0-9_./:=@,+*~#-]+)*")


def _plain_text(value: str) -> None:
    if not _PLAIN.fullmatch(value):
        raise EncodeError(
            f"this setting cannot hold {value!r} safely",
            "use letters, digits and _./:=@,+*~#-, or write the value in systemd's own syntax",
        )


def plain(check: Check = splitting.check_specifiers) -> SettingKind:
    """Return the kind of a setting with a rare syntax of its own: plain characters only, which pass ``check``."""

    def encode(value: Neutral) -> str:
        joined = " ".join(as_list(value))
        if joined:
            _plain_text(joined)
            check(joined)
        return joined

    return SettingKind(encode=encode, check=check)


def first_and_rest(check_first: Check, check_rest: Check, *, default: str = "") -> SettingKind:
    """Return the kind of a device or path and its value: a tuple of two, or a string with a blank between."""

    def encode(value: Neutral) -> str:
        parts = tuple(re.split("[ \t]+", value.strip(" \t"), maxsplit=1)) if isinstance(value, str) else as_list(value)
        if len(parts) == 1 and default:
            parts = (*parts, default)
        if len(parts) != 2:
            raise EncodeError(f"expected two words, found {value!r}")
        check_first(quoting.without_sentinels(parts[0]))
        check_rest(parts[1])
        return f"{quoting.quoted_word(parts[0], specifiers=True)} {parts[1]}"

    def check_raw(raw: str) -> None:
        words = splitting.split(raw, unescape=False)
        splitting.check_specifiers(raw)
        if len(words) == 1 and not default:
            raise EncodeError(f"expected two words, found {raw!r}")
        _each_without_specifier((words[0], " ".join(words[1:])), (check_first, check_rest))

    return SettingKind(encode=encode, check=check_raw)


def units(*suffixes: str, many: bool = True) -> SettingKind:
    """Return the kind of unit names, of the types ``suffixes`` if there are any. Only %i in a name is expanded."""

    def check(name: str) -> None:
        unit_name.check(name)
        if suffixes and unit_name.unit_type(name) not in suffixes:
            raise EncodeError(f"not a unit of type {' or '.join(suffixes)}: {name!r}")

    def encode(value: Neutral) -> str:
        names = as_list(value) if many else (scalar(value),)
        for name in names:
            if quoting.CREDENTIALS in name:
                raise EncodeError("a unit name cannot hold credential()", "remove it from the template")
            check(quoting.without_sentinels(name))
        return " ".join(quoting.neutral(name, specifiers=True) for name in names)

    def check_raw(raw: str) -> None:
        for name in blank_separated(raw) if many else (raw,):
            _anything_with_specifiers(check)(name)

    return SettingKind(encode=encode, check=check_raw)
