"""Unit files are read as systemd reads them, and written so that they are read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordain.transforms.systemd.unit_file import Setting, is_masked, parse, write


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[A]\nk=v", ["v"]),
        ("\ufeff[A]\nk=v\n", ["v"]),
        ("[A]\r\nk=v\r\nk=w\r\n", ["v", "w"]),
        ("[A]\rk=v\rk=w", ["v", "w"]),
        ("[A]\0k=v\0k=w", ["v", "w"]),
        ("[A]\nk=a\x0bb\x85c\u2028d\x0c", ["a\x0bb\x85c\u2028d\x0c"]),
        ("[A]\n k \t= \t v w \t\n", ["v w"]),
        ("[A]\nk=\u00a0v\u00a0", ["\u00a0v\u00a0"]),
        ("[A]\nk=a=b", ["a=b"]),
        ("[A]\nk=\n", [""]),
        ("[A]\n# k=v\n ; k=v\nk=v # no comment", ["v # no comment"]),
        ("[A]\nk=a \\\nb", ["a  b"]),
        ("[A]\nk=a\\\r\nb", ["a b"]),
        ("[A]\nk=a\\\n#comment\\\n  ;another\nb", ["a b"]),
        ("[A]\nk=a\\\\\nk=b", ["a\\\\", "b"]),
        ("[A]\nk=a\\\\\\\nb", ["a\\\\ b"]),
        ("[A]\nk=a\\\n\nk=b", ["a", "b"]),
        ("[A]\nk=a\\", ["a"]),
        ("[A]\nk=a\\\n[B]\nk=b", ["a [B]", "b"]),
        ("k=before\n[A]\nno equals\n=v\nk=v", ["v"]),
        ("[A]\nk=v\n[B\nk=w", ["v"]),
        ("", []),
    ],
)
def test_lines_are_read_as_systemd_reads_them(text: str, values: list[str]) -> None:
    assert [value for _, _, value in parse(text)] == values


def test_sections_may_come_twice_and_keys_keep_their_order() -> None:
    read = parse("[Service]\nB=1\n[Unit]\nA=2\n[Service]\nA=3\nB=\n")
    assert read == (("Service", "B", "1"), ("Unit", "A", "2"), ("Service", "A", "3"), ("Service", "B", ""))


def test_an_empty_file_masks_its_unit() -> None:
    assert is_masked(b"")
    assert not is_masked(b"\n")


def test_a_unit_is_written_in_the_usual_order_with_its_provenance() -> None:
    lines = (
        Setting(section="X-Ordain", key="Item", value="services/web"),
        Setting(section="Install", key="Alias", value="w.service"),
        Setting(section="Service", key="Type", value="exec", comment="web.yaml:3 web services/web/type"),
        Setting(section="Unit", key="Description", value="Web"),
        Setting(section="Service", key="Nice", value="5"),
    )
    assert write(lines, header=("made by ordain",)) == (
        "# made by ordain\n\n[Unit]\nDescription=Web\n\n[Service]\n# web.yaml:3 web services/web/type\n"
        "Type=exec\nNice=5\n\n[Install]\nAlias=w.service\n\n[X-Ordain]\nItem=services/web\n"
    )


def test_a_comment_stays_one_comment() -> None:
    text = write([Setting(section="A", key="k", value="v", comment="x\n[B]\rk=w\0\\\ud800\u2028")])
    assert parse(text) == (("A", "k", "v"),)
    assert text.encode().count(b"\n") == 3


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("A", "k", "a\nb"),
        ("A", "k", "a\rb"),
        ("A", "k", "a\0b"),
        ("A", "k", " a"),
        ("A", "k", "a\\"),
        ("A]", "k", "a"),
        ("A", "k=", "a"),
        ("A", "#k", "a"),
        ("", "k", "a"),
        ("A", "", "a"),
    ],
)
def test_a_setting_that_would_not_be_read_back_is_not_written(section: str, key: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"not (exactly one line|a section)"):
        write([Setting(section=section, key=key, value=value)])


def test_an_empty_unit_is_not_written_since_it_would_mask() -> None:
    with pytest.raises(ValueError, match="mask"):
        write(())


names = st.from_regex(r"[A-Za-z0-9-]{1,8}", fullmatch=True)


@pytest.mark.thorough
@given(st.lists(st.tuples(names, names, st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=6))
def test_written_settings_are_read_back(rows: list[tuple[str, str, str, str]]) -> None:
    try:
        text = write(Setting(section=s, key=k, value=v, comment=c) for s, k, v, c in rows)
    except ValueError:
        return
    assert sorted(parse(text)) == sorted((s, k, v) for s, k, v, _ in rows)
    assert parse(text.replace("\n", "\r\n")) == parse(text)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    for section, key, value in parse(text):
        assert section
        assert key
        assert not set("\n\r\0") & set(key + value)
