"""Settings with a syntax of their own: commands, environment, credentials, standard input and output, limits."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import partial

from ordain.transforms.systemd import quoting, value_checks, values
from ordain.transforms.systemd.setting_kinds import Neutral, SettingKind, as_list, scalar, text, typed
from ordain.transforms.systemd.splitting import check_escapes, check_specifiers, split
from ordain.transforms.systemd.values import EncodeError


def command(argv: tuple[str, ...]) -> str:
    """Return a command line whose words are exactly ``argv``."""
    if not argv:
        raise EncodeError("empty command", "write the program as the first word")
    value_checks.program(quoting.without_sentinels(argv[0]))
    first = quoting.c_word(argv[0])
    rest = (quoting.c_word(word, escape=lambda piece: piece.replace("$", "$$")) for word in argv[1:])
    return " ".join((first, *rest))


def environment(name: str, value: str) -> str:
    """Return one word ``NAME=VALUE``."""
    value_checks.environment_name(name)
    return quoting.c_word(f"{name}={value}")


def exec_line() -> SettingKind:
    """Return the kind of a command line: a tuple is an argument vector, a string a program without arguments."""

    def encode(value: Neutral) -> str:
        if not isinstance(value, (tuple, str)):
            raise EncodeError("expected a command as a list of words")
        return command(as_list(value))

    def check(raw: str) -> None:
        check_specifiers(raw)
        words = split(raw, unescape=True)
        first = "".join(words[:1]).lstrip("-@:+!|")
        if not first or (not first.startswith(("/", "%")) and "/" in first):
            raise EncodeError(f"command without a program: {raw!r}", "begin it with an absolute path or a file name")
        if "@" in words[0].removesuffix(first) and len(words) == 1:
            raise EncodeError(f"a command with @ needs two words: {raw!r}", "write the name of the process second")

    return SettingKind(encode=encode, check=check)


def environ() -> SettingKind:
    """Return the kind of assignments: a mapping of names to values."""

    def encode(value: Neutral) -> str:
        if not isinstance(value, Mapping):
            raise EncodeError("expected the environment as a map of names to values")
        return " ".join(environment(name, item) for name, item in value.items())

    def check(raw: str) -> None:
        check_specifiers(raw)
        for word in split(raw, unescape=True):
            name, equals, _ = word.partition("=")
            if not equals:
                raise EncodeError(f"not an assignment: {word!r}", "write NAME=VALUE")
            value_checks.environment_name(name)

    return SettingKind(encode=encode, check=check)


def environment_file() -> SettingKind:
    """Return the kind of an environment file. PID 1 expands globs in it, so a neutral path is escaped for glob(3)."""

    def encode(value: Neutral) -> str:
        path = scalar(value)
        value_checks.absolute_path(quoting.without_sentinels(path))
        return quoting.one_line(re.sub(r"([*?\[\\])", r"\\\1", path), specifiers=True)

    return SettingKind(encode=encode, check=text(value_checks.environment_file).check)


def condition(check: value_checks.Check) -> SettingKind:
    """Return the kind of a condition; in systemd's syntax it may begin with | (one of several) and ! (not)."""
    plain = text(check)
    return SettingKind(encode=plain.encode, check=lambda raw: plain.check(re.sub(r"^\|?[ \t]*!?[ \t]*", "", raw)))


def input_text() -> SettingKind:
    """Return the kind of a text that systemd C-unescapes and adds a line end to, so a neutral text must end in one."""

    def encode(value: Neutral) -> str:
        content = scalar(value)
        if not content.endswith("\n"):
            raise EncodeError(
                "systemd adds a line end to this text", "end the text in a line end, or use StandardInputData="
            )
        return quoting.neutral(content[:-1], specifiers=True, escape=quoting.c_escape)

    def check(raw: str) -> None:
        check_specifiers(raw)
        check_escapes(raw)

    return SettingKind(encode=encode, check=check)


def input_data() -> SettingKind:
    """Return the kind of a setting that holds the bytes of a neutral string in base64."""

    def encode(value: Neutral) -> str:
        content = quoting.neutral(scalar(value), specifiers=False)
        return base64.b64encode(content.encode()).decode()

    def check(raw: str) -> None:
        try:
            base64.b64decode(re.sub(r"\s", "", raw), validate=True)
        except ValueError:
            raise EncodeError("not base64", "encode the content with base64") from None

    return SettingKind(encode=encode, check=check)


def _one_pair(value: Neutral) -> tuple[str, str]:
    items = tuple(value.items()) if isinstance(value, Mapping) else (as_list(value),)
    if len(items) != 1 or len(items[0]) != 2:
        raise EncodeError("expected one name with its value")
    return items[0][0], items[0][1]


def load_credential() -> SettingKind:
    """Return the kind of a credential's name with its source: a path or another name."""

    def encode(value: Neutral) -> str:
        name, source = _one_pair(value)
        value_checks.credential_name(name)
        if source.startswith("/"):
            value_checks.absolute_path(quoting.without_sentinels(source))
        else:
            value_checks.credential_name(quoting.without_sentinels(source))
        return f"{name}:{quoting.one_line(source, specifiers=True)}"

    def check(raw: str) -> None:
        check_specifiers(raw)
        name, _, source = raw.partition(":")
        value_checks.any_credential_name(name)
        if not source.startswith("/"):
            value_checks.any_credential_name(source or name)

    return SettingKind(encode=encode, check=check)


def set_credential(*, encrypted: bool) -> SettingKind:
    """Return the kind of a credential's name with its content; encrypted content is in base64 already."""

    def encode(value: Neutral) -> str:
        name, content = _one_pair(value)
        value_checks.credential_name(name)
        if encrypted:
            input_data().check(content)
            return f"{name}:{''.join(content.split())}"
        return f"{name}:{quoting.neutral(content, specifiers=False, escape=quoting.c_escape)}"

    def check(raw: str) -> None:
        name, colon, _ = raw.partition(":")
        if not colon:
            raise EncodeError("a credential without a value", "write NAME:VALUE")
        value_checks.any_credential_name(name)

    return SettingKind(encode=encode, check=check)


def output(*names: str) -> SettingKind:
    """Return the kind of one of ``names``, or of file:, append:, truncate: with a path, or fd: with a name."""

    def check(value: str) -> None:
        head, colon, rest = value.partition(":")
        if colon and head in ("file", "append", "truncate"):
            value_checks.absolute_path(rest)
        elif colon and head == "fd":
            value_checks.fd_name(rest)
        elif value not in names:
            raise EncodeError(f"not an input or output: {value!r}", f"known: {', '.join((*names, 'file:PATH'))}")

    return text(check)


def bool_or_words(*names: str) -> SettingKind:
    """Return the kind of a boolean, or of words out of ``names``, with ~ before the first for "all but these"."""

    def check(value: str) -> None:
        for at, word in enumerate(re.split("[ \t]+", value)):
            if word.removeprefix("~" if at == 0 else "") not in names:
                raise EncodeError(f"unknown value: {word!r}", f"known values: {', '.join(('yes', 'no', *names))}")

    def both(value: str) -> None:
        try:
            values.boolean(value)
        except EncodeError:
            check(value)

    return SettingKind(encode=lambda value: _checked(" ".join(as_list(value)), both), check=both)


def _checked(value: str, check: value_checks.Check) -> str:
    check(value)
    return quoting.one_line(value, specifiers=False)


def resource_limits() -> dict[str, SettingKind]:
    """Return the kind of each Limit…= key: one parse function reads them all, each in a unit of its own."""
    resources = "CPU FSIZE DATA STACK CORE RSS NOFILE AS NPROC MEMLOCK LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
    return {
        f"Limit{resource}": typed(partial(values.resource_limit, resource=resource)) for resource in resources.split()
    }
