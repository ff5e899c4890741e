"""PID 1's own parser reads encoded settings back: `systemd --test` is the oracle.

``/lib/systemd/systemd --test --user`` loads units and prints them as parsed, in some 30 ms for a whole directory. It
refuses to run as root, so root runs it as nobody. Nothing is started.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ordain.transforms.systemd import calendar, directives, encode, unit_file, values
from ordain.transforms.systemd.checks import directive_words
from ordain.transforms.systemd.encode import EncodeError
from ordain.transforms.systemd.quoting import CREDENTIALS, INSTANCE
from support.samples.encode_samples import RAW_REFUSED, RAW_TAKEN, REFUSED, TAKEN

SYSTEMD = next((p for p in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if Path(p).exists()), None)
ANALYZE = shutil.which("systemd-analyze")
NOBODY = 65534

pytestmark = [pytest.mark.skipif(SYSTEMD is None, reason="no systemd binary here to ask"), pytest.mark.thorough]


@contextmanager
def _directory() -> Iterator[Path]:
    """Yield a directory that other users cannot read, independent of the mode of pytest's own."""
    with tempfile.TemporaryDirectory(prefix="oracle-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def pid1(units: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the units as PID 1 prints them, and its messages on stderr."""
    with _directory() as root:
        directory = root / "units"
        directory.mkdir()
        for name, text in units.items():
            (directory / name).write_bytes(text.encode())
        (directory / "all.target").write_text(f"[Unit]\nWants={' '.join(units)}\n")
        environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/",
            "XDG_RUNTIME_DIR": str(root),
            "SYSTEMD_UNIT_PATH": f"{directory}:",
            "SYSTEMD_GENERATOR_PATH": str(root),
            "SYSTEMD_ENVIRONMENT_GENERATOR_PATH": str(root),
            "SYSTEMD_LOG_TARGET": "console",
            "SYSTEMD_LOG_LEVEL": "info",
            "LC_ALL": "C.UTF-8",
        }
        user = NOBODY if os.getuid() == 0 else None
        if user is not None:
            os.chown(root, user, user)
        done = subprocess.run(
            [str(SYSTEMD), "--test", "--user", "--unit=all.target"],
            env=environ,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            capture_output=True,
            timeout=60,
            check=False,
        )
    out, err = done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape")
    if done.returncode:
        pytest.skip(f"systemd --test does not run here: {err.strip()[-200:]}")
    blocks = {}
    for block in re.split(r"^\t?(?:->|→) Unit (?=[^\n]*:\n\t*Description: )", out, flags=re.MULTILINE):
        blocks[block.partition(":\n")[0]] = block
    return blocks, "\n".join(line for line in err.splitlines() if str(directory) in line)


def command_lines(block: str) -> list[list[str]]:
    """Return the argument vectors of a printed unit; $$ becomes $, as when the program is started."""
    return [_words(line) for line in re.findall(r"^\t+Command Line: (.*)\n", block, re.MULTILINE)]


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _words(line: str) -> list[str]:
    """Undo quote_command_line() with shell escapes: "…" around what is not plain, C escapes, \\$ and \\`."""
    found = []
    for at, match in enumerate(re.finditer(r'(?: |^)(?:"((?:[^"\\]|\\.)*)"|([^ "]+))', line)):
        quoted, bare = match.groups()
        text = bare if quoted is None else re.sub(r"\\([0-7]{3}|.)", _unescaped, quoted)
        if at:
            assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", text), f"a $ that would be expanded: {text!r}"
            text = text.replace("$$", "$")
        found.append(text)
    return found


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code, 8)) if len(code) == 3 else _ESCAPES.get(code, code)


# Characters that have a meaning for some layer, in any mixture, and characters that need no quotes: a word of these
# alone is not quoted.
hostile = st.one_of(
    st.text(
        st.one_of(
            st.sampled_from("%$\"'\\ \t\n\r;#=-@:+!|~{}*?[]()/.,\x01\x1b\x7f\x85\u2028\ufeffaiHné\U0001f600"),
            st.characters(codec="utf-8"),
        ),
        max_size=12,
    ),
    st.text("ai0_./:=@,+%-", max_size=8),
    st.text("a%$\"'\\ ", max_size=6),
).filter(lambda text: INSTANCE not in text and CREDENTIALS not in text)
absolute = hostile.map(lambda text: "/" + text)
batch = settings(
    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize="CI" in os.environ
)


def service(*, unit: str = "", service: str = "", command: str = "/bin/true") -> str:
    return f"[Unit]\n{unit}\n[Service]\nExecStart={command}\n{service}\n"


def encoded(section: str, key: str, value: encode.Neutral) -> str | None:
    try:
        return encode.encode(section, key, value)
    except EncodeError:
        return None


@batch
@given(st.lists(st.lists(hostile, max_size=5), min_size=1, max_size=25))
@example(
    [["\0"], ["a\nb", "", ";", "$HOME", "${X}", "%i", "%%", "$$", "\\", "'", '"', "-x", " "], ["\r", "\x85", "\u2028"]]
)
def test_every_argument_arrives_unchanged(vectors: list[list[str]]) -> None:
    wanted = {}
    for at, arguments in enumerate(vectors):
        argv = ("/bin/true", *arguments)
        if (line := encoded("Service", "ExecStart", argv)) is not None:
            wanted[f"a{at}.service"] = (line, list(argv))
        else:
            assert any("\0" in word or not _writable(word) for word in arguments)
    blocks, said = pid1({name: service(command=line) for name, (line, _) in wanted.items()})
    assert said == ""
    assert {name: command_lines(blocks[name]) for name in wanted} == {n: [argv] for n, (_, argv) in wanted.items()}


def _writable(text: str) -> bool:
    return not any(0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE for c in text)


@batch
@given(st.lists(absolute | hostile, min_size=1, max_size=25))
@example(["/opt/a b/c%d", "/a$b", "true", "-/bin/x", "+x", "/é\u2028", "/x%%"])
def test_a_program_is_run_by_its_own_name_and_without_prefixes(programs: list[str]) -> None:
    wanted = {}
    for at, program in enumerate(programs):
        if (line := encoded("Service", "ExecStart", (program, "x"))) is not None:
            wanted[f"p{at}.service"] = (line, program)
    blocks, said = pid1({name: service(command=line) for name, (line, _) in wanted.items()})
    assert said == ""
    for name, (_, program) in wanted.items():
        [[path, argument]] = command_lines(blocks[name])
        assert (_simple(path), argument) == (_simple(program), "x")
        assert program[0] not in "-@:+!|"  # PID 1 prints no prefixes, so there must not be any


def _simple(path: str) -> str:
    """Return the path without empty and "." components, of which path_simplify() drops some."""
    return ("/" if path.startswith("/") else "") + "/".join(x for x in path.split("/") if x not in ("", "."))


@batch
@given(st.lists(hostile, min_size=1, max_size=25))
@example(["a\nb", "", " x ", "$$D ${X}", "%h", '"q"', "\\", "\x7f\x01"])
def test_every_variable_arrives_unchanged(values: list[str]) -> None:
    texts = {}
    for at, value in enumerate(values):
        if (line := encoded("Service", "Environment", {"V": value})) is not None:
            texts[f"e{at}.service"] = (f"Environment={line}\nEnvironment=Z=end", value)
        else:
            assert "\0" in value or not _writable(value)
    blocks, said = pid1({name: service(service=line) for name, (line, _) in texts.items()})
    assert said == ""
    for name, (_, value) in texts.items():
        assert f"\n\t\tEnvironment: V={value}\n\t\tEnvironment: Z=end\n" in blocks[name]


# The way each key is printed, and strings to try. A path may come back without empty and "." components.
ONE_LINE = {
    ("Unit", "Description"): ("Description: {}\n", hostile),
    ("Unit", "ConditionPathExists"): ("ConditionPathExists: {} untested\n", absolute),
    ("Unit", "ConditionHost"): ("ConditionHost: {} untested\n", hostile),
    ("Unit", "SourcePath"): ("Source Path: {}\n", absolute),
    ("Unit", "RequiresMountsFor"): ("RequiresMountsFor: {} (origin-file)\n", absolute),
    ("Service", "WorkingDirectory"): ("WorkingDirectory: {}\n", absolute),
    ("Service", "RootDirectory"): ("RootDirectory: {}\n", absolute),
    ("Service", "UnsetEnvironment"): ("UnsetEnvironment: {}\n", hostile.map(lambda text: f"V={text}")),
    ("Service", "LogExtraFields"): ("LogExtraFields: {}\n", hostile.map(lambda text: f"V={text}")),
    ("Service", "User"): ("User: {}\n", hostile),
    ("Service", "SupplementaryGroups"): ("SupplementaryGroups: {}\n", hostile),
    ("Service", "PIDFile"): ("PIDFile: {}\n", absolute),
    ("Service", "EnvironmentFile"): ("EnvironmentFile: {}\n", absolute),
    ("Service", "StateDirectory"): ("StateDirectory: {}\n", hostile),
    ("Service", "ReadWritePaths"): ("ReadWritePaths: {}\n", absolute),
    ("Service", "ExecSearchPath"): ("ExecSearchPath: {}\n", absolute),
    ("Service", "BindPaths"): ("BindPaths: {0}:{0}:rbind\n", absolute),
    ("Service", "TemporaryFileSystem"): ("TemporaryFileSystem: {}\n", absolute),
    ("Service", "InaccessiblePaths"): ("InaccessiblePaths: {}\n", absolute),
    ("Service", "BusName"): ("BusName: {}\n", hostile.map(lambda text: f"org.{text}")),
    ("Unit", "Documentation"): ("Documentation: {}\n", hostile.map(lambda text: f"man:{text}")),
    ("Service", "StandardOutput"): ("StandardOutput: file\n", absolute.map(lambda path: f"file:{path}")),
}


TOGETHER = 8
"""Keys that PID 1 is asked about at once: its start takes longer than all of their units."""


@pytest.mark.parametrize("first", range(0, len(ONE_LINE), TOGETHER))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_string_arrives_unchanged_or_is_refused(first: int, data: st.DataObject) -> None:
    texts = {}
    for (section, key), (shape, strategy) in [*ONE_LINE.items()][first : first + TOGETHER]:
        for at, value in enumerate(data.draw(st.lists(strategy, min_size=1, max_size=40, unique=True), label=key)):
            if line := encoded(section, key, value):
                where = {"unit" if section == "Unit" else "service": f"{key}={line}"}
                printed = _unglobbed(value) if key == "EnvironmentFile" else value
                texts[f"{key.lower()}{at}.service"] = (service(**where), shape, printed)
    blocks, said = pid1({name: text for name, (text, _, _) in texts.items()})
    assert [x for x in said.splitlines() if "does not match strict user/group name rules" not in x] == []
    for name, (text, shape, value) in texts.items():
        same_path = _simple(f"\t\t{shape.format(_simple(value))[:-1]}")
        printed = blocks[name]
        assert f"\t\t{shape.format(value)}" in printed or same_path in map(_simple, _lines(printed)), text


def _lines(text: str) -> list[str]:
    """Return the lines; str.splitlines() would split at more characters than systemd."""
    return text.split("\n")


def _unglobbed(path: str) -> str:
    """Return the pattern by which glob(3) finds exactly this path."""
    return re.sub(r"([*?\[\\])", r"\\\1", path)


def test_sentinels_become_specifiers() -> None:
    argv = ("/bin/true", f"a{INSTANCE}b", f"{CREDENTIALS}/key", "%i")
    text = service(
        unit=f"Description={encode.encode('Unit', 'Description', f'of {INSTANCE}%')}",
        command=encode.encode_command(argv),
    )
    blocks, said = pid1({"t@.service": text, "x.service": service(unit="Requires=t@one.service")})
    assert said == ""
    block = blocks["t@one.service"]
    [[_, first, second, third]] = command_lines(block)
    assert "\t\tDescription: of one%\n" in block
    assert (first, third) == ("aoneb", "%i")
    assert second.endswith("/credentials/t@one.service/key")


BASE = {
    "Unit": ("service", "[Unit]\n{}\n[Service]\nExecStart=/bin/true\n"),
    "Install": ("target", "[Install]\n{}\n"),
    "Service": ("service", "[Service]\nExecStart=/bin/true\n{}\n"),
    "Socket": ("socket", "[Socket]\nListenStream=/run/base\n{}\n"),
    "Timer": ("timer", "[Timer]\nOnBootSec=1h\n{}\n"),
    "Path": ("path", "[Path]\nPathExists=/base\n{}\n"),
    "Mount": ("mount", "[Mount]\nWhere=/u{0}\nWhat=/dev/null\n{1}\n"),
    "Swap": ("swap", "[Swap]\n{}\n"),
    "Automount": ("automount", "[Automount]\n{}\n"),
    "Slice": ("slice", "[Slice]\n{}\n"),
}
# Complaints about a unit as a whole, or about running as a user, not about the value.
UNRELATED = re.compile(
    "does not match strict user/group|in user mode|bad unit file setting|Where= setting|What= setting|"
    "Unit has symlinks|does not match|Refusing|KillMode=none"
)


def _sample_units(lines: list[tuple[str, str]]) -> dict[str, str]:
    units = {}
    for at, (section, line) in enumerate(lines):
        suffix, text = BASE[section]
        units[f"u{at}.{suffix}"] = text.format(at, line) if section == "Mount" else text.format(line)
    return units


def _complaints(said: str) -> dict[int, str]:
    """Return the complaints of PID 1 by the number in the unit's name: about lines, or about a whole unit."""
    found = {}
    for line in said.splitlines():
        match = re.search(r"/u([0-9]+)\.[a-z]+:[0-9]+: (.*)", line)
        if match and not UNRELATED.search(match[2]):
            found[int(match[1])] = match[2]
    return found


def _too_new(section: str, key: str) -> bool:
    return directives.check(section, key, _version()) is not None


@cache
def _version() -> int:
    said = subprocess.run([str(SYSTEMD), "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[1].partition(".")[0])


def test_pid1_accepts_every_sample_without_a_message() -> None:
    encoded_samples = [(section, key, text) for section, key, _, text in TAKEN]
    samples = [sample for sample in (*encoded_samples, *RAW_TAKEN) if not _too_new(sample[0], sample[1])]
    units = _sample_units([(section, f"{key}={text}") for section, key, text in samples])
    _, said = pid1(units)
    assert {samples[at]: what for at, what in _complaints(said).items()} == {}


# PID 1 accepts these without a message, but does something else.
STRICTER: frozenset[object] = frozenset(
    {
        ("Unit", "Description", " x"),  # stripped
        ("Unit", "ConditionHost", "!x"),  # inverted
        ("Service", "CapabilityBoundingSet", ("CAP_NOPE",)),  # skipped
        ("Service", "CapabilityBoundingSet", "CAP_FOO"),
        ("Service", "User", "-x"),  # a name that no tool creates
        ("Timer", "OnCalendar", ""),  # a reset
        ("Service", "WatchdogSec", ""),
        ("Service", "SocketBindDeny", "tcp:0"),  # 252 refuses it, 257 accepts it
    }
)


def test_pid1_would_ignore_every_value_that_is_refused() -> None:
    """Each value makes PID 1 complain if it is written unchanged, so no value is refused without need."""
    samples = []
    for section, key, value in (*REFUSED, *RAW_REFUSED):
        text = " ".join(value) if isinstance(value, tuple) else str(value)
        one_line = not any(end in text for end in "\n\r") and not text.endswith("\\")
        if one_line and not _too_new(section, key) and (section, key, value) not in STRICTER:
            samples.append((section, key, text))
    _, said = pid1(_sample_units([(section, f"{key}={text}") for section, key, text in samples]))
    complaints = _complaints(said)
    assert [sample for at, sample in enumerate(samples) if at not in complaints] == []


LISTS = {
    "RestrictAddressFamilies": "AF_FOO AF_UNSPEC AF_MAX",
    "SystemCallArchitectures": "nativ amd64 x86_64 loongarch64",
    "SystemCallFilter": "@sytem-service @sandbox mout osf_fstat file_getattr",
    "SystemCallLog": "@nope mout",
    "RestrictFileSystems": "@nope",
}
"""Words that some version of systemd does not know."""


def test_a_word_of_a_list_is_doubted_if_systemd_does_not_know_it() -> None:
    names = json.loads((directives.DATA.parent / "directive-words.json").read_bytes())["words"]
    wanted = {**{key: f"{names[key]} {LISTS[key]}" for key in names}, "SystemCallLog": LISTS["SystemCallLog"]}
    samples = [(key, word) for key, text in wanted.items() for word in dict.fromkeys(text.split())]
    _, said = pid1(_sample_units([("Service", f"{key}={word}") for key, word in samples]))
    complaints = _complaints(said)
    ignored = {sample for at, sample in enumerate(samples) if at in complaints}
    doubted = {(key, word) for key, word in samples if [*directive_words.of_words(key, word, _version())]}
    assert {*ignored} - {*doubted} == set()
    assert {*doubted} - {*ignored} == set()


pieces = st.sampled_from([
    "Description", "=", "a", "b c", " ", "\t", "#", ";", "[", "]", "[Unit]\n", "[X-a]\n", "\nDescription=",
    "\\", "\\\\", "\\\n", "\\\n#c\n", "\n", "\r", "\0", "\r\n", "\n\r", "\x0b", "\u00a0", "\u2028", "\ufeff",
])  # fmt: skip


@batch
@given(st.lists(st.lists(pieces, max_size=14).map("".join), min_size=1, max_size=25))
@example(["a\\\n# c\n b", "a\\\r\nb\\\n\0c", "a\0Description=b", "a\\\\\nDescription=b\\"])
def test_a_file_is_read_as_pid1_reads_it(bodies: list[str]) -> None:
    texts = {f"r{at}.target": f"[Unit]\nDescription={body}" for at, body in enumerate(bodies)}
    blocks, _ = pid1(texts)
    for name, text in texts.items():
        load = re.search("Unit Load State: (.*)", blocks[name])
        assert load is not None
        if load[1] == "loaded":
            values = [
                value for section, key, value in unit_file.parse(text) if (section, key) == ("Unit", "Description")
            ]
            wanted = values[-1] or name
            assert blocks[name].startswith(f"{name}:\n\t\tDescription: {wanted}\n"), text


SPANS = """\
90|0|5min|1h 30min|1h30m|2.5s|1M|1y 12month|300ms20s 5day| 5 us |infinity|| |-1|soon|5 parsecs|s|1..5s|12.34.56
5 .9|infinity s|3.s|3. 1s|5.9 .3|1 2|.5|1e3|5s,|1min30|10 µs|10μs|1sec2|5 sec min|3.+1s|2w|1 weeks 1w|0.0000001s
99999999999999y|18446744073709551615us|5\ts|1h  2m|1.5.5s|1m on|5mon|5 - 3|0x10"""
EVENTS = """\
daily|Mon|mon..fri|Monday *-*-* 1:2:3|Mon,Tue 10:00|*:0/5|*-*-* *:*:00|2027-1-1|2027-01-01 10:00 UTC|*-*-1/2
25:00|10:60|Mon *-05~07/1|*-02~01|@1395716396|10:00:00.5|*:*:0/0.5|Sat..Mon|Mon-Fri 10:00|10:00 Europe/Berlin
weekly UTC|annually||x|*-13-01|*-*-32|Mon Tue|Mon..|10|10:00:00:00|2027|*|*-*|* *:0|1,2-3-4|*-1..3-1|0-0|12-00
24:00|*:60|23:59:60|Fri *-*-13|Mon,|Mon, Tue|Mon..Wed,Fri 1:00|2027-01-01T10:00|daily 10:00|hourly Europe/Paris
05-05 08:05|tue..sunday 10:00|*-*-01..07 4:00|1..5:0|*-*-*/2|00:00:00/20|*-*~1|1:2 UTC extra|~5|*-~5|12:00 utc
Thu,Fri 2012-*-1,5 11:12:13|minutely"""


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here to ask")
@pytest.mark.parametrize("text", SPANS.replace("\n", "|").split("|"))
def test_time_spans_are_read_as_systemd_reads_them(text: str) -> None:
    assert _accepted("timespan", text) == _takes(values.timespan, text)


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here to ask")
@pytest.mark.parametrize("text", EVENTS.replace("\n", "|").split("|"))
def test_calendar_events_are_checked_as_systemd_checks_them(text: str) -> None:
    assert _accepted("calendar", text) == _takes(calendar.check_calendar, text)


def _accepted(verb: str, text: str) -> bool:
    done = subprocess.run([str(ANALYZE), verb, "--", text], capture_output=True, timeout=30, check=False)
    return done.returncode == 0


def _takes(check: Callable[[str], object], text: str) -> bool:
    try:
        check(text)
    except EncodeError:
        return False
    return True
