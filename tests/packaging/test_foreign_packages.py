"""The packages for other systems hold the files of the Debian package, and need the same libraries."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from rig import foreign_packages, package
from rig.foreign_packages import ARCH_MODULES, RPM_SYSTEMS

pytestmark = [pytest.mark.thorough, pytest.mark.slow]

TREE = Path(__file__).parents[2]
SYSTEMS = (*RPM_SYSTEMS, "arch")
PACKAGES = ("ordain", "ordain-dracut")
ONLY_DEBIAN = (
    *("/usr/share/doc/ordain/changelog.gz", "/usr/share/doc/ordain/copyright", "/usr/share/lintian/overrides/ordain"),
    "/usr/share/python3/runtime.d/ordain.rtupdate",  # compiles the modules again for a new Python
    *("/usr/share/doc/ordain-initramfs/changelog.gz", "/usr/share/doc/ordain-initramfs/copyright"),
)
"""Files that Debian's tools add, and initramfs-tools, which only Debian has."""
NAMES_OF_LIBRARIES = {
    # name on PyPI: EL and Fedora, SUSE, Arch; the first two after the prefix of the Python
    "PyYAML": ("pyyaml", "PyYAML", "python-yaml"),
    "Jinja2": ("jinja2", "Jinja2", "python-jinja"),
    "PyNaCl": ("pynacl", "PyNaCl", "python-pynacl"),
}
PREFIXES = {"el-9": "python3.12-", "suse-15": "python311-"}


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    if reason := foreign_packages.missing_tools():
        pytest.skip(reason)


def built(system: str) -> Mapping[str, Path]:
    return foreign_packages.arch() if system == "arch" else foreign_packages.rpms(system)


def output(*argv: str | Path) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def listed(file: Path) -> Iterable[str]:
    """Yield the files and links of a package, without directories."""
    if file.suffix == ".deb":
        rows = output("dpkg-deb", "--contents", file).splitlines()
        yield from (row.split()[5].removeprefix(".") for row in rows if not row.startswith("d"))
    elif file.suffix == ".rpm":
        rows = output("rpm", "-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]", file).splitlines()
        yield from (row.split()[1] for row in rows if not row.startswith("d"))
    else:
        yield from (f"/{name}" for name in output("bsdtar", "-tf", file).splitlines() if not name.endswith("/"))


def neutral(system: str, file: Path) -> set[str]:
    """Return the files of a package by neutral names: what differs between systems is the table here."""
    modules = {"debian": "/usr/lib/python3/dist-packages", "arch": ARCH_MODULES}
    differences = (
        (modules[system] if system in modules else RPM_SYSTEMS[system].modules, "MODULES"),
        ("/usr/share/doc/packages/ordain", "/usr/share/doc/ordain"),
        (r"/usr/share/licenses/.*", ""),
        (r"/usr/share/zsh/(vendor-completions|site-functions)", "ZSH"),
        (r"/completions/ordainctl\.bash", "/completions/ordainctl"),
        (r"/usr/lib/ordain/0[^/]*", "/usr/lib/ordain/RELEASE"),
        (r"(/usr/share/man/.*)\.gz", r"\1"),
        (r".*/__pycache__/.*", ""),  # Debian compiles modules when they are installed
        (r".*/usr/share/initramfs-tools/.*", ""),  # only Debian has initramfs-tools
        (r"/\.(BUILDINFO|INSTALL|MTREE|PKGINFO)", ""),  # a package of pacman describes itself in files
    )
    names = set(listed(file)) - set(ONLY_DEBIAN)
    for pattern, replacement in differences:
        names = {re.sub(rf"^{pattern}" if pattern.startswith("/usr") else pattern, replacement, name) for name in names}
    return names - {""}


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_package_holds_the_files_of_the_debian_package(system: str) -> None:
    deb = package.build()
    debian = {"ordain": deb, "ordain-dracut": package.for_initrds(deb)}

    packages = built(system)

    assert set(packages) == set(PACKAGES)
    for name in PACKAGES:
        ours, theirs = neutral("debian", debian[name]), neutral(system, packages[name])
        assert len(ours) > 5
        assert ours ^ theirs == set(), name


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_package_needs_the_libraries_of_the_project(system: str) -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    libraries = [*project["dependencies"], *project["optional-dependencies"]["machine"]]
    file = built(system)["ordain"]
    if system == "arch":
        needs = set(re.findall(r"^depend = (\S+)", output("bsdtar", "-xOf", file, ".PKGINFO"), re.MULTILINE))
    else:
        needs = {line.strip() for line in output("rpm", "-qp", "--requires", file).splitlines()}

    for library in libraries:
        name, _, version = library.partition(">=")
        column = 2 if system == "arch" else int(system.startswith("suse"))
        known = NAMES_OF_LIBRARIES.get(name, (name, name, f"python-{name}"))[column]
        need = known if system == "arch" else f"{PREFIXES.get(system, 'python3-')}{known} >= {version}"
        assert need in needs


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_programs_of_the_boot_use_the_python_of_the_system_and_its_directories(system: str, tmp_path: Path) -> None:
    file = built(system)["ordain"]
    modules = ARCH_MODULES if system == "arch" else RPM_SYSTEMS[system].modules
    python = "/usr/bin/python3" if system == "arch" else RPM_SYSTEMS[system].python

    subprocess.run(["bsdtar", "-xf", file, "-C", tmp_path], check=True)

    generator = (tmp_path / "usr/lib/systemd/system-generators/ordain-generator").read_text()
    assert generator.startswith(f"#!{python} -BIS\n")
    (release,) = re.findall(r'"(/usr/lib/ordain/0[^"]+)"', generator)
    assert (tmp_path / release[1:] / "ordain/generator/main.py").is_file()
    assert f'sys.path += ["{modules}"' in (tmp_path / "usr/lib/ordain/ordain-first-boot").read_text()
    assert (tmp_path / f"{modules[1:]}/ordain/transforms/data/transforms").readlink() == Path(
        "../../../../../../share/ordain/transforms"
    )


@pytest.mark.parametrize("system", RPM_SYSTEMS)
def test_rpmlint_finds_only_what_the_list_of_exceptions_explains(system: str) -> None:
    configuration = TREE / "packaging/rpm/rpmlint.toml"

    done = subprocess.run(
        ["rpmlint", "--config", configuration, *built(system).values()], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_preset_enables_the_units_that_have_a_section_for_it_but_no_relay() -> None:
    preset = (TREE / "packaging/preset/80-ordain.preset").read_text()

    units = {path.name for path in (TREE / "units").iterdir() if "\n[Install]\n" in path.read_text()}

    enabled, disabled = (set(re.findall(rf"^{verb} (\S+)$", preset, re.MULTILINE)) for verb in ("enable", "disable"))
    assert disabled == {"ordain-relay.service"}
    assert enabled | disabled == units


@pytest.mark.parametrize("recipe", ["packaging/rpm/ordain.spec", "packaging/arch/PKGBUILD"])
def test_all_recipes_have_the_version_of_the_project(recipe: str) -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]

    assert re.findall(r"^(?:Version: *|pkgver=)(.*)$", (TREE / recipe).read_text(), re.MULTILINE) == [
        project["version"]
    ]
