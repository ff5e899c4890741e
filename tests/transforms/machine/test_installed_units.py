"""Installed units are merged as systemd merges them; `systemd --test` is the oracle if it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Installed, Link

ETC = "etc/systemd/system"
CONTROL = "etc/systemd/system.control"
LOCAL = "usr/local/lib/systemd/system"
USR = "usr/lib/systemd/system"
RUN = "[Service]\nExecStart=/bin/true\n"


def installed(root: Path, files: Mapping[str, str | bytes], links: Mapping[str, str] | None = None) -> Installed:
    """Return the installed units of a root with these files and links."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    for name, target in (links or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return read_installed(root)


def test_the_first_directory_wins(tmp_path: Path) -> None:
    units = installed(
        tmp_path,
        {
            f"{USR}/a.service": "[Unit]\nDescription=usr\n",
            f"{LOCAL}/a.service": "[Unit]\nDescription=local\n",
            f"{USR}/b.service": "[Unit]\nDescription=usr\n",
            f"{ETC}/b.service": "[Unit]\nDescription=etc\n",
        },
    ).units
    assert {n: (u.path, u.values("Unit", "Description")) for n, u in units.items()} == {
        "a.service": (f"/{LOCAL}/a.service", ("local",)),
        "b.service": (f"/{ETC}/b.service", ("etc",)),
    }


def test_drop_ins_are_merged_by_file_name(tmp_path: Path) -> None:
    unit = installed(
        tmp_path,
        {
            f"{USR}/a.service": "[Service]\nExecStart=/bin/a\nEnvironment=A=1\n",
            f"{USR}/a.service.d/50-vendor.conf": "[Service]\nEnvironment=B=2\n",
            f"{ETC}/a.service.d/10-first.conf": "[Service]\nExecStart=\nExecStart=/bin/b\n",
            f"{ETC}/a.service.d/note.txt": "[Service]\nExecStart=/bin/c\n",
            f"{CONTROL}/a.service.d/50-MemoryMax.conf": "[Service]\nMemoryMax=1G\n",
        },
    ).units["a.service"]
    assert unit.drop_ins == (
        f"/{ETC}/a.service.d/10-first.conf",
        f"/{CONTROL}/a.service.d/50-MemoryMax.conf",
        f"/{USR}/a.service.d/50-vendor.conf",
    )
    assert unit.values("Service", "ExecStart") == ("/bin/b",)
    assert unit.values("Service", "Environment") == ("A=1", "B=2")
    assert unit.sections["Service"][2:4] == (("ExecStart", ""), ("ExecStart", "/bin/b"))


def test_a_drop_in_is_masked_by_a_link_to_dev_null(tmp_path: Path) -> None:
    unit = installed(
        tmp_path,
        {f"{USR}/a.service": RUN, f"{USR}/a.service.d/x.conf": "[Service]\nUser=x\n"},
        {f"{ETC}/a.service.d/x.conf": "/dev/null"},
    ).units["a.service"]
    assert unit.values("Service", "User") == ()
    assert unit.drop_ins == (f"/{ETC}/a.service.d/x.conf",)


@pytest.mark.parametrize("how", ["link", "relative link", "empty file"])
def test_an_empty_file_or_a_link_to_dev_null_masks_a_unit(tmp_path: Path, how: str) -> None:
    files = {f"{USR}/a.service": RUN} | ({f"{ETC}/a.service": ""} if how == "empty file" else {})
    links = {"link": "/dev/null", "relative link": "../../../dev/null"}
    found = installed(tmp_path, files, {f"{ETC}/a.service": links[how]} if how in links else {})
    unit = found.units["a.service"]
    assert unit.masked
    assert (unit.path, unit.sections) == (f"/{ETC}/a.service", {})


def test_an_alias_is_a_link_to_another_name(tmp_path: Path) -> None:
    found = installed(
        tmp_path,
        {
            f"{USR}/ssh.service": RUN,
            f"{USR}/getty@.service": RUN,
            f"{USR}/x.socket": "",
            f"{ETC}/sshd.service.d/x.conf": "[Service]\nUser=x\n",
        },
        {
            f"{ETC}/sshd.service": f"/{USR}/ssh.service",
            f"{ETC}/old-ssh.service": "sshd.service",
            f"{ETC}/autovt@.service": f"/{USR}/getty@.service",
            f"{ETC}/getty@tty9.service": f"/{USR}/getty@.service",
            f"{ETC}/wrong.service": f"/{USR}/x.socket",
        },
    )
    assert found.aliases == {
        "sshd.service": "ssh.service",
        "old-ssh.service": "ssh.service",
        "autovt@.service": "getty@.service",
    }
    assert found.units["ssh.service"].values("Service", "User") == ("x",)
    assert set(found.units) == {"ssh.service", "getty@.service", "getty@tty9.service", "x.socket"}


def test_a_link_to_outside_or_of_the_same_name_is_the_unit_itself(tmp_path: Path) -> None:
    found = installed(
        tmp_path,
        {"opt/app/app.service": RUN, f"{USR}/b.service": "[Service]\nUser=b\n"},
        {f"{ETC}/app.service": "/opt/app/app.service", f"{ETC}/b.service": f"/{USR}/b.service"},
    )
    assert found.aliases == {}
    assert found.units["app.service"].values("Service", "ExecStart") == ("/bin/true",)
    assert found.units["b.service"].values("Service", "User") == ("b",)


def test_circles_and_dangling_links_are_ignored(tmp_path: Path) -> None:
    found = installed(
        tmp_path,
        {f"{USR}/b.service": RUN},
        {
            f"{ETC}/a.service": "a.service",
            f"{ETC}/b.service": "/nowhere/b.service",
            f"{ETC}/c.service": "d.service",
            f"{ETC}/d.service": "c.service",
        },
    )
    assert {n: u.path for n, u in found.units.items()} == {"b.service": f"/{USR}/b.service"}
    assert found.aliases == {}


def test_dependencies_by_link_are_read(tmp_path: Path) -> None:
    found = installed(
        tmp_path,
        {f"{USR}/a.service": RUN, f"{USR}/getty@.service": RUN, f"{USR}/multi-user.target.wants/README": "not a unit"},
        {
            f"{USR}/multi-user.target.wants/a.service": "../a.service",
            f"{USR}/multi-user.target.wants/b.service": "../b.service",
            f"{ETC}/multi-user.target.wants/b.service": "/dev/null",
            f"{ETC}/multi-user.target.requires/gone.service": "/opt/gone.service",
            f"{ETC}/multi-user.target.upholds/a.service": f"/{USR}/a.service",
            f"{ETC}/getty.target.wants/getty@tty1.service": f"/{USR}/getty@.service",
        },
    )
    assert found.links == (
        Link(
            target="getty.target",
            kind="wants",
            name="getty@tty1.service",
            path=f"/{ETC}/getty.target.wants/getty@tty1.service",
        ),
        Link(
            target="multi-user.target",
            kind="requires",
            name="gone.service",
            path=f"/{ETC}/multi-user.target.requires/gone.service",
        ),
        Link(
            target="multi-user.target",
            kind="upholds",
            name="a.service",
            path=f"/{ETC}/multi-user.target.upholds/a.service",
        ),
        Link(
            target="multi-user.target",
            kind="wants",
            name="a.service",
            path=f"/{USR}/multi-user.target.wants/a.service",
        ),
    )
    assert found.units["getty@tty1.service"].path == f"/{USR}/getty@.service"


def test_a_unit_may_only_have_drop_ins(tmp_path: Path) -> None:
    found = installed(
        tmp_path, {f"{ETC}/srv.mount.d/x.conf": "[Mount]\nOptions=ro\n", f"{USR}/a-.service.d/x.conf": ""}
    )
    assert {n: (u.path, u.masked) for n, u in found.units.items()} == {"srv.mount": ("", False)}


def test_runtime_units_are_left_out(tmp_path: Path) -> None:
    found = installed(
        tmp_path,
        {
            "run/systemd/system/a.service": RUN,
            "run/systemd/generator.early/b.service": RUN,
            "usr/lib/systemd/user/c.service": RUN,
        },
    )
    assert found == Installed(units={})


def test_a_linked_lib_is_read_once(tmp_path: Path) -> None:
    merged, split = tmp_path / "merged", tmp_path / "split"
    merged.mkdir()
    (merged / "lib").symlink_to("usr/lib")
    assert installed(merged, {f"{USR}/a.service": RUN}).units["a.service"].path == f"/{USR}/a.service"
    found = installed(split, {f"{USR}/a.service": RUN, "lib/systemd/system/b.service": RUN})
    assert {u.path for u in found.units.values()} == {f"/{USR}/a.service", "/lib/systemd/system/b.service"}


def test_a_hostile_file_only_affects_its_own_unit(tmp_path: Path) -> None:
    directory = tmp_path / ETC
    directory.mkdir(parents=True)
    os.mkfifo(directory / "pipe.service")
    (directory / "folder.service").mkdir()
    (directory / "a.service.d").write_text("a file where a directory belongs")
    found = installed(
        tmp_path,
        {
            f"{USR}/a.service": RUN,
            f"{USR}/bytes.service": bytes(range(256)),
            f"{USR}/huge.service": b"[Unit]\n" + b"Description=x\n" * 200_000,
            f"{USR}/a b.service": RUN,
            f"{USR}/.hidden.service": RUN,
            f"{USR}/@.service": RUN,
            f"{USR}/{'x' * 240}.service.d/x.conf": "[Unit]\n",
        },
        {f"{ETC}/loop.service.d": "loop.service.d", f"{ETC}/b.target.wants": "/nowhere"},
    )
    assert {n: bool(u.sections) for n, u in found.units.items()} == {
        "a.service": True,
        "bytes.service": False,
        "huge.service": False,
        f"{'x' * 240}.service": False,
    }


def test_a_file_is_read_again_after_any_change(tmp_path: Path) -> None:
    before = installed(tmp_path, {f"{USR}/a.service": "[Unit]\nDescription=1\n"}).units["a.service"]
    assert read_installed(tmp_path).units["a.service"] is before, "an apply reads all units several times"
    after = installed(tmp_path, {f"{USR}/a.service": "[Unit]\nDescription=2\n"}).units["a.service"]
    dropped = installed(tmp_path, {f"{ETC}/a.service.d/b.conf": "[Unit]\nDescription=3\n"}).units["a.service"]

    assert before.sections["Unit"] == (("Description", "1"),)
    assert after.sections["Unit"] == (("Description", "2"),)
    assert dropped.sections["Unit"] == (("Description", "2"), ("Description", "3"))


def test_a_missing_root_has_no_units(tmp_path: Path) -> None:
    assert read_installed(tmp_path / "nowhere") == Installed(units={})


SYSTEMD = next((p for p in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if Path(p).exists()), None)
NOBODY = 65534
UNITS = ("a-b-c.service", "a-b@.service", "a-b@x.service", "al-b.service")
DROP_INS = (
    "a-b-c.service", "a-b-.service", "a-.service", "service", "al-b.service", "al-.service",
    "a-b@x.service", "a-b@.service", "a-@x.service", "a-@.service",
)  # fmt: skip


@contextmanager
def _root() -> Iterator[Path]:
    """Yield a root that other users cannot read, independent of the mode of pytest's own."""
    with tempfile.TemporaryDirectory(prefix="installed-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def judged(root: Path) -> dict[str, tuple[str, list[str]]]:
    """Return the fragment and drop-ins that systemd reads in ``root`` for each unit of `UNITS`; nothing is started."""
    (root / ETC / "all.target").write_text(f"[Unit]\nWants={' '.join(u for u in UNITS if '@.' not in u)}\n")
    (root / "runtime").mkdir()
    user = NOBODY if os.getuid() == 0 else None
    if user is not None:
        os.chown(root / "runtime", user, user)
    done = subprocess.run(
        [str(SYSTEMD), "--test", "--user", "--unit=all.target"],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": "/",
            "XDG_RUNTIME_DIR": str(root / "runtime"),
            "SYSTEMD_UNIT_PATH": f"{root / ETC}:{root / USR}",
            "SYSTEMD_GENERATOR_PATH": str(root / "runtime"),
            "SYSTEMD_ENVIRONMENT_GENERATOR_PATH": str(root / "runtime"),
            "LC_ALL": "C.UTF-8",
        },
        user=user,
        group=user,
        extra_groups=[] if user else None,
        capture_output=True,
        timeout=60,
        check=False,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"systemd --test does not run here: {done.stderr.strip()[-200:]}")
    found = {}
    for block in re.split(
        r"^\t?(?:->|→) Unit (?=[^\n]*:\n\t*(?:Description|Alias): )", done.stdout, flags=re.MULTILINE
    ):
        fragment = re.findall(r"^\t+Fragment Path: (.*)$", block, re.MULTILINE)
        drop_ins = re.findall(r"^\t+DropIn Path: (.*)$", block, re.MULTILINE)
        names = [block.partition(":\n")[0], *re.findall(r"^\t+Alias: (.*)$", block, re.MULTILINE)]
        for name in names:
            found[name] = (
                "".join(fragment).removeprefix(str(root)),
                [path.removeprefix(str(root)) for path in drop_ins],
            )
    return found


@pytest.mark.skipif(SYSTEMD is None, reason="no systemd binary here to ask")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    drop_ins=st.sets(st.tuples(st.sampled_from((ETC, USR)), st.sampled_from(DROP_INS), st.sampled_from("012345"))),
    fragments=st.dictionaries(
        st.sampled_from(("a-b-c.service", "a-b@.service", "a-b@x.service")), st.sampled_from((ETC, USR)), min_size=1
    ),
    alias=st.sampled_from((None, ETC, USR)),
    mask=st.booleans(),
)
@pytest.mark.thorough
def test_systemd_reads_the_same_files_in_the_same_order(
    drop_ins: set[tuple[str, str, str]], fragments: dict[str, str], alias: str | None, mask: bool
) -> None:
    files = {f"{place}/{unit}.d/{name}.conf": "[Unit]\n" for place, unit, name in drop_ins}
    files |= {f"{place}/{unit}": RUN for unit, place in fragments.items()}
    files |= {f"{ETC}/.keep": "", f"{USR}/.keep": ""}
    links = {f"{alias}/al-b.service": "a-b-c.service"} if alias and fragments.get("a-b-c.service") == alias else {}
    if mask and f"{ETC}/a-b-c.service.d/0.conf" not in files:
        links[f"{ETC}/a-b-c.service.d/0.conf"] = "/dev/null"
    with _root() as root:
        found = installed(root, files, links)
        expected = judged(root)
    for name in UNITS:
        unit = found.units.get(found.aliases.get(name, name))
        if unit is None or not unit.path or name.endswith("@.service"):
            continue
        assert (unit.path, list(unit.drop_ins)) == expected[name]
