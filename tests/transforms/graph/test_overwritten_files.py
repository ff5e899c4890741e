"""A file that a tool of the distribution writes anew is told, with the place that the tool reads."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.graph import overwritten_files


def _problems(files: str, system: str = "debian-13") -> list[tuple[str, str, str]]:
    documents, faults = read("x.yaml", f"ordain: v1\nkind: Layer\nname: x\nfiles: {{{files}}}".encode())
    assert faults == ()
    problems = compile(documents, facts_for(system), shipped=shipped()).problems
    return [(problem.code, problem.what, problem.hint) for problem in problems]


@pytest.mark.parametrize(
    ("path", "tool", "instead"),
    [
        ("/boot/grub/grub.cfg", "update-grub (grub-mkconfig)", "/etc/default/grub.d"),
        ("/boot/grub2/grub.cfg", "update-grub (grub-mkconfig)", "/etc/default/grub"),
        ("/boot/initrd.img-6.12.0-1-amd64", "update-initramfs or dracut", "/etc/initramfs-tools/conf.d"),
        ("/etc/mtab", "systemd", "the section `mounts`"),
        ("/etc/udev/hwdb.bin", "systemd-hwdb update", "/etc/udev/hwdb.d"),
        ("/etc/ssl/certs/ca-certificates.crt", "update-ca-certificates", "/usr/local/share/ca-certificates"),
        ("/etc/netplan/50-cloud-init.yaml", "cloud-init", "60-site.yaml"),
        ("/run/systemd/resolve/stub-resolv.conf", "systemd-resolved or NetworkManager", "nameservers"),
        ("/etc/aliases.db", "newaliases or postmap", "uses"),
        ("/var/lib/dpkg/status", "the package manager", "packages"),
    ],
)
def test_a_file_that_a_tool_writes_anew_is_told(path: str, tool: str, instead: str) -> None:
    ((code, what, hint),) = _problems(f"{path}: {{content: x}}")

    assert code == "Overwritten"
    assert what == f"{tool} writes {path} anew, and the file of the documents is lost then"
    assert instead in hint


@pytest.mark.parametrize(
    "files",
    [
        "/boot/grub/grub.cfg: {state: absent}",
        "/boot/grub: {directory: true}",
        "/boot/grub/custom.cfg: {content: x}",
        "/etc/default/grub.d/site.cfg: {content: x}",
        "/etc/netplan/60-site.yaml: {content: x}",
        "/etc/resolv.conf: {content: x}",
    ],
)
def test_other_files_are_taken_without_a_word(files: str) -> None:
    assert [code for code, *_ in _problems(files) if code == "Overwritten"] == []


def test_network_manager_leaves_a_resolver_alone_if_the_documents_tell_it_to() -> None:
    resolver = "/etc/resolv.conf: {content: x}"

    assert [code for code, *_ in _problems(resolver, "fedora-43")] == ["Overwritten"]
    kept = '/etc/NetworkManager/conf.d/90-dns.conf: {content: "[main]\\ndns=none\\n"}'
    assert _problems(f"{resolver}, {kept}", "fedora-43") == []
    other = kept.replace("none", "default")
    assert [code for code, *_ in _problems(f"{resolver}, {other}", "fedora-43")] == ["Overwritten"]


def test_each_row_has_a_remedy() -> None:
    assert [tool.name for tool in overwritten_files._tools() if not tool.instead] == []
