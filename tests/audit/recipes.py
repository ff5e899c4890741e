"""The packages, units and paths that packaging sources name: spec files, ebuilds and PKGBUILDs.

    DIR/SYSTEM/…/*.spec, *.ebuild, PKGBUILD ──▶ `Recipe` ──▶ what a package of SYSTEM brings, as far as its text says so

Nothing is run, and only simple macros are expanded. So a recipe that does not name a unit says nothing about it: most
units come from the program's own installation. Comments and changelogs name nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

UNITS = (".service", ".socket", ".timer", ".target", ".path")
_COMMENT = re.compile(r"^\s*(?:#|dnl |;).*$", re.MULTILINE)
_UNIT = re.compile(r"[A-Za-z0-9_.\\@:-]+\.(?:service|socket|timer|target|path)(?![A-Za-z0-9_-])")
_MACRO = re.compile(r"%\{\??([A-Za-z0-9_]+)\}|%([A-Za-z_][A-Za-z0-9_]+)")
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]+)\}|\$([A-Za-z_][A-Za-z0-9_]*)")
_DEFINED = re.compile(r"^%(?:global|define)\s+([A-Za-z0-9_]+)\s+(\S+)\s*$", re.MULTILINE)
_ASSIGNED = re.compile(r"^\s*([A-Za-z_][A-Za-z0-9_]*)=[\"']?([^\"'\s()]+)[\"']?\s*$", re.MULTILINE)
_SECTION = re.compile(
    r"^%(description|prep|build|install|check|files|changelog|package|generate_buildrequires"
    r"|(?:pre|post|preun|postun|posttrans|pretrans)(?:un)?|trigger\w*|filetrigger\w*)\b(.*)$"
)
_DIRECTORIES = {
    "_sysconfdir": "/etc",
    "_prefix": "/usr",
    "_bindir": "/usr/bin",
    "_sbindir": "/usr/sbin",
    "_libdir": "/usr/lib64",
    "_libexecdir": "/usr/libexec",
    "_unitdir": "/usr/lib/systemd/system",
}
_ROUNDS = 4
_NOT_READ = (".patch", ".diff", ".gz", ".xz", ".asc", ".sig")
_LARGE = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """One of the packages of a recipe: its list of files, and the packages that it needs."""

    files: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One packaging source.

    ``packages`` holds, by package, its list of files in a spec file, and the names of packages that it needs from the
    same recipe. ``text`` holds all active lines, ``beside`` those of the other files in its directory, by name.
    """

    path: str
    packages: Mapping[str, Lists]
    text: str
    beside: Mapping[str, str] = field(default_factory=dict)

    def lists(self, package: str, unit: str) -> bool:
        """Return whether the files of ``package``, or of a package that it needs, have ``unit``."""
        names, todo = set(), [package]
        while todo:
            name = todo.pop()
            if name in self.packages and name not in names:
                names.add(name)
                todo += self.packages[name].needs
        return any(_lists(self.packages[name].files, unit) for name in names)

    def owners(self, unit: str) -> tuple[str, ...]:
        """Return the packages whose own lists of files have ``unit``."""
        return tuple(name for name, lists in self.packages.items() if _lists(lists.files, unit))

    def names_unit(self, unit: str) -> bool:
        """Return whether an active line, or a file beside the recipe, is about ``unit``."""
        return unit in units_in(self.text) or not {unit, f"{unit}.in"}.isdisjoint(self.beside)

    def names_path(self, path: str) -> bool:
        """Return whether an active line of the recipe, or of a file beside it, names ``path``."""
        name = re.compile(re.escape(path.rstrip("/")) + r"(?![A-Za-z0-9_.-])")
        return any(name.search(text) for text in (self.text, *self.beside.values()))


def _lists(files: str, unit: str) -> bool:
    """Return whether a list of files has ``unit``, by its name or by a pattern."""
    words = (word.rpartition("/") for word in files.split())
    return any(fnmatchcase(unit, name) for above, _, name in words if above.endswith("/systemd/system"))


def units_in(text: str) -> frozenset[str]:
    """Return the names of units in ``text``."""
    return frozenset(_UNIT.findall(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The packaging sources of a system.

    ``about`` says what they are, ``when`` the day of their state: the two lines of the file ORIGIN in the directory.
    """

    about: str
    when: str
    recipes: Mapping[str, tuple[Recipe, ...]] = field(default_factory=dict)

    def of_package(self, package: str) -> tuple[Recipe, ...]:
        """Return the recipes that make ``package``."""
        return self.recipes.get(package, ())


def read_tree(directory: Path) -> Tree:
    """Return the recipes below ``directory``. Raises `OSError` if it has no file ORIGIN with two lines."""
    origin = (directory / "ORIGIN").read_text(encoding="utf-8").splitlines()
    if len(origin) != 2:
        raise OSError(f"{directory}/ORIGIN: it must have two lines: what the sources are, and their day (2026-04-30)")
    recipes: dict[str, tuple[Recipe, ...]] = {}
    for path in sorted(directory.rglob("*")):
        if (path.suffix in READERS or path.name in READERS) and path.is_file():
            read = READERS.get(path.suffix) or READERS[path.name]
            recipe = read(path, str(path.relative_to(directory)))
            for package in recipe.packages:
                recipes[package] = (*recipes.get(package, ()), recipe)
    return Tree(about=origin[0], when=origin[1], recipes=recipes)


def _spec(path: Path, name: str) -> Recipe:
    whole = _active(path)
    text = whole.split("\n%changelog", 1)[0]
    head = {m[1].lower(): m[2] for m in re.finditer(r"^(Name|Version)\s*:\s*(\S+)", text, re.MULTILINE)}
    text = _expanded(text, _MACRO, {**dict(_DEFINED.findall(text)), **head, **_DIRECTORIES})
    own = next(iter(re.findall(r"^Name\s*:\s*(\S+)", text, re.MULTILINE)), path.stem)
    files: dict[str, str] = {own: ""}
    needs: dict[str, tuple[str, ...]] = {}
    for section, arguments, lines in _sections(text):
        package = _package_of(own, arguments)
        if section in ("", "package"):
            needs[package] = tuple(re.findall(r"^Requires\s*:\s*([^\s(]+)", lines, re.MULTILINE))
        if section in ("package", "files"):
            files[package] = files.get(package, "") + ("\n" + lines if section == "files" else "")
    packages = {package: Lists(files=lines, needs=needs.get(package, ())) for package, lines in files.items()}
    return Recipe(path=name, packages=packages, text=text, beside=_beside(path))


def _sections(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the arguments and the lines of each section of a spec file."""
    section, arguments = "", ""
    lines: list[str] = []
    for line in text.splitlines():
        if begin := _SECTION.match(line):
            yield section, arguments, "\n".join(lines)
            section, arguments, lines = begin[1], begin[2], []
        else:
            lines.append(line)
    yield section, arguments, "\n".join(lines)


def _package_of(own: str, arguments: str) -> str:
    words = arguments.split()
    if "-n" in words[:-1]:
        return words[words.index("-n") + 1]
    word = next((w for n, w in enumerate(words) if not w.startswith("-") and words[n - 1] not in ("-f", "-p")), "")
    return f"{own}-{word}" if word else own


def _ebuild(path: Path, name: str) -> Recipe:
    text = _active(path)
    category, package = path.parts[-3:-1]
    known = {"PN": package, "EPREFIX": "", "ED": "", "D": "", "FILESDIR": "files", **dict(_ASSIGNED.findall(text))}
    text = _expanded(text, _VARIABLE, known)
    return Recipe(
        path=name, packages={f"{category}/{package}": Lists()}, text=text, beside=_beside(path.parent / "files/x")
    )


def _pkgbuild(path: Path, name: str) -> Recipe:
    text = _active(path)
    text = _expanded(text, _VARIABLE, {"pkgdir": "", "srcdir": "", **dict(_ASSIGNED.findall(text))})
    words = re.search(r"^pkgname=(?:\(([^)]*)\)|(\S+))", text, re.MULTILINE)
    packages = re.sub(r"[\"']", "", (words[1] or words[2]) if words else "").split()
    return Recipe(path=name, packages=dict.fromkeys(packages, Lists()), text=text, beside=_beside(path))


READERS = {".spec": _spec, ".ebuild": _ebuild, "PKGBUILD": _pkgbuild}


def _beside(path: Path) -> dict[str, str]:
    """Return the active lines of each file in the directory of ``path``, "" for those that nobody reads."""
    others = [p for p in path.parent.glob("*") if p.is_file() and p.suffix not in READERS and p.name not in READERS]
    return {p.name: _active(p) if p.suffix not in _NOT_READ and p.stat().st_size < _LARGE else "" for p in others}


def _active(path: Path) -> str:
    return _COMMENT.sub("", path.read_text(encoding="utf-8", errors="replace"))


def _expanded(text: str, macro: re.Pattern[str], known: Mapping[str, str]) -> str:
    for _ in range(_ROUNDS):
        after = macro.sub(lambda m: known.get(m[1] or m[2], m[0]), text)
        if after == text:
            break
        text = after
    return text
