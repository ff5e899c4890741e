"""A file of systemd-sysctl that gives a parameter of `sysctl` another value causes a warning with both places."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Severity


def warned(path: str, content: str) -> list[tuple[str, str]]:
    """Return item and text of each clash of `sysctl` and a file."""
    text = f"sysctl: {{net.ipv4.ip_forward: 1}}\nfiles: {{{path}: {{content: '{content}'}}}}"
    documents, _ = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    problems = compile(documents, facts_for("debian-12")).problems
    assert all(problem.severity is Severity.WARNING for problem in problems)
    return [(problem.item, problem.what) for problem in problems if problem.code == "Clash"]


@pytest.mark.parametrize(
    ("path", "last"),
    [
        ("/etc/sysctl.d/zz.conf", "/etc/sysctl.d/zz.conf"),
        ("/usr/lib/sysctl.d/99-z.conf", "/usr/lib/sysctl.d/99-z.conf"),
        ("/etc/sysctl.d/10-a.conf", "/run/sysctl.d/99-q-ordain.conf"),
    ],
)
def test_a_file_with_another_value_is_warned_of_with_the_file_that_is_read_last(path: str, last: str) -> None:
    ((item, what),) = warned(path, "net/ipv4/ip_forward = 0")

    assert item == f"files/{path.replace('/', '~1')}"
    assert what == (f"{path} sets net/ipv4/ip_forward to 0, and `sysctl` (at d.yaml:4:9) to 1; {last} is read last")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/etc/sysctl.d/zz.conf", "net.ipv4.ip_forward = 1"),
        ("/etc/sysctl.d/zz.conf", "net.ipv4.conf.all.rp_filter = 0"),
        ("/etc/sysctl.d/zz.txt", "net.ipv4.ip_forward = 0"),
        ("/etc/motd", "net.ipv4.ip_forward = 0"),
    ],
)
def test_other_files_are_not_warned_of(path: str, content: str) -> None:
    assert warned(path, content) == []
