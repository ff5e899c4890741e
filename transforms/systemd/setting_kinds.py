"""Kinds of settings: how each takes a neutral value, and what systemd's own syntax may say in it.

A `SettingKind` is a pair of functions. ``encode`` turns a neutral value into text; ``check`` looks at text already in
systemd's syntax. Both raise `EncodeError`. The functions below make kinds; `parser_table` says which directive is of
which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ordain.transforms.systemd import quoting, splitting, unit_name
from ordain.transforms.systemd.values import EncodeError, boolean

Neutral = str | int | float | bool | tuple[str, ...] | Mapping[str, str]
"""A value of a document. A tuple is the words of a list, a mapping what is written NAME=VALUE or FROM:TO."""

Check = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingKind:
    """One way to write and read a setting."""

    encode: Callable[[Neutral], str]
    check: Check


def scalar(value: Neutral) -> str:
    """A neutral scalar as text: booleans as yes and no, numbers in plain decimals.

    >>> scalar(True), scalar(2.0), scalar(0.5)
    ('yes', '2', '0.5')
    """
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            if value != value or abs(value) >= 1e15:
                raise EncodeError(f"not a number a setting can hold: {value}")
            return f"{value:.6f}".rstrip("0").rstrip(".")
        case str() | int():
            return str(value)
        case _:
            raise EncodeError("one value is wanted, not a list")


def as_list(value: Neutral) -> tuple[str, ...]:
    """A neutral value as a list: a scalar is a list of one."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, Mapping):
        raise EncodeError("a list is wanted, not a map")
    return (scalar(value),)


def blank_separated(text: str) -> tuple[str, ...]:
    """Words as systemd sees them where it unquotes nothing; str.split() knows more blanks than there are."""
    return tuple(re.findall(r"[^ \t\n\r]+", text))


def accept_anything(text: str) -> None:
    """Accept anything."""


def _anything_with_specifiers(check: Check) -> Check:
    """``check`` where the text holds no specifier; else only that PID 1 knows the specifiers."""

    def checked(text: str) -> None:
        splitting.check_specifiers(text)
        if "%" not in text:
            check(text)

    return checked


def _words_and_specifiers(raw: str) -> None:
    splitting.split(raw, unescape=False)
    splitting.check_specifiers(raw)


def typed(check: Check) -> SettingKind:
    """A scalar whose text says it all: numbers, booleans, time spans. No specifiers, no quotes."""

    def encode(value: Neutral) -> str:
        text = scalar(value)
        check(text)
        return quoting.one_line(text, specifiers=False)

    return SettingKind(encode=encode, check=check)


def choice(*names: str, or_bool: bool = False) -> SettingKind:
    """One of ``names``; with ``or_bool``, or a boolean."""

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
        raise EncodeError(f"not one of the values it knows: {text!r}", ", ".join(allowed))

    return typed(check)


def text(check: Check = accept_anything, *, specifiers: bool = True) -> SettingKind:
    """A string as it stands, neither unquoted nor unescaped; ``check`` sees its shape."""

    def encode(value: Neutral) -> str:
        plain = scalar(value)
        encoded = quoting.one_line(plain, specifiers=specifiers)
        check(quoting.without_sentinels(plain))
        return encoded

    return SettingKind(encode=encode, check=_anything_with_specifiers(check) if specifiers else check)


def word_list(check: Check, *, unescape: bool = False, raw_check: Check | None = None) -> SettingKind:
    """Words that are unquoted, and with ``unescape`` C-unescaped; specifiers are expanded.

    ``raw_check`` sees each word of systemd's own syntax, where that knows more than a neutral value says.
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


def bare_words(check: Check, *, specifiers: bool = False, invertible: bool = False) -> SettingKind:
    """Words between blanks that need no quotes, and get none: the parser would keep them, but take a backslash.

    ``invertible``: a ~ before the first word turns the list into "all but these"; a quoted one would be ignored.
    """

    def each(word: str, at: int) -> None:
        if not word or any(blank in word for blank in " \t\n\r"):
            raise EncodeError(f"a word of this list cannot hold a blank: {word!r}")
        check(word.removeprefix("~") if invertible and at == 0 else word)

    def encode(value: Neutral) -> str:
        items = as_list(value)
        for at, item in enumerate(items):
            each(quoting.without_sentinels(item), at)
        return quoting.one_line(" ".join(items).replace("\\", "\\\\"), specifiers=specifiers)

    def check_raw(raw: str) -> None:
        if specifiers:
            splitting.check_specifiers(raw)
        for at, word in enumerate(blank_separated(raw)):
            if not (specifiers and "%" in word):
                each(word, at)

    return SettingKind(encode=encode, check=check_raw)


def colon_list(check: Check) -> SettingKind:
    """Words with colons between them, of which none can hold a colon, a quote or a backslash."""

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


def pairs(
    check_from: Check, check_to: Check, *, escape: Callable[[str], str] = str, specifiers_to: bool = True
) -> SettingKind:
    """Words written FROM or FROM:TO: a tuple gives the first, a mapping the second form ("" = no TO).

    ``escape`` is for what a second pass over FROM takes away; specifiers in TO are only sometimes expanded.
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

    return SettingKind(encode=encode, check=_words_and_specifiers)


_PLAIN = re.compile(r"[A-Za-z0-9_./:=@,+*~#-]+( +[A-Za-z0-9_./:=@,+*~#-]+)*")


def _plain_text(value: str) -> None:
    if not _PLAIN.fullmatch(value):
        raise EncodeError(
            f"cannot be written safely in this setting: {value!r}",
            "letters, digits and _./:=@,+*~#- can; write the rest in systemd's own syntax",
        )


def plain() -> SettingKind:
    """A rare syntax of its own: values of plain characters pass as they are, others are refused."""

    def encode(value: Neutral) -> str:
        joined = " ".join(as_list(value))
        if joined:
            _plain_text(joined)
        return joined

    return SettingKind(encode=encode, check=splitting.check_specifiers)


def first_and_rest(check_first: Check, check_rest: Check, *, default: str = "") -> SettingKind:
    """Two words: a device or path, and what is said of it. A tuple of two, or a string with a blank between."""

    def encode(value: Neutral) -> str:
        parts = tuple(re.split("[ \t]+", value.strip(" \t"), maxsplit=1)) if isinstance(value, str) else as_list(value)
        if len(parts) == 1 and default:
            parts = (*parts, default)
        if len(parts) != 2:
            raise EncodeError(f"two words are wanted: {value!r}")
        check_first(quoting.without_sentinels(parts[0]))
        check_rest(parts[1])
        return f"{quoting.quoted_word(parts[0], specifiers=True)} {parts[1]}"

    return SettingKind(encode=encode, check=_words_and_specifiers)


def units(*suffixes: str, many: bool = True) -> SettingKind:
    """Unit names; only those of ``suffixes``, if any are given. %i in a name is expanded, nothing else is."""

    def check(name: str) -> None:
        unit_name.check(name)
        if suffixes and unit_name.unit_type(name) not in suffixes:
            raise EncodeError(f"not a unit of type {' or '.join(suffixes)}: {name!r}")

    def encode(value: Neutral) -> str:
        names = as_list(value) if many else (scalar(value),)
        for name in names:
            if quoting.CREDENTIALS in name:
                raise EncodeError("a unit name cannot hold credential()")
            check(quoting.without_sentinels(name))
        return " ".join(quoting.neutral(name, specifiers=True) for name in names)

    def check_raw(raw: str) -> None:
        for name in blank_separated(raw) if many else (raw,):
            _anything_with_specifiers(check)(name)

    return SettingKind(encode=encode, check=check_raw)
