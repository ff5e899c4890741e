"""Files of the documents that a service runs or names in its command, and that it cannot run or read.

PID 1 would notice only when it starts the service (203/EXEC), and a program would say so in its own words, if at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.artifacts import Artifact, CredentialFile, RegularFile, UnitFile
from ordain.transforms.errors import Problem, warning
from ordain.transforms.graph.effective_units import EffectiveUnits
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Member, Probe
from ordain.transforms.render.services.service_directives import COMMANDS
from ordain.transforms.systemd import unit_file
from ordain.transforms.systemd.checks.unit_rules import UnitSettings

_KEYS = {directive: key for key, directive in COMMANDS.items()}
_COMMAND = lazy_pattern(r"([-@:+!|]*)(/[^\s%\"'\\]*)(?=\s|$)(.*)")
_WORD = lazy_pattern(r"(?<![^\s=])/[^\s%\"'\\,:;=]+(?=\s|$)")
_OTHER_FILES = frozenset(
    "RootDirectory RootImage MountImages ExtensionImages ExtensionDirectories BindPaths BindReadOnlyPaths"
    " TemporaryFileSystem PAMName".split()
)
"""With one of these settings, a service may see another file at a path, or be in more groups."""
_File = RegularFile | CredentialFile


def unusable_programs(
    artifacts: Iterable[Artifact], members: Iterable[Member], units: EffectiveUnits, place_of: PlaceOf
) -> Iterator[Problem]:
    """Warn of each program that cannot be run, and each file in a command that the user of the service cannot read.

    The commands of ``check`` and of ``health`` run as root, and see all files.
    """
    artifacts = tuple(artifacts)
    files = {artifact.path: artifact for artifact in artifacts if isinstance(artifact, RegularFile | CredentialFile)}
    root = UnitSettings(name="root.service", systemd=0, whole=True, assignments=())
    for member in members if files else ():
        health = member.health
        words = [("check", command) for command in member.check]
        words += [("health/command", health.target)] if health and health.probe is Probe.COMMAND else []
        for key, (program, *_) in words:
            for what, hint in _faults("", program, "", files, root):
                yield warning(member.item, place_of_key(member.item, (key,), place_of), what, hint, "Doubtful")
    for artifact in artifacts if files else ():
        if not isinstance(artifact, UnitFile):
            continue
        unit = artifact.path.split("/")[1].removesuffix(".d")
        settings = UnitSettings(name=unit, systemd=0, whole=True, assignments=units.with_template(unit))
        if settings.kind != "service" or settings.values(*_OTHER_FILES):
            continue
        for section, key, value in unit_file.parse(artifact.content):
            command = _COMMAND.match(value) if section == "Service" and key in _KEYS else None
            for what, hint in _faults(command[1], command[2], command[3], files, settings) if command else ():
                place = place_of_key(artifact.item, (_KEYS[key], f"systemd/Service/{key}", f"Service/{key}"), place_of)
                yield warning(artifact.item, place, what, hint, "Doubtful")


def _faults(
    signs: str, program: str, rest: str, files: Mapping[str, _File], unit: UnitSettings
) -> Iterator[tuple[str, str]]:
    user = _User(unit, privileged=bool(set(signs) & set("+!")))
    file = files.get(program)
    if file is not None:
        script = isinstance(file, RegularFile) and not file.content.startswith(("#!", "\x7fELF"))
        if not file.mode & 0o111:
            yield f"{program} is not executable (mode {file.mode:04o}), so that it cannot be run", "write mode 0755"
        elif script:
            yield (
                f"{program} does not begin with #!, so that the kernel cannot run it",
                "write #!/bin/sh as its first line",
            )
        elif isinstance(file, RegularFile) and file.content.partition("\n")[0].endswith("\r"):
            yield f"the first line of {program} ends with a carriage return", "save it with the line ends of Unix"
        elif not user.may(file, 1) or not user.may(file, 4):
            yield f"{program} (mode {file.mode:04o}) cannot be run by {user.name}", "write mode 0755"
    for path in dict.fromkeys(_WORD.findall(rest)):
        other = files.get(path)
        if other is not None and not user.may(other, 4):
            owner = f"of {other.owner or 'root'}, mode {other.mode:04o}"
            what = f"{user.name}, the user of the service, cannot read {path} ({owner}), which its command names"
            by_group = f"write `group: {user.group or user.name}` and mode 0640 for the file, or "
            yield what, f"{'' if unit.flag('DynamicUser') else by_group}use `credentials`"


@dataclass(frozen=True, slots=True)
class _User:
    """The user of a service; a ``privileged`` command runs as root whatever the service says."""

    unit: UnitSettings
    privileged: bool

    @property
    def name(self) -> str:
        """Return the name, "root" for none."""
        own = self.unit.name.rpartition(".")[0] if self.unit.flag("DynamicUser") else "root"
        return self.unit.last("User") or own

    @property
    def group(self) -> str:
        """Return the group if the service names one."""
        return self.unit.last("Group")

    def may(self, file: _File, right: int) -> bool:
        """Return whether the user may have a right to a file, as far as the documents tell."""
        powers = " ".join(self.unit.values("AmbientCapabilities"))
        if self.privileged or self.name.isdecimal() or self.name == "root" or "%" in self.name or "CAP_DAC" in powers:
            return True
        if (file.owner or "root") == self.name:
            return bool(file.mode & right << 6)
        named = {self.group, *" ".join(self.unit.values("SupplementaryGroups")).split()} - {""}
        in_group = (file.group or "root") != "root" or "root" in named  # the user may be in a group of the machine
        return bool(file.mode & right) or (in_group and bool(file.mode & right << 3))
