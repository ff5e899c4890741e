"""Values of `sysctl` and `host` that no machine takes are warned of, and so are two owners of one value."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read


def found(text: str, system: str = "debian-12") -> list[tuple[str, str, str, str]]:
    """Return pointer, severity, code and text of each problem of a layer with the sections ``text``."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for(system), shipped=shipped())
    return [(p.where.pointer, str(p.severity), p.code, p.what) for p in compiled.problems]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.ipv4.ip_local_port_range", "9 x"),
        ("net.ipv4.ip_local_port_range", "1024 70000"),
        ("net/ipv4/tcp_rmem", "4k 8k 16k"),
        ("fs.file-max", "-3"),
        ("fs.inotify.max_user_watches", "many"),
        ("vm.swappiness", "300"),
        ("vm.dirty_ratio", "20%"),
        ("kernel.randomize_va_space", "3"),
        ("net.ipv6.conf.all.disable_ipv6", "on"),
        ("net.ipv4.conf.eth0/100.rp_filter", "strict"),
        ("net.core.somaxconn", "1k"),
    ],
)
def test_a_value_that_the_kernel_refuses_is_warned_of(name: str, value: str) -> None:
    ((_, severity, code, what),) = found(f'sysctl: {{"{name}": "{value}"}}')

    assert (severity, code) == ("warning", "Doubtful")
    assert what == f"the kernel would refuse {value!r} for {name}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.ipv4.ip_local_port_range", "1024 65535"),
        ("net.ipv4.ip_local_reserved_ports", "8080,9000-9100"),
        ("net.ipv4.tcp_rmem", "4096 87380"),
        ("net.ipv4.tcp_congestion_control", "bbr"),
        ("net.core.default_qdisc", "fq"),
        ("net.ipv6.conf.all.router_solicitations", "-1"),
        ("net.ipv6.conf.default.stable_secret", "2001:db8::1"),
        ("kernel.core_pattern", "|/usr/bin/x %p"),
        ("kernel.panic", "-1"),
        ("kernel.printk", "3 4 1 3"),
        ("vm.swappiness", "200"),
        ("fs.file-max", "0x10000"),
        ("some.thing", "else"),
    ],
)
def test_a_value_that_the_kernel_may_take_is_not(name: str, value: str) -> None:
    assert found(f'sysctl: {{"{name}": "{value}"}}') == []


@pytest.mark.parametrize("name", ["kernel..x", "kernel.x.", "net//ipv4/ip_forward"])
def test_an_empty_part_is_not_in_the_name_of_a_parameter(name: str) -> None:
    ((_, severity, _, what),) = found(f'sysctl: {{"{name}": 1}}')

    assert severity == "blocked"
    assert "is not a kernel parameter" in what


@pytest.mark.parametrize(
    ("text", "key", "code"),
    [
        ("timezone: Europe/Nowhere", "timezone", "TimeZone"),
        ("timezone: europe/berlin", "timezone", "TimeZone"),
        ("keymap: nosuch", "keymap", "Doubtful"),
        ("locale: deutsch", "locale", "Doubtful"),
    ],
)
def test_a_name_that_no_machine_knows_is_warned_of(text: str, key: str, code: str) -> None:
    ((pointer, severity, said, _),) = found(f"host: {{{text}}}")

    assert (pointer, severity, said) == (f"host/{key}", "warning", code)


@pytest.mark.parametrize(
    "text", ["timezone: UTC", "timezone: right/Asia/Kolkata", "keymap: de", "locale: C", "locale: sr_RS.UTF-8@latin"]
)
def test_a_name_that_machines_know_is_not(text: str) -> None:
    assert found(f"host: {{{text}}}") == []


def test_a_console_keymap_is_left_to_the_machine() -> None:
    assert found("host: {keymap: de-latin1-nodeadkeys}", "fedora-42") == []


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("sysctl: {kernel.hostname: foo}", "sysctl/kernel.hostname"),
        ("sysctl: {kernel/hostname: foo}", "sysctl/kernel~1hostname"),
        ("files: {/etc/sysctl.d/a.conf: {content: kernel.hostname=foo}}", "files/~1etc~1sysctl.d~1a.conf"),
    ],
)
def test_two_host_names_are_warned_of(text: str, pointer: str) -> None:
    ((place, severity, code, what),) = found(f"{text}\nhost: {{hostname: abc}}")

    assert (place, severity, code) == (pointer, "warning", "Clash")
    assert "kernel.hostname is foo" in what
    assert found(f"{text.replace('foo', 'abc')}\nhost: {{hostname: abc}}") == []
