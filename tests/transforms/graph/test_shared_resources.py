"""Two sockets with one address, and two services with one directory, are found before anything is done."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Installed, InstalledUnit, Link

CUPS = Installed(
    units={
        "cups.socket": InstalledUnit(
            name="cups.socket",
            path="/usr/lib/systemd/system/cups.socket",
            sections={"Socket": (("ListenStream", "631"), ("ListenStream", "/run/cups/cups.sock"))},
        ),
        "cups.service": InstalledUnit(
            name="cups.service",
            path="/usr/lib/systemd/system/cups.service",
            sections={"Service": (("RuntimeDirectory", "cups"),)},
        ),
    },
    links=(Link(target="sockets.target", kind="wants", name="cups.socket", path="/etc/x"),),
)


def found(text: str, installed: Installed | None = None) -> list[tuple[str, str, str]]:
    """Return item, code and severity of each problem about something shared."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), installed, shipped=shipped())
    codes = ("AddressTaken", "SharedDirectory")
    return sorted((p.item, p.code, str(p.severity)) for p in compiled.problems if p.code in codes)


def two(first: str, second: str) -> str:
    return f"services: {{a: {{command: /bin/a, {first}}}, b: {{command: /bin/b, {second}}}}}"


BOTH = [("services/a", "AddressTaken", "blocked"), ("services/b", "AddressTaken", "blocked")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("stream: '8080'", "stream: '8080'"),
        ("stream: '8080'", "stream: '127.0.0.1:8080'"),
        ("stream: '0.0.0.0:8080'", "stream: '127.0.0.1:8080'"),
        ("stream: '[::]:8080'", "stream: ['9090', '8080']"),
        ("stream: '127.0.0.1:8080'", "stream: '127.0.0.1:8080'"),
        ("stream: '[::1]:8080'", "stream: '[0:0:0:0:0:0:0:1]:8080'"),
        ("datagram: '53'", "datagram: '53'"),
        ("stream: /run/a", "datagram: /run/a"),
        ("stream: /var/run/a", "stream: /run/a"),
        ("stream: /run//a", "stream: /run/a"),
        ("stream: /run/./a/", "datagram: /var//run/a"),
        ("fifo: /run/a", "fifo: /run/a"),
    ],
)
def test_two_sockets_with_one_address_are_blocked(first: str, second: str) -> None:
    assert found(two(f"listen: {{{first}}}", f"listen: {{{second}}}")) == BOTH


def test_one_socket_with_one_address_twice_is_blocked() -> None:
    text = "services: {a: {command: /bin/a, listen: {stream: ['80', '127.0.0.1:80']}}}"
    assert found(text) == BOTH[:1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("listen: {stream: '8080'}", "listen: {stream: '8081'}"),
        ("listen: {stream: '53'}", "listen: {datagram: '53'}"),
        ("listen: {stream: '127.0.0.1:80'}", "listen: {stream: '127.0.0.2:80'}"),
        ("listen: {stream: '[fe80::1]:80%eth0'}", "listen: {stream: '[fe80::1]:80%eth1'}"),
        ("listen: {stream: '80'}", "listen: {stream: '80'}, state: stopped"),
        ("listen: {stream: '80'}, systemd: {Socket: {ReusePort: 'yes'}}",) * 2,
    ],
)
def test_two_sockets_that_can_both_listen_are_no_problem(first: str, second: str) -> None:
    assert found(two(first, second)) == []


@pytest.mark.parametrize("stream", ["'631'", "'127.0.0.1:631'", "/run/cups/cups.sock"])
def test_a_socket_of_the_distribution_that_is_enabled_has_its_address(stream: str) -> None:
    text = f"services: {{a: {{command: /bin/a, listen: {{stream: {stream}}}}}}}"

    assert ("services/a", "AddressTaken", "warning") in found(text, CUPS)
    assert "AddressTaken" not in {code for _, code, _ in found(text, Installed(units=CUPS.units))}


SHARED = [("services/a", "SharedDirectory", "warning"), ("services/b", "SharedDirectory", "warning")]
PRESERVE = "systemd: {Service: {RuntimeDirectoryPreserve: 'yes'}}"


@pytest.mark.parametrize(
    ("first", "second", "problems"),
    [
        ("directories: {runtime: x}", "directories: {runtime: x}", SHARED),
        ("directories: {runtime: x}", "directories: {runtime: [y, x]}", SHARED),
        ("directories: {runtime: x}", "directories: {runtime: x/y}", SHARED),
        (f"directories: {{runtime: x}}, {PRESERVE}", "directories: {runtime: x}", SHARED),
        (f"directories: {{runtime: x}}, {PRESERVE}", f"directories: {{runtime: x}}, {PRESERVE}", []),
        ("directories: {runtime: x}", "directories: {runtime: xy}", []),
        ("directories: {state: x}", "directories: {state: x}", []),
        ("directories: {state: x}, user: one", "directories: {state: x}, user: two", SHARED),
        ("directories: {state: x}, user: one", "directories: {cache: x}, user: two", []),
    ],
)
def test_two_owners_of_one_directory_are_warned_of(
    first: str, second: str, problems: list[tuple[str, str, str]]
) -> None:
    assert found(two(first, second)) == problems


def test_instances_share_the_directory_of_their_template() -> None:
    text = "services: {a: {command: /bin/a, directories: {runtime: x}, instances: [one, two]}}"
    assert found(text) == [("services/a", "SharedDirectory", "warning")]


def test_a_service_of_the_distribution_owns_its_directory() -> None:
    text = "services: {a: {command: /bin/a, directories: {runtime: cups}}}"
    assert found(text, CUPS) == [("services/a", "SharedDirectory", "warning")]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("services: {a: {command: /a, directories: {runtime: a}, listen: {stream: /run/a/s}}}", ["services/a"]),
        ("services: {a: {command: /a, directories: {runtime: a/b}, listen: {fifo: /var/run/a/b/s}}}", ["services/a"]),
        ("services: {a: {command: /a, directories: {runtime: a}}}\nfiles: {/run/a/x: {content: x}}",
         ["files/~1run~1a~1x"]),
        ("services: {a: {command: /a, directories: {runtime: a}, files: {/run/a/x: {content: x}}}}", ["services/a"]),
        ("services: {a: {command: /a, user: www, directories: {state: a}}}\nfiles: {/var/lib/a/x: {content: x}}",
         ["files/~1var~1lib~1a~1x"]),
        ("services: {a: {command: /a, user: www, directories: {logs: a}}}\n"
         "files: {/var/log/a/b/x: {content: x, owner: root}}", ["files/~1var~1log~1a~1b~1x"]),
        ("services: {a: {command: /a, user: www, directories: {state: a}}}\n"
         "files: {/var/lib/a/x: {content: x, owner: www}}", []),
        ("services: {a: {command: /a, directories: {state: a}}}\nfiles: {/var/lib/a/x: {content: x}}", []),
        ("services: {a: {command: /a, user: www, directories: {configuration: a}}}\n"
         "files: {/etc/a/x: {content: x}}", []),
        ("services: {a: {command: /a, directories: {runtime: a}, listen: {stream: /run/a.s}}}", []),
        ("services: {a: {command: /a, directories: {runtime: a}, listen: {stream: /run/ab/s}}}", []),
        ("services: {a: {command: /a, directories: {runtime: a}, listen: {stream: /run/a/s},"
         " systemd: {Service: {RuntimeDirectoryPreserve: 'yes'}}}}", []),
    ],
)  # fmt: skip
def test_a_socket_or_file_in_a_runtime_directory_is_a_warning(text: str, items: list[str]) -> None:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    found = compile(documents, facts_for("debian-13"), shipped=shipped()).problems

    assert [(p.item, p.code, str(p.severity)) for p in found] == [(i, "SharedDirectory", "warning") for i in items]
