"""Units that PID 1 would refuse, and mounts that could keep a machine from booting, from whichever section they come.

The units are judged as they will be, together with the unit files and drop-ins of the machine where these are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ordain.transforms.artifacts import Artifact, UnitFile
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.graph.effective_units import Assignments, EffectiveUnits
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key
from ordain.transforms.model import Installed
from ordain.transforms.render.mounts import is_api
from ordain.transforms.render.services.service_directives import COMMANDS, CONDITION_KEYS, PLAIN
from ordain.transforms.render.services.sockets_and_timers import LISTEN
from ordain.transforms.systemd import mount_options, splitting, unit_file, unit_name
from ordain.transforms.systemd.checks import mount_sources
from ordain.transforms.systemd.checks.contradictions import contradictions
from ordain.transforms.systemd.checks.doubtful_values import is_endless, of_mode, of_size
from ordain.transforms.systemd.checks.hidden_paths import HiddenPath, hidden_paths
from ordain.transforms.systemd.checks.unit_rules import Rule, UnitSettings, broken_rules
from ordain.transforms.systemd.checks.vital_paths import VitalPath, vital_paths
from ordain.transforms.systemd.network_file_systems import is_network_for_systemd, needs_network

_NEUTRAL: Mapping[str, str] = {
    **{directive: key for key, (_, directive) in PLAIN.items()},
    **{directive: key for key, directive in COMMANDS.items()},
    **CONDITION_KEYS,
    **{"What": "what", "Type": "type", "TimeoutSec": "timeout", "Accept": "listen/accept", "OnCalendar": "schedule"},
    **{"SocketMode": "listen/mode", "SocketUser": "listen/user", "ReadWritePaths": "sandbox/write"},
    **{directive: f"listen/{key}" for key, directive in LISTEN.items()},
}
"""The key of `services` or `mounts` that becomes a directive."""


_VISIBLE = {"ProtectHome": "read-only", "PrivateTmp": "no"}
"""The value of a directive of sandboxes with which a service sees the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """A fault of a unit, caused by one of ``keys``; ``option`` is the option of a mount that causes it."""

    keys: tuple[str, ...]
    what: str
    hint: str
    code: str
    severity: Severity
    option: str = ""


def refused_units(
    artifacts: Iterable[Artifact], units: EffectiveUnits, installed: Installed | None, systemd: int, place_of: PlaceOf
) -> Iterator[Problem]:
    """Yield the faults of units that the documents make or change, each at the key that causes it."""
    files: dict[str, list[UnitFile]] = {}
    made = set()
    for artifact in artifacts:
        if isinstance(artifact, UnitFile):
            head, _, tail = artifact.path.partition("/")[2].partition("/")
            files.setdefault(head.removesuffix(".d") if tail else head, []).append(artifact)
            made |= set() if tail else {head}
    for unit, of_unit in sorted(files.items()):
        template = unit_name.template_of(unit)
        whole = unit in made or template in made or _is_installed(unit, installed)
        for fault in _faults(unit, systemd, whole, units.with_template(unit)):
            for file in of_unit:
                if (unit in made and "/" not in file.path.partition("/")[2]) or _sets(file, fault.keys):
                    yield _problem(file.item, unit, fault, place_of)


def _is_installed(unit: str, installed: Installed | None) -> bool:
    if installed is None:
        return False
    return any(name in installed.units and installed.units[name].path for name in (unit, unit_name.template_of(unit)))


def _sets(file: UnitFile, keys: tuple[str, ...]) -> bool:
    return any(key in keys for _, key, _ in unit_file.parse(file.content))


def _problem(item: str, unit: str, fault: _Fault, place_of: PlaceOf) -> Problem:
    section = unit_name.unit_type(unit).capitalize()
    keys = [f"options/{fault.option}"] if fault.option else []
    for key in fault.keys:
        keys += [
            f"{section}/{key}",
            f"systemd/{section}/{key}",
            f"Unit/{key}",
            f"systemd/Unit/{key}",
            _NEUTRAL.get(key, key),
        ]
    place = place_of_key(item, tuple(keys), place_of)
    return Problem(
        where=place, what=fault.what, hint=fault.hint, code=fault.code, severity=fault.severity, item=item, subject=unit
    )


@lru_cache(maxsize=8192)
def _faults(unit: str, systemd: int, whole: bool, assignments: Assignments) -> tuple[_Fault, ...]:
    settings = UnitSettings(name=unit, systemd=systemd, whole=whole, assignments=assignments)
    of_mount = tuple(_mount_faults(settings)) if settings.kind in ("mount", "automount", "swap") else ()
    of_paths = tuple(map(_fault_of_vital_path, vital_paths(settings)))
    vital = any(fault.code == "Vital" and "Where" in fault.keys for fault in (*of_mount, *of_paths))
    rules = (*broken_rules(settings), *contradictions(settings))
    of_rules = (_fault_of_rule(unit, rule) for rule in rules if not vital)
    return (*of_paths, *of_mount, *of_rules, *map(_fault_of_hidden_path, hidden_paths(settings)))


def _fault_of_rule(unit: str, rule: Rule) -> _Fault:
    if rule.refused:
        severity, code, what = Severity.BLOCKED, "NotLoadable", f"PID 1 refuses {unit}: {rule.what}"
    else:
        severity, code, what = Severity.WARNING, "Doubtful", f"{unit}: {rule.what}"
    return _Fault(keys=rule.keys, what=what, hint=rule.hint, code=code, severity=severity)


def _fault_of_hidden_path(hidden: HiddenPath) -> _Fault:
    setting = hidden.setting.partition("=")[0]
    what = f"{hidden.setting} hides {hidden.path} from the service, so it cannot be used"
    weaker = f"set {setting}={_VISIBLE[setting]}" if setting in _VISIBLE else f"change {setting}="
    hint = f"move it, for example to /opt or /srv, or {weaker} in `systemd`"
    return _Fault(keys=(hidden.key, setting), what=what, hint=hint, code="Doubtful", severity=Severity.WARNING)


def _fault_of_vital_path(path: VitalPath) -> _Fault:
    if path.certain:
        return _fault((path.key,), path.what, path.hint, path.code)
    return _fault((path.key,), path.what, path.hint, "Doubtful", Severity.WARNING)


def _mount_faults(unit: UnitSettings) -> Iterator[_Fault]:
    """Yield the faults of a mount or swap that PID 1 would load (docs/design/contract.md, rule 11), and its doubts."""
    path = "" if unit.kind == "swap" else (unit.last("Where") or unit.path).rstrip("/") or "/"
    if is_api(path):
        what = f"systemd mounts {path} itself and refuses a unit for it"
        hint = "remove the mount; to change its options, remount it in a service of type oneshot"
        yield _fault(("Where",), what, hint, "Vital")
    if is_endless(unit.last("TimeoutSec")):
        what = f"a {unit.kind} needs a finite timeout"
        yield _fault(("TimeoutSec",), what, "the boot waits for it; set a time", "Vital")
    kind = unit.last("Type")
    options = {name: value for name, value in map(_option, splitting.mount_options(unit.last("Options")))}
    if "bg" in options and (kind in {"nfs", "nfs4"} or (not kind and ":/" in unit.last("What"))):
        # mount.nfs would fork and PID 1 would see no mount; systemd.mount(5) says what its fstab generator does.
        what = "systemd cannot follow an NFS mount in the background (option bg)"
        hint = "remove bg; an automount (`automount: true` in `mounts`) keeps the boot from waiting"
        yield _fault(("Options",), what, hint, "Encode", option="bg")
    remote = unit.kind == "mount" and unit.whole and needs_network(kind, unit.last("What"), options)
    if remote and not is_network_for_systemd(kind, options, unit.systemd):
        what = f"PID 1 takes {unit.name} for a local file system and mounts it before the network is up"
        keys = ("Type", "What")
        yield _fault(keys, what, "add the option _netdev (systemd.mount(5))", "Doubtful", Severity.WARNING)
    for option in options:
        if not (hint := mount_options.instead(option)):
            continue
        what = (
            f"only systemd-fstab-generator(8) reads the option {option}, and only in /etc/fstab: it does nothing here"
        )
        yield _fault(("Options",), what, hint, "Doubtful", Severity.WARNING, option)
    for option, other in mount_options.OPPOSITES.items():
        if option < other and option in options and other in options:
            what = f"the options {option} and {other} contradict each other, and only one of them counts"
            yield _fault(("Options",), what, "remove one of them", "Doubtful", Severity.WARNING, option)
    if unit.kind == "mount" and (meant := mount_sources.unlikely(kind)):
        what = f"{kind!r} is not a type of file systems that Linux has"
        yield _fault(("Type",), what, meant, "Doubtful", Severity.WARNING)
    if unit.kind == "mount" and (wanted := mount_sources.expected(kind, unit.last("What"))):
        of_type = f"a file system of type {kind}" if kind else "a mount without a type"
        what = f"{unit.last('What')!r} is not a source for {of_type}"
        yield _fault(("What",), what, f"write {wanted}", "Doubtful", Severity.WARNING)
    if unit.kind == "mount" and "bind" not in options and "rbind" not in options:
        source = unit.last("What").rstrip("/")
        if source.startswith("/") and f"{source}/".startswith(f"{path.rstrip('/')}/") and path != "/":
            what = f"the mount at {path} hides its own source {source}"
            yield _fault(("What", "Where"), what, "mount it at another path", "Doubtful", Severity.WARNING)
    for option, what, hint in mount_options.faults("swap" if unit.kind == "swap" else kind, options):
        yield _fault(("Options",), what, hint, "Doubtful", Severity.WARNING, option)
    doubts = {"size": of_size("size", options.get("size", "")), "mode": of_mode(options.get("mode", ""))}
    for option, (what, hint) in doubts.items() if kind in {"tmpfs", "ramfs"} else ():
        if what:
            yield _fault(("Options",), what, hint, "Doubtful", Severity.WARNING, option)


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value.strip('"').replace("%%", "%")


def _fault(
    keys: tuple[str, ...], what: str, hint: str, code: str, severity: Severity = Severity.BLOCKED, option: str = ""
) -> _Fault:
    return _Fault(keys=keys, what=what, hint=hint, code=code, severity=severity, option=option)
