"""Values become the text of a setting. test_encode_oracle.py asks a systemd, this file does not."""

from __future__ import annotations

import pytest

from ordain.transforms.systemd import directives, encode, parser_table, splitting, values
from ordain.transforms.systemd.encode import EncodeError
from ordain.transforms.systemd.quoting import CREDENTIALS, INSTANCE
from ordain.transforms.systemd.setting_kinds import Neutral
from support.samples.encode_samples import RAW_REFUSED, RAW_TAKEN, REFUSED, TAKEN


def test_every_parse_function_has_a_kind() -> None:
    used = {directive.parser for directive in directives.all_directives()}
    assert used - set(parser_table.PARSERS) == set()
    assert set(parser_table.PARSERS) - used == set()


def test_every_key_with_a_kind_of_its_own_exists() -> None:
    assert set(parser_table.KEYS) <= {directive.key for directive in directives.all_directives()}


@pytest.mark.parametrize(("section", "key", "value", "text"), TAKEN)
def test_a_value_is_written(section: str, key: str, value: Neutral, text: str) -> None:
    assert encode.encode(section, key, value) == text
    assert encode.encode_raw(section, key, text) == text


@pytest.mark.parametrize(("section", "key", "text"), RAW_TAKEN)
def test_text_in_the_syntax_of_systemd_stays_as_it_is(section: str, key: str, text: str) -> None:
    assert encode.encode_raw(section, key, text) == text


@pytest.mark.parametrize(("section", "key", "text"), RAW_REFUSED)
def test_text_that_systemd_would_ignore_is_refused(section: str, key: str, text: str) -> None:
    with pytest.raises(EncodeError):
        encode.encode_raw(section, key, text)


@pytest.mark.parametrize(("section", "key", "value"), REFUSED)
def test_a_value_is_refused(section: str, key: str, value: Neutral) -> None:
    with pytest.raises(EncodeError) as refused:
        encode.encode(section, key, value)
    assert refused.value.what


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("/bin/true",), "/bin/true"),
        (("true", ""), 'true ""'),
        (("/bin/echo", "a b", 'q"q', "back\\slash"), '/bin/echo "a b" "q\\"q" "back\\\\slash"'),
        (("/bin/echo", "50%", "%i", "$HOME", "${X}", "$$"), '/bin/echo 50%% %%i "$$HOME" "$${X}" "$$$$"'),
        (("/bin/echo", ";", "\n\r\t\x01\x7f"), '/bin/echo ";" "\\n\\r\\t\\x01\\x7f"'),
        (("/opt/a b/100%", "-x"), '"/opt/a b/100%%" -x'),
        (("/bin/x", f"a{INSTANCE}%", f"{CREDENTIALS}/key $"), '/bin/x a%i%% "%d/key $$"'),
    ],
)
def test_a_command_line_is_quoted(argv: tuple[str, ...], line: str) -> None:
    assert encode.encode_command(argv) == line


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("",),
        *((prefix + "/bin/x",) for prefix in "-@:+!|"),
        ("bin/x",),
        ("/bin/",),
        ("/bin/../x",),
        ("/bin/a\\b",),
        ("/bin/$x",),
        ("/bin/'x",),
        ("/bin/a\nb",),
        (".",),
        (";",),
        ("/bin/x", "a\0b"),
        ("/bin/x", "\ud800"),
        ("/bin/x", "\ufffe"),
        ("/bin/x", "x" * 1_000_001),
    ],
)
def test_a_command_is_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(EncodeError):
        encode.encode_command(argv)


def test_a_string_is_a_program_and_not_a_command_line() -> None:
    assert encode.encode("Service", "ExecStart", "/bin/a b") == '"/bin/a b"'


def test_the_environment_must_be_a_map() -> None:
    wanted = 'A=1 "B=two words" "C=$X \\"%%\\"\\n"'
    assert encode.encode("Service", "Environment", {"A": "1", "B": "two words", "C": '$X "%"\n'}) == wanted
    for bad in ({"A-B": "x"}, {"1A": ""}, {"": "x"}, "A=1"):
        with pytest.raises(EncodeError):
            encode.encode("Service", "Environment", bad)


def test_an_empty_list_resets_the_setting() -> None:
    assert encode.encode("Service", "ReadWritePaths", ()) == ""
    assert encode.encode_raw("Service", "ExecStart", "") == ""


@pytest.mark.parametrize(
    ("section", "key", "value", "text"),
    [
        ("Unit", "Description", INSTANCE, "%i"),
        ("Service", "WorkingDirectory", f"/srv/{INSTANCE}", "/srv/%i"),
        ("Unit", "After", f"db@{INSTANCE}.service", "db@%i.service"),
        ("Service", "LoadCredential", ("key", f"/etc/{INSTANCE}"), "key:/etc/%i"),
    ],
)
def test_sentinels_become_specifiers_in_settings_that_expand_them(
    section: str, key: str, value: Neutral, text: str
) -> None:
    assert encode.encode(section, key, value) == text


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("Service", "SetCredential", ("key", INSTANCE)),
        ("Service", "MemoryMax", INSTANCE),
        ("Service", "TimeoutStartSec", INSTANCE),
        ("Service", "StandardInputData", INSTANCE),
        ("Socket", "BindToDevice", INSTANCE),
        ("Unit", "After", f"{CREDENTIALS}.service"),
        ("Unit", "Description", "a\0b"),
    ],
)
def test_sentinels_and_nul_are_refused_in_other_settings(section: str, key: str, value: Neutral) -> None:
    with pytest.raises(EncodeError):
        encode.encode(section, key, value)


def test_a_percent_sign_is_not_doubled_in_a_setting_without_specifiers() -> None:
    assert encode.encode("Service", "MemoryMax", "50%") == "50%"
    assert encode.encode("Service", "SetCredential", ("k", "5%")) == "k:5%"
    assert encode.encode("Socket", "TCPCongestion", "a%b") == "a%b"


def test_a_neutral_path_is_not_expanded_as_a_glob() -> None:
    assert encode.encode("Service", "EnvironmentFile", "/etc/a*[1]?") == "/etc/a\\*\\[1]\\?"


def test_an_inverted_list_is_never_quoted() -> None:
    assert encode.encode("Service", "CapabilityBoundingSet", ("~CAP_KILL", "CAP_BPF")) == "~CAP_KILL CAP_BPF"
    with pytest.raises(EncodeError):
        encode.encode("Service", "CapabilityBoundingSet", ("CAP_KILL", "~CAP_BPF"))


@pytest.mark.parametrize("key", ["X-Ordain-Item", "X-Anything"])
def test_private_keys_take_any_line(key: str) -> None:
    assert encode.encode("Service", key, "100% services/web") == "100% services/web"
    with pytest.raises(EncodeError):
        encode.encode("Service", key, "two\nlines")


def test_an_unknown_key_is_refused_with_similar_names() -> None:
    with pytest.raises(EncodeError) as refused:
        encode.encode("Service", "ExecStrat", ("/bin/true",))
    assert "ExecStart" in refused.value.hint


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ExecStart", "+/bin/echo %n '$HOME' \"a b\" ; /bin/true"),
        ("Environment", '"A=b c" B=%h'),
        ("ReadWritePaths", "-/a -+/b"),
        ("TimeoutStartSec", "5min"),
        ("User", "%i"),
        ("CPUAffinity", "%i"),
        ("ExecStart", "@%h/bin/x y z"),
        ("StateDirectory", "a:b"),
        ("EnvironmentFile", "-/etc/default/*"),
    ],
)
def test_raw_text_keeps_the_syntax_of_systemd(key: str, text: str) -> None:
    assert encode.encode_raw("Service", key, f" {text}\t") == text


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ExecStart", "/bin/x\nUser=root"),
        ("ExecStart", "/bin/x\rUser=root"),
        ("ExecStart", "/bin/x\0User=root"),
        ("ExecStart", "/bin/x \\"),
        ("ExecStart", "/bin/x \ud800"),
        ("ExecStart", '/bin/x "open'),
        ("ExecStart", "/bin/x %Q"),
        ("ExecStart", "-"),
        ("ExecStart", "bin/x"),
        ("ExecStart", "+bin/x"),
        ("MountImages", "/a:%Q"),
        ("ExecStart", "/bin/x " + "y" * 65536),
        ("Environment", "A"),
        ("Environment", "A=%Q"),
        ("Nice", "very"),
        ("ProtectSystem", "stric"),
        ("After", "web"),
        ("Nope", "x"),
    ],
)
def test_raw_text_that_systemd_would_refuse_is_refused(key: str, text: str) -> None:
    section = "Unit" if key == "After" else "Service"
    with pytest.raises(EncodeError):
        encode.encode_raw(section, key, text)


@pytest.mark.parametrize(
    ("text", "usec"),
    [
        ("90", 90_000_000),
        ("0", 0),
        ("5min", 300_000_000),
        ("1h 30min", 5_400_000_000),
        ("1h30m", 5_400_000_000),
        ("2.5s", 2_500_000),
        ("1M", 2_629_800_000_000),
        ("1y 12month", 63_115_200_000_000),
        ("300ms20s 5day", 432_020_300_000),
        (" 5 us ", 5),
        ("infinity", values.INFINITY),
    ],
)
def test_time_spans_are_read_in_microseconds(text: str, usec: int) -> None:
    assert values.timespan(text) == usec


@pytest.mark.parametrize("text", ["", " ", "-1", "soon", "5 parsecs", "s", "1..5s", "12.34.56", "infinity s", "5s\n"])
def test_other_texts_are_not_time_spans(text: str) -> None:
    with pytest.raises(EncodeError):
        values.timespan(text)


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ('a"b c"d', ("ab cd",)),
        ('\'a b\' "c\\"d"', ("a b", 'c"d')),
        ("\\x41\\n\\101\\u00e9\\s\\q", ("A\nA\u00e9 \\q",)),
        ('""  x', ("", "x")),
        ("", ()),
    ],
)
def test_words_are_split_as_systemd_splits_them(text: str, split: tuple[str, ...]) -> None:
    assert splitting.split(text, unescape=True) == split
