"""A line of fstab becomes the mount that systemd-fstab-generator(8) of this machine makes of it, or is named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.importing.draft.document_draft import InputFile
from ordain.transforms.systemd import splitting, unit_file
from support.importing.import_round_trips import round_trip

GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")
FACTS = facts_for("debian-12")
IMPLIED = {"defaults", "auto", "noauto", "nofail"}
"""Options that only the boot reads, or that every mount of a document has."""

pytestmark = pytest.mark.skipif(not os.access(GENERATOR, os.X_OK), reason="systemd-fstab-generator is not installed")


def generated(fstab: str, directory: Path) -> Mapping[str, str]:
    """Return the units that systemd makes of a text, by name."""
    (directory / "fstab").write_text(fstab)
    folders = [directory / name for name in ("normal", "early", "late")]
    for folder in folders:
        folder.mkdir()
    environment = {**os.environ, "SYSTEMD_FSTAB": str(directory / "fstab"), "SYSTEMD_LOG_TARGET": "console"}
    subprocess.run([GENERATOR, *folders], env=environment, capture_output=True, check=False)  # 1 for one bad line
    return {path.name: path.read_text() for path in folders[0].iterdir() if path.is_file()}


def mount(text: str) -> dict[str, object]:
    """Return the settings of a mount that both must have."""
    found: dict[str, object] = {"Options": set()}
    for section, key, value in unit_file.parse(text):
        if section == "Mount" and key in {"What", "Where", "Type", "TimeoutSec"}:
            found[key] = value.removesuffix("s")
        elif section == "Mount" and key == "Options":
            options = splitting.mount_options(value.replace("%%", "%"))
            found["Options"] = effective(o for o in options if o not in IMPLIED and not o.startswith(("x-", "comment")))
    return found


def effective(options: Iterable[str]) -> set[str]:
    """Return the options that mount(8) acts on as root: a later one overrides an earlier one."""
    acted: set[str] = set()
    for option in options:
        for one in {"users": ("noexec", "nosuid", "nodev"), "owner": ("nosuid", "nodev")}.get(option, (option,)):
            acted -= {f"no{one}", one.removeprefix("no"), {"ro": "rw", "rw": "ro"}.get(one, "")}
            acted.add(one)
    return acted


OPTIONS = st.sampled_from(
    [
        *(
            "ro",
            "rw",
            "noexec",
            "exec",
            "suid",
            "users",
            "owner",
            "nodev",
            "noatime",
            "defaults",
            "nofail",
            "noauto",
            "_netdev",
            "size=10%",
            "mode=1777",
        ),
        *("uid=1000", "subvol=@home", 'context="a:b:c0,c1"', "x-systemd.automount", "comment=systemd.automount"),
        *("x-systemd.mount-timeout=30s", "x-systemd.device-timeout=5", "x-systemd.requires=a.service", "x-mine=1"),
    ]
)
LINES = st.tuples(
    st.sampled_from(
        ["/dev/sda1", "UUID=0b6e-11", "LABEL=my\\040data", 'PARTLABEL="a/b"', "nas:/export", "tmpfs", "//files/x"]
    ),
    st.sampled_from(["/srv/b", "/srv/my\\040data", "/srv/y/", "/media/x-1", "/dev/shm", "/sys/fs/x", "/srv/\\134x"]),
    st.sampled_from(["ext4", "auto", "nfs4", "cifs", "tmpfs", "none", "btrfs"]),
    st.lists(OPTIONS, min_size=1, max_size=5, unique_by=lambda option: option.partition("=")[0]).map(",".join),
)  # fmt: skip


@pytest.mark.thorough
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(line=LINES)
def test_a_mount_is_that_of_the_generator(line: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    fstab = f"{' '.join(line)} 0 0\n"
    units = generated(fstab, tmp_path_factory.mktemp("fstab"))
    done = round_trip([InputFile(path="/etc/fstab", data=fstab.encode())], FACTS)

    theirs = {name: mount(text) for name, text in units.items() if name.endswith(".mount")}
    ours = {name: mount(text) for name, text in done.rendered().items() if name.endswith(".mount")}

    assert [p for p in done.compiled.problems if p.severity != "warning"] == []
    if line[2] == "auto" and line[0] in ("nas:/export", "//files/x"):
        # mount(8) guesses the network file system, but the generator mounts it before the network is up.
        for unit in (*ours.values(), *theirs.values()):
            assert isinstance(unit["Options"], set)
            unit["Options"].add("_netdev")
    assert ours == theirs
    automounts = {name for name in units if name.endswith(".automount")}
    assert {name for name in done.rendered() if name.endswith(".automount")} == automounts
    named = " ".join(problem.what for problem in done.draft.problems)
    for option in line[3].split(","):
        name = option.partition("=")[0]
        if name.startswith("x-") and name not in {"x-systemd.automount", "x-systemd.mount-timeout"} and ours:
            assert name in named


@pytest.mark.parametrize(
    "line", ["/dev/sda1 relative ext4 ro", "proc /proc proc defaults", "/dev/sda1", "/dev/sda1 /x"]
)
def test_a_line_that_the_generator_does_not_mount_is_named(line: str, tmp_path: Path) -> None:
    units = generated(f"{line}\n", tmp_path)
    done = round_trip([InputFile(path="/etc/fstab", data=f"{line}\n".encode())], FACTS)

    made = {name for name in done.rendered() if name.endswith(".mount")}
    assert made == {name for name in units if name.endswith(".mount")}
    assert bool(done.draft.problems) is not bool(made)
