"""The archive of a Debian suite, which apt reads into a directory of its own; no root file system is needed.

    apt-get update ──▶ Packages, Contents ──▶ `Archive`        apt-get download + dpkg-deb ──▶ directories

The lists of a suite are about 65 MB, and so are the packages that are looked into. All of it is kept, and a second run
only fetches changes. The apt of the machine is not touched. A mirror can have lists of files that do not fit the
release: then `with_files` reads those of the packages themselves (1 GB).
"""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_KEPT = re.compile(
    r"(?:etc|(?:usr/)?s?bin|(?:usr/)?lib/systemd/system|usr/lib/(?:openssh|sysusers\.d)|usr/share/zoneinfo)/"
)
_PAGES = ("usr/share/doc/", "usr/share/man/", "usr/share/info/")
_COMMENTS = (b"#", b";")
_ALTERNATIVE = re.compile(r"\s*([a-z0-9][a-z0-9+.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A binary package; ``depends`` holds the first alternative of every dependency, which apt chooses.

    ``everywhere`` says that debootstrap installs it on every system: its priority is required or important.
    """

    name: str
    version: str
    source: str
    depends: tuple[str, ...]
    everywhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The packages of a suite, and the packages of each path (as on a merged /usr, without its first slash).

    Only directories that are not empty have a path. ``whole``: ``files`` has all packages.
    """

    apt: Apt
    packages: Mapping[str, Package]
    files: Mapping[str, frozenset[str]]
    whole: bool = True

    def with_files(self, names: Iterable[str]) -> Archive:
        """Return the archive with the files of ``names`` and of what their installation brings from the same source."""
        wanted = {p.name: p for p in self.packages.values() if p.everywhere or p.source == "systemd"}
        for name in names:
            packages = self.closure(name)
            source = packages[name].source if name in packages else ""
            wanted |= {p.name: p for p in packages.values() if p.source == source}
        self.apt.fetch(wanted.values())
        lines = (f"{path} {name}" for name, package in wanted.items() for path in self.apt.paths(package))
        return replace(self, files=_files(lines))

    def closure(self, name: str) -> Mapping[str, Package]:
        """Return the package with all packages that its installation brings."""
        packages: dict[str, Package] = {}
        wanted = [name]
        while wanted:
            package = self.packages.get(wanted.pop())
            if package is not None and package.name not in packages:
                packages[package.name] = package
                wanted += package.depends
        return packages

    def names(self, package: Package, path: str) -> bool:
        """Return whether ``package`` has the directory ``path``, even if empty, or a file that names ``path``.

        A comment and a page of documentation name nothing: Debian's monitrc has ``#  include /etc/monit.d/*``.
        """
        with (
            subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", self.apt.download(package)], stdout=subprocess.PIPE
            ) as unpacked,
            tarfile.open(fileobj=unpacked.stdout, mode="r|") as members,
        ):
            return any([_names(members, member, path) for member in members])


def _names(members: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bool:
    if member.isdir():
        return member.name.strip("./") == path.strip("/")
    stream = members.extractfile(member) if member.isfile() else None
    if stream is None or member.name.removeprefix("./").startswith(_PAGES):
        return False
    return named_in(stream.read(), path)


def named_in(content: bytes, path: str) -> bool:
    """Return whether a program or an active line of a configuration file names the directory ``path``."""
    name = path.rstrip("/").encode()
    return name in content and any(name in line for line in content.split(b"\n") if line.lstrip()[:1] not in _COMMENTS)


def merged(path: str) -> str:
    """Return ``path`` as it is on a system with /bin, /sbin and /lib in /usr."""
    return f"usr/{path}" if path.startswith(("bin/", "sbin/", "lib/")) else path


@dataclass(frozen=True, slots=True)
class Apt:
    """A separate apt below ``root`` for one suite."""

    root: Path
    suite: str

    def update(self) -> Archive:
        """Fetch new lists and read them. Raises `subprocess.CalledProcessError`."""
        for directory in ("lists/partial", "cache/archives/partial", "none", "debs"):
            (self.root / directory).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        (self.root / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {self.suite} main\n")
        # Use the settings by which this machine reaches an archive, such as a proxy.
        (self.root / "apt.conf").write_text(_run("apt-config", "dump", "Acquire") + self._settings())
        try:
            self._apt("update", "-qq")
        except subprocess.CalledProcessError:
            self._apt("update", "-qq", "--option=Acquire::IndexTargets::deb::Contents::DefaultEnabled=false")
            return Archive(apt=self, packages=self._packages(), files={}, whole=False)
        return Archive(apt=self, packages=self._packages(), files=_files(self._index("Contents")))

    def _packages(self) -> Mapping[str, Package]:
        return {p.name: p for text in self._index("Packages") for p in _packages(text)}

    def paths(self, package: Package) -> Iterator[str]:
        """Yield the paths of all files of a package."""
        for line in _run("dpkg-deb", "--contents", str(self.download(package))).splitlines():
            path = line.split(maxsplit=5)[5].partition(" -> ")[0].removeprefix("./")
            if not path.endswith("/"):
                yield path

    def download(self, package: Package) -> Path:
        """Return the file of the package, which is fetched once."""
        self.fetch([package])
        return next(self._kept(package))

    def fetch(self, packages: Iterable[Package]) -> None:
        """Download the packages that have not been before."""
        missing = [f"{p.name}={p.version}" for p in packages if not any(self._kept(p))]
        if missing:
            self._apt("download", "-qq", *missing)

    def _kept(self, package: Package) -> Iterator[Path]:
        return (self.root / "debs").glob(f"{package.name}_{package.version.replace(':', '%3a')}_*.deb")

    def _settings(self) -> str:
        settings = {
            "Dir::State": self.root,
            "Dir::State::lists": self.root / "lists",
            "Dir::State::status": self.root / "status",
            "Dir::Cache": self.root / "cache",
            "Dir::Etc::sourcelist": self.root / "sources.list",
            "Dir::Etc::sourceparts": self.root / "none",
            "Dir::Etc::parts": self.root / "none",
            "Dir::Etc::main": "/dev/null",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::Contents::MetaKey": "$(COMPONENT)/Contents-$(ARCHITECTURE)",
            "Acquire::IndexTargets::deb::Contents::ShortDescription": "Contents-$(ARCHITECTURE)",
            "Acquire::IndexTargets::deb::Contents::Description": "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Contents",
            "Acquire::IndexTargets::deb::Contents::KeepCompressed": "true",
        }
        return "".join(f'{name} "{value}";\n' for name, value in settings.items())

    def _apt(self, *words: str) -> str:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "APT_CONFIG": str(self.root / "apt.conf")}
        return _run("apt-get", *words, cwd=self.root / "debs", env=environment)

    def _index(self, kind: str) -> Iterator[str]:
        """Yield the text of every list of a kind."""
        names = self._apt("indextargets", "--format", "$(FILENAME)", f"Created-By: {kind}")
        for name in names.split():
            yield _run("/usr/lib/apt/apt-helper", "cat-file", name)


def _packages(text: str) -> Iterator[Package]:
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if line[:1] != " " and ": " in line)
        if "Package" not in fields:
            continue
        wanted = ",".join(fields[key] for key in ("Pre-Depends", "Depends") if key in fields)
        yield Package(
            name=fields["Package"],
            version=fields["Version"],
            source=fields.get("Source", fields["Package"]).split()[0],
            depends=tuple(m[1] for m in map(_ALTERNATIVE.match, wanted.split(",")) if m),
            everywhere=fields.get("Priority") in ("required", "important"),
        )


def _files(contents: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Return the packages of the paths that a row can name."""
    files: dict[str, frozenset[str]] = {}
    for text in contents:
        for line in text.splitlines():
            if _KEPT.match(line):
                path, _, owners = line.rpartition(" ")
                names = frozenset(owner.rpartition("/")[2] for owner in owners.split(","))
                for prefix in _upwards(merged(path.rstrip())):
                    files[prefix] = files.get(prefix, frozenset()) | names
    return files


def _upwards(path: str) -> Iterator[str]:
    """Yield ``path`` and the directories that it is in, except for the uppermost two."""
    while path.count("/") > 0:
        yield path
        path = path.rpartition("/")[0]


def _run(*words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return the standard output of a program; its messages are shown. Raises `subprocess.CalledProcessError`."""
    return subprocess.run(words, cwd=cwd, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
