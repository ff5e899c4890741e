"""The readers of facts.d, of lists of package managers, of values of settings and of initrds, as fuzz functions."""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import lzma

from ordain.agent.netboot.initrd_names import names_in
from ordain.agent.packages.manager_output import complaint, is_busy, read_installed, read_preview
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.formats.setting_types import SCALARS
from ordain.transforms.machine.site_facts import facts_or_fault
from ordain.transforms.package_set import PackageManager
from ordain.transforms.render.packages import package_manager

SYSTEMS = ("debian-13", "fedora-42", "opensuse-leap-15.6", "arch")
WITH_LINE_ENDS = {"lines", "certificate", "public-key"}
WITH_QUOTES = {*WITH_LINE_ENDS, "text", "flag"}
"""The types whose values may have quotes; a flag is read elsewhere, as one of two words."""

SITE_FACTS = (b"rack: r12\nusers: [a, b]\n", b'{"rack": "r12", "ok": true}', b"RACK=r12\nROW=7\n", b"r12\n")
PACKAGE_OUTPUTS = (
    b"ii  htop 3.2.2-2\nhi  nginx 1.22.1-9\niU  half 1\n",
    b"Inst htop [3.2] (3.3 Debian:13/stable [amd64])\nRemv nginx [1.22.1-9]\nE: Unable to locate package x\n",
    b"htop 3.2.2-2.fc42\nInstalling:\n htop  x86_64  3.2.2-2.fc42  fedora  200 k\nRemoving:\n",
    b'<to-install><solvable type="package" name="htop" edition="3.2-1"/></to-install>',
)
SETTING_VALUES = (
    *(b"a.example", b"fe80::1%eth0", b"192.0.2.0/24", b"443/tcp", b"http://a.example/", b"/a", b"%a", b"/bin/a -b"),
    *(b"1M", b"1h 5min", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
)


def site_facts(data: bytes) -> None:
    """Read an entry of facts.d, by each suffix."""
    for path in ("/site", "/site.yaml", "/site.json"):
        facts, fault = facts_or_fault("site", data, path)
        assert not (facts and fault)
        assert all(value.isprintable() for values in facts.values() for value in values)
        assert all(name.startswith("facts.site") for name in facts)


@functools.cache
def _managers() -> tuple[PackageManager, ...]:
    documents = tuple(shipped())
    shared = shared_versions(documents)
    return tuple(package_manager(names_for(documents, facts_for(os=os), shared)[0]) for os in SYSTEMS)


def package_outputs(data: bytes) -> None:
    """Read the output of each package manager."""
    text = data.decode("utf-8", "replace")
    for manager in _managers():
        installed = read_installed(manager, text)
        assert not any(map(str.isspace, "".join(installed.versions)))
        for of_removal in (False, True):
            read_preview(manager, text, of_removal=of_removal)
        is_busy(manager, text)
    assert "\n" not in complaint(text)


def setting_values(data: bytes) -> None:
    """Read a value of each type of settings, which ends neither its line nor its quotes in a file of a system."""
    text = data.decode("utf-8", "replace")
    for kind, (_, read) in SCALARS.items():
        with contextlib.suppress(ValueError):
            value = str(read(text))
            assert kind in WITH_LINE_ENDS | {"flag"} or value.isprintable() or kind == "text", (kind, value)
            assert kind in WITH_LINE_ENDS | {"flag"} or len(value.splitlines()) < 2, (kind, value)
            assert kind in WITH_QUOTES or not set(value) & set("\"'\\`$;#"), (kind, value)


def initrds(data: bytes) -> None:
    """Read the names of an initrd."""
    for name in names_in(data.replace(ZSTD, b"")):
        name.encode()


ZSTD = b"\x28\xb5\x2f\xfd"
"""The first bytes of what a program of its own unpacks."""


def initrd_seeds() -> tuple[bytes, ...]:
    """Return archives of cpio, compressed and not."""
    fields = (0, 0o100644, 0, 0, 1, 0, 3, 0, 0, 0, 0, 6, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields)
    plain = head + b"./a/b\0" + b"xyz\0" + head + b"TRAIL\0" + b"xyz\0"
    return plain, gzip.compress(plain), lzma.compress(plain), plain + bytes(512) + bz2.compress(plain)
