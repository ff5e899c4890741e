"""A value of a setting ends neither the line nor the quotes in which a file of a system has it."""

from __future__ import annotations

import pytest

from ordain.transforms.document.formats.setting_types import FLAG, SCALARS

VALUES = {
    "number": ("1",),
    "word": ("a",),
    "name": ("a",),
    "host": ("a.example", "2001:db8::1", "fe80::1%eth0"),
    "domain": ("a.example",),
    "ip": ("192.0.2.1", "2001:db8::1"),
    "network": ("192.0.2.0/24", "2001:db8::/32"),
    "port": ("22",),
    "open-port": ("443/tcp",),
    "url": ("http://a.example/",),
    "path": ("/a",),
    "account": ("a", "%a"),
    "plain-command": ("ALL", "/bin/a -b"),
    "size": ("1M",),
    "timespan": ("1h", "1h 5min"),
}
"""Valid values of the types that have no quotes and no line ends."""
OTHERS = {FLAG, "text", "lines", "certificate", "public-key"}
LINE_ENDS = "\n\r\t\0\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
QUOTES = "\"'\\`$;#<>{}()|"


def changed(value: str, character: str) -> set[str]:
    return {value[:at] + character + value[at:] for at in range(len(value) + 1)} | {f"{value}{character}x = y"}


def test_each_type_is_tried() -> None:
    assert {*VALUES, *OTHERS} == set(SCALARS)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("characters", [LINE_ENDS, QUOTES], ids=["line ends", "quotes"])
def test_a_value_has_neither_a_line_end_nor_a_quote_anywhere(kind: str, characters: str) -> None:
    read = SCALARS[kind][1]
    for value in VALUES[kind]:
        assert str(read(value)) == value
        for text in sorted(text for character in characters for text in changed(value, character)):
            with pytest.raises(ValueError):  # noqa: PT011  # each type has another hint
                read(text)
