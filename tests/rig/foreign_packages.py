"""The packages for other systems: this tree ─rpmbuild, makepkg▶ packages, built once for each content of the tree.

The macros of those systems, which Debian's rpm lacks, and their Python are small stand-ins. So the packages hold what
they hold there, but no compiled module that the Python of the system can use.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rig.debian_roots import CACHE, CLEAN_ENVIRONMENT, made_once
from rig.package import TREE, digest_of_tree

STAND_INS = Path(__file__).with_name("stand_ins")
_OF_WHEEL = ("agent", "generator", "transforms", "pyproject.toml")
PACKAGER = 65534
"""The user and group that runs makepkg, which refuses root."""


@dataclass(frozen=True, kw_only=True)
class RpmSystem:
    """A system with rpm: its macros, the interpreter of the package, and the directory of its modules."""

    macros: Mapping[str, str]
    python: str
    modules: str
    doc: str = "/usr/share/doc/ordain"


def _python3(version: str, **macros: str) -> RpmSystem:
    modules = f"/usr/lib/python{version}/site-packages"
    names = {"python3_sitelib": modules, "python3_sitearch": modules.replace("/lib/", "/lib64/", 1)}
    own = {"__python3": "/usr/bin/python3", **names, **macros}
    suse = "suse_version" in macros
    doc = "/usr/share/doc/packages/ordain" if suse else "/usr/share/doc/ordain"
    return RpmSystem(macros=own, python="/usr/bin/python3", modules=modules, doc=doc)


RPM_SYSTEMS = {
    "fedora": _python3("3.13", fedora="42", dist=".fc42", python3_pkgversion="3"),
    "el-9": RpmSystem(
        macros={
            **{"rhel": "9", "dist": ".el9"},
            "python3_sitelib": "/usr/lib/python3.12/site-packages",
            "python3_sitearch": "/usr/lib64/python3.12/site-packages",
        },
        python="/usr/bin/python3.12",
        modules="/usr/lib/python3.12/site-packages",
    ),
    "el-10": _python3("3.12", rhel="10", dist=".el10", python3_pkgversion="3"),
    "suse": _python3("3.13", suse_version="1600"),
    "suse-15": RpmSystem(
        macros={
            **{"suse_version": "1500", "sle15_python_module_pythons": "%global pythons python311"},
            "python311_sitelib": "/usr/lib/python3.11/site-packages",
            "python311_sitearch": "/usr/lib64/python3.11/site-packages",
        },
        python="/usr/bin/python3.11",
        modules="/usr/lib/python3.11/site-packages",
        doc="/usr/share/doc/packages/ordain",
    ),
}
ARCH_MODULES = "/usr/lib/python3.13/site-packages"


def missing_tools() -> str:
    """Return the reason why the packages cannot be built here, or ""."""
    if os.geteuid() != 0:
        return "needs root"
    tools = ("rpmbuild", "makepkg", "fakeroot", "bsdtar", "rst2man")
    absent = [tool for tool in tools if shutil.which(tool, path=CLEAN_ENVIRONMENT["PATH"]) is None]
    return f"needs {', '.join(absent)}" if absent else ""


def wheel() -> Path:
    """Build the wheel of this tree, which each package contains."""
    folder = CACHE / "ordain-wheels" / digest_of_tree("wheel", _OF_WHEEL)
    with made_once(folder) as made, tempfile.TemporaryDirectory() as tree:
        if made is not None:
            for name in _OF_WHEEL:
                _run("cp", "--recursive", str(TREE / name), tree)
            _run("/usr/bin/python3", "-m", "build", "--wheel", "--no-isolation", f"--outdir={made}", tree)
    (path,) = folder.glob("*.whl")
    return path


def pages() -> Path:
    """Make the manual pages, which are half of the work of a build; return their directory."""
    folder = CACHE / "pages" / digest_of_tree("pages", ("docs/man",))
    with made_once(folder) as made:
        if made is not None:
            for source in sorted((TREE / "docs/man").glob("*.rst")):
                _run("/usr/bin/rst2man", "--strict", str(source), str(made / source.stem))
    return folder


def rpms(name: str, release: str = "1") -> dict[str, Path]:
    """Build the packages for a system of `RPM_SYSTEMS`; return them by their names."""
    system, folder = RPM_SYSTEMS[name], CACHE / "rpms" / f"{digest_of_tree(release)}-{name}"
    with made_once(folder) as made:
        if made is not None:
            macros = {**_macros(system), "package_release": release}
            arguments = [word for key, value in macros.items() for word in ("--define", f"{key} {value}")]
            build = f"{TREE}/packaging/build-rpm"
            _run(build, str(made), "--nodeps", *arguments, path=_path(), PAGES=str(pages()))
    return {path.name.rsplit("-", 2)[0]: path for path in folder.glob("*.rpm")}


def _macros(system: RpmSystem) -> Mapping[str, str]:
    """Return the macros of the system: those that name it, and those that install a wheel."""
    install = f"{STAND_INS}/install-wheel {wheel()} %{{buildroot}} {system.modules} {system.python}"
    stand_ins = {"pyproject_wheel": "true", "pyproject_install": install, "build_python": "/usr/bin/python3"}
    # It is a program of bash, which Debian starts with dash.
    return {**system.macros, **stand_ins, "__brp_compress": "bash /usr/lib/rpm/brp-compress /usr"}


def arch(release: str = "1") -> dict[str, Path]:
    """Build the packages for Arch Linux as a user; return them by their names."""
    folder = CACHE / "pkgs" / digest_of_tree(release)
    with made_once(folder) as made:
        if made is not None:
            with tempfile.TemporaryDirectory() as desk:
                recipe = (TREE / "packaging/arch/PKGBUILD").read_text().replace("pkgrel=1", f"pkgrel={release}")
                Path(desk, "PKGBUILD").write_text(recipe)
                shutil.copy(TREE / "packaging/arch/ordain.install", desk)
                _run(f"{TREE}/packaging/source-archive", desk, re.findall(r"^pkgver=(.*)", recipe, re.MULTILINE)[0])
                for path in (Path(desk), *Path(desk).iterdir()):
                    os.chown(path, PACKAGER, PACKAGER)
                user = ["setpriv", f"--reuid={PACKAGER}", f"--regid={PACKAGER}", "--clear-groups"]
                command = ["makepkg", "--nodeps", "--nocolor"]
                # The packager may not read the cache of root.
                shutil.copy(wheel(), desk)
                shutil.copytree(pages(), f"{desk}/pages")
                settings = {
                    "HOME": desk,
                    "PKGEXT": ".pkg.tar.gz",
                    "WHEEL": f"{desk}/{wheel().name}",
                    "PAGES": f"{desk}/pages",
                }
                _run(*user, *command, path=_path(arch=True), folder=desk, MODULES=ARCH_MODULES, **settings)
                for path in Path(desk).glob("*.pkg.tar.gz"):
                    shutil.copy(path, made)
    return {path.name.rsplit("-", 3)[0]: path for path in folder.glob("*.pkg.tar.gz")}


def _path(*, arch: bool = False) -> str:
    stand_ins = [STAND_INS, *([STAND_INS / "arch"] if arch else [])]
    return ":".join([*map(str, stand_ins), CLEAN_ENVIRONMENT["PATH"]])


def _run(*argv: str, path: str = "", folder: str = "/", **environment: str) -> None:
    settings = {**CLEAN_ENVIRONMENT, **({"PATH": path} if path else {}), **environment}
    done = subprocess.run(
        argv, env=settings, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv[:3])} …:\n{done.stdout[-3000:]}{done.stderr[-5000:]}")
