"""Options of fstab(5) that imply or override others give the mount that they gave before."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import names_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.importing import fstab
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile


@pytest.mark.parametrize(
    ("options", "kept", "named"),
    [
        ("users,exec", ["nosuid", "nodev", "exec"], ["the option users: only root starts units"]),
        ("exec,users", ["noexec", "nosuid", "nodev"], ["the option users: only root starts units"]),
        ("owner", ["nosuid", "nodev"], ["the option owner: only root starts units"]),
        ("ro,rw", ["rw"], ["the option ro, which rw overrides"]),
        ("noexec,ro,exec", ["ro", "exec"], ["the option noexec, which exec overrides"]),
    ],
)
def test_a_later_option_overrides_an_earlier_one(options: str, kept: list[str], named: list[str]) -> None:
    draft = DocumentDraft()
    names, _ = names_for(shipped(), facts_for("debian-12"), {})

    fstab.convert([InputFile(path="fstab", data=f"/dev/b /srv/b ext4 {options} 0 0\n".encode())], names, draft)

    entry = draft.sections["mounts"]["/srv/b"]
    assert isinstance(entry, dict)
    assert entry["options"] == kept
    assert [problem.what.removeprefix("not converted: ") for problem in draft.problems] == named


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("/dev/sdb1 /srv ext4 defaults 0 2", True),
        ("UUID=0a /srv ext4 defaults 0 2", True),
        ("/dev/sdb1 /srv xfs defaults 0 2", False),
        ("server:/vol /srv glusterfs defaults 0 2", False),
        ("/dev/sdb1 /srv ext4 defaults 0 0", False),
    ],
)
def test_only_a_file_system_on_a_device_is_checked(line: str, named: bool) -> None:
    """systemd-fstab-generator warns of a check of anything else, and makes none."""
    draft = DocumentDraft()
    names, _ = names_for(shipped(), facts_for("debian-12"), {})

    fstab.convert([InputFile(path="fstab", data=f"{line}\n".encode())], names, draft)

    assert bool(draft.problems) is named


def test_the_remedy_for_two_lines_of_one_file_is_there() -> None:
    draft = DocumentDraft()
    names, _ = names_for(shipped(), facts_for("debian-12"), {})
    files = [
        InputFile(path="fstab", data=b"/dev/a /srv ext4\n/dev/b /srv ext4\n"),
        InputFile(path="b.fstab", data=b"/dev/c /srv ext4\n"),
    ]

    fstab.convert(files, names, draft)

    assert [problem.hint for problem in draft.problems] == ["remove one of them", "import this file alone"]


@pytest.mark.parametrize(
    ("options", "hint"), [("defaults", "remove the line"), ("noexec,size=64M", "leave it in fstab")]
)
def test_the_options_of_a_file_system_of_the_kernel_stay_in_use(options: str, hint: str) -> None:
    """systemd-remount-fs.service reads them from fstab."""
    draft = DocumentDraft()
    names, _ = names_for(shipped(), facts_for("debian-12"), {})

    fstab.convert([InputFile(path="fstab", data=f"tmpfs /dev/shm tmpfs {options} 0 0\n".encode())], names, draft)

    assert [problem.hint.partition(":")[0] for problem in draft.problems] == [hint]
