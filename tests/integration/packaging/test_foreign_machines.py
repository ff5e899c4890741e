"""The packages of rpm and pacman, installed, upgraded and removed by them in roots and machines laid out alike.

The kernel, systemd and the libraries are Debian's; the package, its scripts, its directories of modules, the database
of the package manager, os-release and the links of / are those of the other system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ordain.agent.server.prebuilt_caches import image_digest
from ordain.transforms.machine import installed_packages
from rig import foreign_packages
from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.foreign_packages import ARCH_MODULES, RPM_SYSTEMS
from rig.machine import Machine, Machines
from rig.machine_agent import agent_status, wait_agent_state

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SYSTEMS = [("bookworm", "el-9"), ("bookworm", "suse"), ("trixie", "fedora"), ("trixie", "el-10"), ("trixie", "arch")]
"""Each system on a Debian: EL 9 on Debian 12, which has its systemd 252; that of SUSE has a split /usr."""
DATABASES = {
    "fedora": "/usr/lib/sysimage/rpm",
    "el-9": "/var/lib/rpm",
    "el-10": "/usr/lib/sysimage/rpm",
    "suse": "/usr/lib/sysimage/rpm",
}
RELEASES = {
    "fedora": "ID=fedora\nVERSION_ID=42\n",
    "el-9": 'ID=rocky\nID_LIKE="rhel centos fedora"\nVERSION_ID=9.4\n',
    "el-10": 'ID=rocky\nID_LIKE="rhel centos fedora"\nVERSION_ID=10.0\n',
    "suse": 'ID=opensuse-leap\nID_LIKE="suse opensuse"\nVERSION_ID=16.0\n',
    "arch": "ID=arch\n",
}
WEB = """\
ordain: v1
kind: Layer
name: web
services:
  web: {command: [/usr/bin/sleep, infinity], files: {/etc/web.conf: {content: WORD}}}
"""
ENABLED = "etc/systemd/system/multi-user.target.wants/ordain-agent.service"


@pytest.fixture(autouse=True)
def _tools() -> None:
    if reason := foreign_packages.missing_tools():
        pytest.skip(reason)


def host(*argv: str | Path, check: bool = True) -> str:
    """Run a command on this computer, and return what it printed."""
    done = subprocess.run(argv, env=CLEAN_ENVIRONMENT, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def built(system: str, release: str = "1") -> Path:
    packages = foreign_packages.arch(release) if system == "arch" else foreign_packages.rpms(system, release)
    return packages["ordain"]


def manage(system: str, root: Path, verb: str, what: str | Path) -> str:
    """Install (``-U``), or erase (``-e``), a package in a root by rpm or pacman; the libraries are Debian's."""
    if system == "arch":
        (root / "var/lib/pacman").mkdir(parents=True, exist_ok=True)
        options = ["--root", str(root), "--dbpath", f"{root}/var/lib/pacman", "--noconfirm", "--nodeps", "--nodeps"]
        return host("pacman", "-U" if verb == "-U" else "-R", *options, what)
    return host("rpm", f"--root={root}", f"--dbpath={DATABASES[system]}", "--nodeps", verb, what)


def lay_out(system: str, root: Path, *, split: bool = False) -> None:
    """Make a root of Debian look like the system: its release, no database of dpkg, its directories of modules."""
    (root / "usr/lib/os-release").write_text(RELEASES[system])
    shutil.rmtree(root / "var/lib/dpkg")
    modules = ARCH_MODULES if system == "arch" else RPM_SYSTEMS[system].modules
    libraries = root / "usr/lib/python3/dist-packages"
    (libraries / "of-the-system.pth").write_text(f"{modules}\n")
    if system == "arch":
        # All modules are in one directory there.
        (root / modules[1:]).mkdir(parents=True)
        for entry in sorted(libraries.iterdir()):
            (root / modules[1:] / entry.name).symlink_to(f"/usr/lib/python3/dist-packages/{entry.name}")
    else:
        compiled = root / modules.replace("/lib/", "/lib64/", 1)[1:]
        compiled.parent.mkdir(parents=True, exist_ok=True)
        compiled.symlink_to("/usr/lib/python3/dist-packages")
    for name in ("python3.12", "python"):
        (root / "usr/bin" / name).unlink(missing_ok=True)
        (root / "usr/bin" / name).symlink_to("python3")
    if split:
        # As on SLES 15: all programs are in /usr, and /bin is a directory with links to them.
        for top in ("bin", "sbin"):
            (root / top).unlink()
            (root / top).mkdir()
            for program in sorted((root / "usr" / top).iterdir()):
                (root / top / program.name).symlink_to(f"../usr/{top}/{program.name}")


@pytest.fixture
def root(machines: Machines, suite: str, system: str) -> Machine:
    """Return a machine that is off, laid out as the system, without the package."""
    machine = machines(suite, bare=True)
    lay_out(system, machine.tree, split=system == "suse")
    return machine


@pytest.mark.parametrize(("suite", "system"), SYSTEMS)
def test_scripts_of_the_package_act_as_those_of_debian_in_a_root(root: Machine, system: str) -> None:
    tree = root.tree
    manage(system, tree, "-U", built(system))

    assert (tree / ENABLED).is_symlink()
    wants = {path.name for path in tree.glob("etc/systemd/system/*.wants/ordain-*")}
    assert {"ordain-files.service", "ordain-fallback.service", "ordain-boot-attempt.service"} <= wants
    assert "ordain-source:" in (tree / "etc/passwd").read_text()
    assert {(tree / f"etc/ordain/{name}").stat().st_mode & 0o777 for name in ("boot", "documents")} == {0o750}

    # An upgrade keeps state, documents, and what an administrator has decided.
    (tree / ENABLED).unlink()
    (tree / "etc/ordain/documents/web.yaml").write_text(WEB)
    (tree / "etc/ordain/documents").chmod(0o700)
    (tree / "var/lib/ordain").mkdir(mode=0o777)
    (tree / "var/lib/ordain/record").write_text("kept")
    manage(system, tree, "-U", built(system, "2"))

    assert not (tree / ENABLED).is_symlink()
    assert (tree / "etc/ordain/documents/web.yaml").read_text() == WEB
    assert (tree / "var/lib/ordain/record").read_text() == "kept"
    assert (tree / "var/lib/ordain").stat().st_mode & 0o007 == 0
    assert (tree / "etc/ordain/documents").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (tree / "usr/lib/ordain").glob("0.*")] == [release_of(system, "2")]

    manage(system, tree, "-e", "ordain")

    left = host("find", *(tree / name for name in ("etc", "usr", "var", "run")), "-iname", "*ordain*").split()
    assert sorted(os.path.relpath(path, tree) for path in left) == ["etc/ordain"]
    assert [str(path.relative_to(tree / "etc/ordain")) for path in (tree / "etc/ordain").rglob("*")] == [
        "documents",
        "documents/web.yaml",
    ]


def release_of(system: str, release: str) -> str:
    return f"0.1.0-{release}" + ("" if system == "arch" else RPM_SYSTEMS[system].macros.get("dist", ""))


@pytest.mark.parametrize(("suite", "system"), SYSTEMS)
def test_a_machine_laid_out_as_the_system_boots_applies_and_boots_again(root: Machine, system: str) -> None:
    manage(system, root.tree, "-U", built(system))
    root.write("/etc/ordain/documents/web.yaml", WEB)
    root.boot()

    wait_agent_state(root, "converged")
    assert root.show("web.service", "ActiveState")["ActiveState"] == "active"
    assert root.read("/etc/web.conf") == "WORD"
    # The generator has compiled the documents before the first unit was loaded, with the modules of the system.
    assert root.path("/run/ordain/boot/handed").exists()
    assert "ordain" in set(installed_packages.read(root.tree))

    root.write("/etc/ordain/documents/web.yaml", WEB.replace("WORD", "two"))
    root.until("the file is the new one", lambda: root.read("/etc/web.conf") == "two")
    wait_agent_state(root, "converged")
    root.poweroff()
    root.boot()

    wait_agent_state(root, "converged")
    assert agent_status(root)["drift"] == []
    assert "from=current" in root.read("/run/ordain/boot/choice")


@pytest.mark.parametrize(("suite", "system"), [("trixie", "fedora"), ("trixie", "arch")])
def test_an_installation_changes_the_fingerprint_of_the_image(root: Machine, system: str) -> None:
    before = image_digest(root.tree)

    manage(system, root.tree, "-U", built(system))
    with_package = image_digest(root.tree)
    manage(system, root.tree, "-U", built(system, "2"))

    assert len({before, with_package, image_digest(root.tree)}) == 3
    assert image_digest(root.tree) == shell_digest(root.tree)


def shell_digest(tree: Path) -> str:
    """Return the fingerprint as an initrd computes it."""
    handover = tree / "tmp/handover"
    shutil.copy(Path(__file__).parents[3] / "packaging/initrd/handover", handover)
    return host("chroot", tree, "sh", "-c", ". /tmp/handover; ordain_image /").split()[0]
