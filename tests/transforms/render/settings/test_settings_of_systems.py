"""Settings: one value, written in the way of each system; a hole, a wrong value or a clash blocks only that setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ordain.agent.generation import generation
from ordain.agent.plan.explain import explain
from ordain.transforms.artifact_text import as_text
from ordain.transforms.artifacts import RegularFile, UnitFile
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.formats.setting_types import SCALARS, parse_type
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Severity
from ordain.transforms.model import Compiled, Installed, InstalledUnit, OnChange
from support.pages.page_blocks import blocks

HEAD = "ordain: v1\nkind: Layer\nname: a\n"
TREE = Path(__file__).parents[4]
EXAMPLE, PAGE = TREE / "examples/settings.yaml", TREE / "docs/howto/settings.md"
GOLDEN = TREE / "tests/golden/settings"
FAMILIES = (
    *(
        "debian-12",
        "debian-13",
        "ubuntu-24.04",
        "ubuntu-26.04",
        "fedora-40",
        "fedora-42",
        "rocky-8",
        "rhel-10",
        "amzn-2023",
    ),
    *("opensuse-leap-15.6", "sles-16", "arch", "gentoo", "flatcar"),
)
IDLE = """
---
ordain: v1
kind: Transform
name: site
tier: site
settings:
  idle:
    about: An idle time.
    type: number
    most: 100
    writes: {profile: {file: /etc/profile.d/idle.sh, content: "TMOUT={{ value * 60 }}\\n"}}
"""


def compiled(body: str, os: str = "debian-12", installed: Installed | None = None) -> Compiled:
    documents, problems = read("a.yaml", (HEAD + body).encode())
    assert problems == ()
    return compile(documents, facts_for(os), installed, shipped=shipped())


def file(result: Compiled, path: str) -> str:
    """Return the lines of a file without comments."""
    (found,) = (a for a in result.artifacts if a.path == path)
    assert isinstance(found, RegularFile | UnitFile)
    return "".join(line for line in found.content.splitlines(keepends=True) if not line.startswith("#"))


def blocked(result: Compiled) -> list[tuple[str, str]]:
    return [(p.item, p.code) for p in result.problems if p.severity is Severity.BLOCKED]


def accepts(scalar: str, text: str) -> bool:
    try:
        SCALARS[scalar][1](text)
    except ValueError:
        return False
    return True


def installed(*units: str) -> Installed:
    return Installed(
        units={u: InstalledUnit(name=u, path=f"/usr/lib/systemd/system/{u}", sections={"Service": ()}) for u in units}
    )


@pytest.mark.parametrize("system", FAMILIES)
def test_every_shipped_setting_is_written_as_its_golden_text(system: str, request: pytest.FixtureRequest) -> None:
    documents, problems = read("settings.yaml", EXAMPLE.read_bytes())
    assert problems == ()
    result = compile(documents, facts_for(system, labels={"role": ("fleet",)}), shipped=shipped())
    text = as_text(result.artifacts) + "".join(f"! {problem}\n" for problem in result.problems)
    path = GOLDEN / f"{system}.txt"
    if request.config.getoption("--update"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_the_example_has_a_value_for_every_shipped_setting() -> None:
    (document,), _ = read("settings.yaml", EXAMPLE.read_bytes())
    assert set(document.sections.branch("settings")) == {n for d in shipped() for n in d.sections.branch("settings")}


@pytest.mark.parametrize("os", list(known_systems()))
def test_every_definition_has_a_meaning_and_every_write_its_evidence(os: str) -> None:
    names = names_for(shipped(), facts_for(os), shared_versions(shipped()))[0]
    for name in names.settings():
        definition = names.setting(name)
        assert definition.value("about"), name
        assert definition.branch("writes") or definition.value("instead"), name
        for write, row in definition.branch("writes").branches():
            assert row.value("known"), (name, write)


def test_a_hole_blocks_one_setting_and_names_the_systems_and_the_remedy() -> None:
    result = compiled("host: {hostname: db1}\nsettings: {ssh-root-login: 'no', kernel-log-level: 3}\n", "rocky-8")

    assert blocked(result) == [("settings/ssh-root-login", "Unmapped")]
    (problem,) = result.problems
    assert re.search("one main file; systems that write it: debian, ubuntu, .*rocky-9", problem.what)
    assert "place that file in `files`" in problem.hint
    assert (problem.where.line, problem.where.pointer) == (5, "settings/ssh-root-login")
    assert file(result, "/etc/hostname") == "db1\n"
    assert file(result, "/run/sysctl.d/99-q-ordain.conf") == "kernel.printk = 3 4 1 7\n"


def test_time_servers_of_the_host_are_the_setting_and_keep_their_file() -> None:
    result = compiled("host: {hostname: db1, time-servers: [ntp.example.org]}\n")
    assert file(result, "/etc/systemd/timesyncd.conf.d/00-ordain.conf") == "[Time]\nNTP=ntp.example.org\n"
    members = {m.unit: m for m in result.members}
    assert members["systemd-timesyncd.service"].uses == (
        ("/etc/systemd/timesyncd.conf.d/00-ordain.conf", OnChange.RESTART),
    )

    wrong = compiled("host: {hostname: db1, time-servers: ['a b']}\n", "rocky-9")
    assert blocked(wrong) == [("settings/time-servers", "Item")]
    assert wrong.problems[0].where.pointer == "host/time-servers"
    assert file(wrong, "/etc/hostname") == "db1\n"


def test_on_rhel_time_servers_are_the_whole_file_of_chrony() -> None:
    result = compiled("host: {time-servers: [ntp.example.org]}\n", "rocky-9")
    assert file(result, "/etc/chrony.conf").startswith("server ntp.example.org iburst\ndriftfile ")
    assert result.problems == ()


@pytest.mark.parametrize(
    ("value", "pointer", "what", "hint"),
    [
        ("ssh-root-login: 'No'", "ssh-root-login", "'No' is not one of no, prohibit-password, yes", "write one of"),
        ("ssh-root-login: true", "ssh-root-login", "'true' is not one of", "write one of"),
        ("ssh-passwords: 'yes'", "ssh-passwords", "'yes' is not true or false", ""),
        ("ssh-port: 0", "ssh-port", "'0' is not a port", "1 to 65535"),
        ("kernel-log-level: 9", "kernel-log-level", "9 is too large", "8 at most"),
        ("kernel-log-level: -1", "kernel-log-level", "-1 is too small", "0 at least"),
        ("kernel-log-level: [1]", "kernel-log-level", "a list is not a whole number", "one value"),
        ("kernel-log-level: {a: 1}", "kernel-log-level", "a map is not a whole number", "the value itself"),
        ("time-servers: {a: b}", "time-servers", "a map is not a list of values", "the value itself"),
        ("journal-limits: {disc: 1G}", "journal-limits/disc", "there is no key disc", "did you mean disk"),
        ("journal-limits: 1G", "journal-limits", "'1G' is not a map", "write disk"),
        ("journal-limits: {disk: much}", "journal-limits/disk", "'much' is not a size", ""),
        ("resolver: {domains: a}", "resolver", "the key servers is missing", "DNS servers"),
        ("ca-certificates: {a: hello}", "ca-certificates/a", "is not a certificate in PEM", "BEGIN CERTIFICATE"),
        ("ca-certificates: {a/b: hello}", "ca-certificates/a~1b", "'a/b' is not a name", "letters"),
        ("hosts: {db1: [a]}", "hosts/db1", "'db1' is not an IP address", ""),
        ("firewall-ports: [443]", "firewall-ports", "'443' is not a port with its protocol", "443/tcp"),
        ("ssh-rootlogin: 'no'", "ssh-rootlogin", "there is no setting ssh-rootlogin", "did you mean ssh-root-login"),
    ],
)
def test_a_wrong_value_blocks_the_setting_at_its_place(value: str, pointer: str, what: str, hint: str) -> None:
    result = compiled(f"settings: {{{value}, message-of-the-day: hello}}\n")
    name = pointer.partition("/")[0]
    problems = [p for p in result.problems if p.item == f"settings/{name}"]
    assert what in problems[0].what
    assert hint in problems[0].hint
    assert problems[0].where.pointer == f"settings/{pointer}"
    assert {item for item, _ in blocked(result)} == {f"settings/{name}"}
    assert file(result, "/etc/motd") == "hello\n"


HOSTILE = (
    "a\nb",
    "a\rb",
    "a\0b",
    "a\u2028b",
    "a'b",
    'a"b',
    "a\\b",
    "a;b",
    "a#b",
    "a$(b)",
    "a`b`",
    "a b",
    "{{ facts.id }}",
    "../a",
)
PLAIN = {"lines", "text", "certificate", "public-key", "plain-command", "flag"}


@pytest.mark.parametrize("scalar", sorted(set(SCALARS) - PLAIN))
@pytest.mark.parametrize("text", HOSTILE)
def test_no_scalar_holds_what_could_end_a_line_or_a_quote(scalar: str, text: str) -> None:
    if (scalar, text) in {("path", "../a"), ("word", "../a")}:
        return
    assert not accepts(scalar, text)


@pytest.mark.parametrize("scalar", sorted(set(SCALARS) - {"lines", "flag"}))
@pytest.mark.parametrize("end", ["\n", "\nb", "\r", "\x1b[0m", "\x85"])
def test_only_lines_hold_line_ends_and_nothing_holds_control_characters(scalar: str, end: str) -> None:
    for start in ("a", "1", "22", "1G", "/a", "192.0.2.1", "443/tcp", "http://a", "ALL", "2001:db8::1"):
        assert not accepts(scalar, f"{start}{end}")


def test_templates_in_values_are_expanded_and_checked_like_values() -> None:
    good = compiled(
        "settings: {message-of-the-day: {template: '{{ facts.id }}'},\n"
        "  hosts: {192.0.2.1: [{template: 'a-{{ facts.id }}'}]}}\n"
    )
    assert file(good, "/etc/motd") == "debian\n"
    assert "192.0.2.1 a-debian\n" in file(good, "/etc/hosts")

    bad = compiled('settings: {ssh-root-login: {template: "yes\\nAllowUsers eve"}}\n')
    assert blocked(bad) == [("settings/ssh-root-login", "Item")]


def test_layers_merge_settings_by_name_and_by_key() -> None:
    more = (
        "---\nordain: v1\nkind: Layer\nname: b\ntier: role\nsettings: {journal-limits: {age: 1d}, core-dumps: null}\n"
    )
    result = compiled(f"settings: {{journal-limits: {{disk: 1G}}, core-dumps: true}}\n{more}")
    assert (
        file(result, "/etc/systemd/journald.conf.d/00-ordain.conf")
        == "[Journal]\nSystemMaxUse=1G\nMaxRetentionSec=1d\n"
    )
    assert not [a for a in result.artifacts if "core-dumps" in a.path]


@pytest.mark.parametrize(
    ("body", "item"),
    [
        ("settings: {kernel-log-level: 3}\nsysctl: {kernel/printk: 7 4 1 7}", "settings/kernel-log-level"),
        ("settings: {firewall-ports: [443/tcp]}\nservices: {nftables: {state: stopped}}", "settings/firewall-ports"),
        ("settings: {message-of-the-day: a}\nfiles: {/etc/motd: {content: b}}", "files/~1etc~1motd"),
    ],
)
def test_two_owners_of_a_value_are_a_clash(body: str, item: str) -> None:
    result = compiled(f"{body}\n")
    assert [(i, c) for i, c in blocked(result) if c == "Clash"] != []
    assert {p.severity for p in result.problems if p.code == "Clash"} == {Severity.BLOCKED}


def test_two_owners_may_have_the_same_value() -> None:
    result = compiled("settings: {firewall-ports: [443/tcp]}\nservices: {nftables: {state: running}}\n")
    assert result.problems == ()


def test_a_setting_that_no_installed_service_reads_is_a_warning() -> None:
    result = compiled("settings: {log-forwarding: {host: logs.example.org}}\n", installed=installed("ssh.service"))
    (problem,) = result.problems
    assert (problem.code, problem.severity, problem.hint) == ("Unread", Severity.WARNING, "install the package rsyslog")
    assert "/etc/rsyslog.d/60-ordain-forward.conf" in {a.path for a in result.artifacts}
    assert (
        compiled(
            "settings: {log-forwarding: {host: logs.example.org}}\n", installed=installed("rsyslog.service")
        ).problems
        == ()
    )


def test_a_service_that_the_documents_install_reads_its_setting() -> None:
    body = "settings: {log-forwarding: {host: logs.example.org}}\npackages: rsyslog\n"
    assert compiled(body, installed=installed("ssh.service")).problems == ()


def test_a_fallback_takes_over_where_only_its_service_is_installed() -> None:
    body = "settings: {time-servers: [ntp.example.org]}\n"
    with_chrony = compiled(body, installed=installed("chrony.service"))
    assert [a.path for a in with_chrony.artifacts] == ["/etc/chrony/conf.d/00-ordain.conf"]
    assert with_chrony.problems == ()
    both = compiled(body, installed=installed("chrony.service", "systemd-timesyncd.service"))
    assert [a.path for a in both.artifacts] == ["/etc/systemd/timesyncd.conf.d/00-ordain.conf"]
    neither = compiled(body, installed=installed("ssh.service"))
    assert [a.path for a in neither.artifacts] == ["/etc/systemd/timesyncd.conf.d/00-ordain.conf"]
    assert [p.code for p in neither.problems] == ["Unread"]


def test_an_optional_write_is_left_out_without_its_service() -> None:
    body = "settings: {core-dumps: false}\n"
    assert "/etc/systemd/coredump.conf.d/00-ordain.conf" in {a.path for a in compiled(body).artifacts}
    without = compiled(body, installed=installed("ssh.service"))
    assert "/etc/systemd/coredump.conf.d/00-ordain.conf" not in {a.path for a in without.artifacts}
    assert without.problems == ()


def test_units_that_read_several_files_have_all_of_them() -> None:
    result = compiled("settings: {ssh-port: 2222, ssh-passwords: false}\nservices: {ssh: {limits: {memory: 1G}}}\n")
    (ssh,) = (m for m in result.members if m.unit == "ssh.service")
    assert {path for path, _ in ssh.uses} >= {
        "/etc/ssh/sshd_config.d/00-ordain-port.conf",
        "/etc/ssh/sshd_config.d/00-ordain-passwords.conf",
        "/etc/ssh/sshd_config.d/",
    }
    assert ssh.check == (("/usr/sbin/sshd", "-t"),)


def test_a_setting_adds_directives_to_units_and_states_to_services() -> None:
    result = compiled("settings: {ssh-port: 2222}\n", "ubuntu-24.04")
    assert "ListenStream=\n" in file(result, "normal/ssh.socket.d/00-ordain.units.conf")
    assert "ListenStream=2222\n" in file(result, "normal/ssh.socket.d/00-ordain.units.conf")

    updates = compiled("settings: {automatic-updates: security}\n", "fedora-40")
    assert "normal/ordain-services.target.wants/dnf-automatic.timer" in {a.path for a in updates.artifacts}


def test_automatic_updates_name_the_package_without_which_the_timer_of_apt_upgrades_nothing() -> None:
    apt = ("apt-daily.timer", "apt-daily-upgrade.timer")
    body = "settings: {automatic-updates: security}\nservices: {auto-updates: {state: running}}\n"

    without, whole = (
        compiled(body, installed=installed(*apt, *more)) for more in ((), ("unattended-upgrades.service",))
    )

    assert sorted((p.item, p.code, p.hint) for p in without.problems) == [
        ("services/auto-updates", "NotInstalled", "install the package unattended-upgrades"),
        ("settings/automatic-updates", "Unread", "install the package unattended-upgrades"),
    ]
    assert whole.problems == ()
    wanted = compiled(f"packages: [auto-updates]\n{body}", installed=installed(*apt))
    assert [(p.item, p.code) for p in wanted.problems] == [("services/auto-updates", "NotInstalled")]
    assert "it starts after the installation" in wanted.problems[0].hint


def test_the_port_of_ssh_is_open_in_every_firewall() -> None:
    body = "settings: {ssh-port: 2222, firewall-ports: [443/tcp]}\n"
    assert "tcp dport 2222 accept" in file(compiled(body), "/etc/nftables.conf")
    default = file(compiled("settings: {firewall-ports: [443/tcp]}\n"), "/etc/nftables.conf")
    assert "tcp dport 22 accept" in default


def test_a_setting_of_a_site_needs_only_a_transform() -> None:
    result = compiled(f"settings: {{idle: 15}}\n{IDLE}")
    assert file(result, "/etc/profile.d/idle.sh") == "TMOUT=900\n"
    assert blocked(compiled(f"settings: {{idle: 101}}\n{IDLE}")) == [("settings/idle", "Item")]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("{type: number, writes: {a: {file: /etc/a, content: '{{ nosuch }}'}}}", "'nosuch' is undefined"),
        ("{type: number, writes: {a: {content: a}}}", "none of the keys file, drop-in"),
        ("{type: many numbers}", "known types"),
        ("{type: list of list of number}", "a list can hold scalars only"),
        ("{type: number, writes: {a: {file: /etc/a, content: a, sysctl: {a: b}}}}", "exclude each other"),
    ],
)
def test_a_wrong_definition_blocks_only_the_setting(row: str, what: str) -> None:
    site = f"---\nordain: v1\nkind: Transform\nname: t\ntier: site\nsettings: {{x: {row}}}\n"
    body = f"settings: {{x: 1, message-of-the-day: a}}\n{site}"
    documents, _ = read("a.yaml", (HEAD + body).encode())
    result = compile(documents, facts_for("debian-12"), shipped=shipped())
    assert file(result, "/etc/motd") == "a\n"
    assert {item for item, _ in blocked(result) if item} == {"settings/x"}


def test_writes_null_makes_a_system_a_hole() -> None:
    none = "---\nordain: v1\nkind: Transform\nname: t\ntier: site\nsettings: {message-of-the-day: {writes: null}}\n"
    result = compiled(f"settings: {{message-of-the-day: a, kernel-log-level: 3}}\n{none}")
    assert blocked(result) == [("settings/message-of-the-day", "Unmapped")]


def test_explain_shows_the_value_the_row_and_the_files() -> None:
    made = generation(compiled("settings: {ssh-root-login: 'no'}\n"))
    said = explain("settings/ssh-root-login", made)
    assert next((o.pointer, o.value, o.path, o.line) for o in said.origins) == (
        "settings/ssh-root-login",
        "no",
        "a.yaml",
        4,
    )
    assert "transforms/settings/ssh-root-login/writes/sshd/content" in {o.pointer for o in said.origins}
    (placed,) = said.files
    assert placed.path == "/etc/ssh/sshd_config.d/00-ordain-root-login.conf"
    assert [line.text for line in placed.lines] == ["PermitRootLogin no"]


def test_a_type_reads_as_it_is_written() -> None:
    assert parse_type("map of list of host").outer == ("map", "list")
    assert parse_type("map of record").below.inner == "record"


def test_the_documents_of_the_howto_page_are_rendered() -> None:
    """Run the blocks of docs/howto/settings.md: its documents, on all systems, and what it says about them."""
    texts = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(texts) == 2
    for text in texts:
        documents, problems = read("settings.yaml", text.encode())
        assert problems == ()
        result = compile(documents, facts_for("rocky-9"), shipped=shipped())
        assert result.problems == ()
        assert result.artifacts
    made = generation(result)
    assert explain("settings/shell-timeout", made).files
    assert len(list(blocks(PAGE, TREE))) == 2
