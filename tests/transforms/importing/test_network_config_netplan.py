"""Scalars of netplan are read as netplan reads them, which is asked where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ordain.transforms.catalog.names import Names
from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.importing.file_types import FileType
from ordain.transforms.model import Branch

pytestmark = pytest.mark.thorough

NETPLAN = shutil.which("netplan", path="/usr/sbin:/usr/bin:/sbin:/bin")
MTU: list[tuple[str, Plain]] = [
    ('"9000"', 9000), ("9000", 9000), ("'1500'", 1500), ("0900", 900), ("0x10", None), ("1e3", None), ("9000.0", None),
    ('"9k"', None),
]  # fmt: skip
DHCP: list[tuple[str, Plain]] = [
    ("true", True), ('"true"', True), ("yes", True), ("Y", True), ("'on'", True), ("OFF", False), ('"no"', False),
    ("n", False), ("1", None), ("0", None), ("t", None), ("enabled", None),
]  # fmt: skip
SAMPLES = [("mtu", *sample) for sample in MTU] + [("dhcp4", *sample) for sample in DHCP]


def text(key: str, written: str) -> str:
    return f"network: {{version: 2, ethernets: {{eth0: {{{key}: {written}}}}}}}\n"


def imported(key: str, written: str) -> tuple[Plain, list[str]]:
    """Return the value of a key of a device, None if it is left out, and the problems."""
    draft = DocumentDraft()
    files = [InputFile(path="60-a.yaml", data=text(key, written).encode())]
    file_types.convert(files, Names(tree=Branch()), draft, FileType.NETPLAN)
    schema_filter.remove_invalid(draft)
    device = draft.sections.get("network", {}).get("ethernets", {})
    assert isinstance(device, dict)
    keys = device.get("eth0", {})
    assert isinstance(keys, dict)
    return keys.get(key), [problem.what for problem in draft.problems]


@pytest.mark.parametrize(("key", "written", "value"), SAMPLES)
def test_a_scalar_is_read_by_the_type_of_its_key(key: str, written: str, value: Plain) -> None:
    read, problems = imported(key, written)

    assert (read if isinstance(read, bool) else None if read is None else int(str(read))) == value
    assert bool(problems) is (value is None)


@pytest.mark.skipif(NETPLAN is None, reason="netplan is not installed")
@pytest.mark.parametrize(("key", "written", "value"), SAMPLES)
def test_netplan_takes_and_refuses_the_same(tmp_path: Path, key: str, written: str, value: Plain) -> None:
    file = tmp_path / "etc/netplan/60-a.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text(key, written))
    file.chmod(0o600)
    done = subprocess.run(
        [str(NETPLAN), "get", "--root-dir", str(tmp_path), f"ethernets.eth0.{key}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode == 0) is (value is not None)
    if value is not None:
        assert done.stdout.strip() == (str(value).lower() if isinstance(value, bool) else str(value))
