"""Unit names: validity, templates, and escaping as systemd-escape does it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.values import EncodeError

ESCAPE = shutil.which("systemd-escape")
asks_systemd = pytest.mark.skipif(ESCAPE is None, reason="no systemd-escape here to ask")


@pytest.mark.parametrize("suffix", unit_name.TYPES)
def test_every_type_of_unit_is_known(suffix: str) -> None:
    assert unit_name.is_valid(f"a.{suffix}")


@pytest.mark.parametrize(
    "name", ["a@.service", "a@b@c.service", "-.slice", "a\\x2db.mount", "a:b_c.d-e.target", "x" * 247 + ".service"]
)
def test_a_valid_name_is_accepted(name: str) -> None:
    assert unit_name.is_valid(name)
    assert unit_name.check(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".service",
        ".a.service",
        "a",
        "a.conf",
        "@a.service",
        "a b.service",
        "a/b.service",
        "../a.service",
        "a%i.service",
        "a\n.service",
        "a.service\n",
        "é.service",
        "x" * 248 + ".service",
    ],
)
def test_an_invalid_name_is_refused(name: str) -> None:
    assert not unit_name.is_valid(name)
    with pytest.raises(EncodeError):
        unit_name.check(name)


def test_a_template_makes_instances_with_escaped_names() -> None:
    assert unit_name.instance_of("backup@.timer", unit_name.escape("a b")) == "backup@a\\x20b.timer"
    assert unit_name.template_of("backup@a\\x20b.timer") == "backup@.timer"
    for template, instance in (("backup.timer", "a"), ("backup@x.timer", "a"), ("backup@.timer", "")):
        with pytest.raises(EncodeError):
            unit_name.instance_of(template, instance)


def test_names_longer_than_systemd_allows_are_refused() -> None:
    with pytest.raises(EncodeError):
        unit_name.escape("é" * 32)
    with pytest.raises(EncodeError):
        unit_name.instance_of("t@.service", "x" * 250)


@pytest.mark.parametrize("path", ["relative", "", "/a/../b", "/..", "/\0", "/" + "x" * 256])
def test_a_path_without_a_name_is_refused(path: str) -> None:
    with pytest.raises(EncodeError):
        unit_name.escape_path(path)


@pytest.mark.parametrize("text", ["a\\", "a\\x2", "\\y", "\\xff"])
def test_text_that_is_not_an_escape_is_not_unescaped(text: str) -> None:
    with pytest.raises(EncodeError):
        unit_name.unescape(text)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(texts)
def test_unescape_undoes_escape(text: str) -> None:
    assert unit_name.unescape(unit_name.escape(text)) == text


@given(texts.map(lambda text: "/" + text))
def test_an_escaped_path_names_a_mount_unit(path: str) -> None:
    try:
        name = unit_name.escape_path(path)
    except EncodeError:
        return
    assert unit_name.is_valid(f"{name}.mount")
    assert unit_name.escape_path(unit_name.unescape_path(name)) == name


def _systemd_escape(*arguments: str) -> list[str]:
    assert ESCAPE is not None
    done = subprocess.run([ESCAPE, *arguments], capture_output=True, check=True, timeout=30)
    return done.stdout.decode().removesuffix("\n").split(" ")


@asks_systemd
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(texts.filter(bool), min_size=1, max_size=30))
@example([".", "..", "-", "\\", "a/b", "/", "é", "a@b", "a:b_c.d", "\x01\n\u2028"])
def test_escape_returns_what_systemd_escape_prints(words: list[str]) -> None:
    assert [unit_name.escape(word) for word in words] == _systemd_escape("--", *words)


@asks_systemd
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text("a./-é\\ ", max_size=12).map(lambda text: "/" + text), min_size=1, max_size=30))
@example(["/", "//", "/.a", "/a/./b", "/a//b/", "/-", "/./."])
def test_escape_path_returns_what_systemd_escape_prints(paths: list[str]) -> None:
    good = [path for path in paths if ".." not in path.split("/")]
    if good:
        assert [unit_name.escape_path(path) for path in good] == _systemd_escape("--path", "--", *good)
