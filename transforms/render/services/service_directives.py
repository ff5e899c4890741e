"""The keys of a service as lines of its unit, of a drop-in for it, or of a drop-in for one instance."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.formats.secret_names import SECRET
from ordain.transforms.document.keys.service_keys import CONDITIONS
from ordain.transforms.forbidden_paths import SECRETS
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Leaf, Probe, Value, strings
from ordain.transforms.render.sealed_secrets import UNIT
from ordain.transforms.render.services import sandbox
from ordain.transforms.render.services.health_check import doubts_of_health, doubts_of_spans, faults_of_targets
from ordain.transforms.render.services.unit_references import ReferencedUnits, UnitReferences
from ordain.transforms.render.unit_draft import SECRET_HINT, UnitDraft
from ordain.transforms.systemd import quoting, unit_name, value_checks
from ordain.transforms.systemd.checks.doubtful_values import of_command, of_cpu, of_signal, of_variable
from ordain.transforms.systemd.encode import Neutral
from ordain.transforms.systemd.values import EncodeError, timespan

PLAIN: dict[str, tuple[str, str]] = {
    "description": ("Unit", "Description"),
    "documentation": ("Unit", "Documentation"),
    "start-limit/burst": ("Unit", "StartLimitBurst"),
    "start-limit/interval": ("Unit", "StartLimitIntervalSec"),
    "type": ("Service", "Type"),
    "bus-name": ("Service", "BusName"),
    "remain": ("Service", "RemainAfterExit"),
    "user": ("Service", "User"),
    "group": ("Service", "Group"),
    "supplementary-groups": ("Service", "SupplementaryGroups"),
    "dynamic-user": ("Service", "DynamicUser"),
    "working-directory": ("Service", "WorkingDirectory"),
    "umask": ("Service", "UMask"),
    "environment-files": ("Service", "EnvironmentFile"),
    "restart": ("Service", "Restart"),
    "restart-delay": ("Service", "RestartSec"),
    "start-timeout": ("Service", "TimeoutStartSec"),
    "stop-timeout": ("Service", "TimeoutStopSec"),
    "stop-signal": ("Service", "KillSignal"),
    "watchdog": ("Service", "WatchdogSec"),
    "nice": ("Service", "Nice"),
    "oom-score": ("Service", "OOMScoreAdjust"),
    "slice": ("Service", "Slice"),
    "limits/memory": ("Service", "MemoryMax"),
    "limits/memory-high": ("Service", "MemoryHigh"),
    "limits/memory-locked": ("Service", "LimitMEMLOCK"),
    "limits/cpu": ("Service", "CPUQuota"),
    "limits/cpu-weight": ("Service", "CPUWeight"),
    "limits/io-weight": ("Service", "IOWeight"),
    "limits/tasks": ("Service", "TasksMax"),
    "limits/open-files": ("Service", "LimitNOFILE"),
    "limits/processes": ("Service", "LimitNPROC"),
    "limits/core": ("Service", "LimitCORE"),
    "directories/state": ("Service", "StateDirectory"),
    "directories/cache": ("Service", "CacheDirectory"),
    "directories/logs": ("Service", "LogsDirectory"),
    "directories/runtime": ("Service", "RuntimeDirectory"),
    "directories/configuration": ("Service", "ConfigurationDirectory"),
}
"""Keys that become one directive, in the order of the unit file."""

COMMANDS = {
    "before-start": "ExecStartPre",
    "command": "ExecStart",
    "after-start": "ExecStartPost",
    "stop": "ExecStop",
    "reload": "ExecReload",
}
DEPENDENCIES = {
    "after": "After",
    "before": "Before",
    "requires": "Requires",
    "wants": "Wants",
    "part-of": "PartOf",
    "conflicts": "Conflicts",
    "on-failure": "OnFailure",
}
CREDENTIALS = {
    "file": "LoadCredential",
    "encrypted": "LoadCredentialEncrypted",
    "ciphertext": "SetCredentialEncrypted",
}
"""The directive for each way to name the source of a credential."""
CONDITION_KEYS = {directive: f"condition/{key}" for key, directive in CONDITIONS.items()}
"""The key of a service for each condition."""
STARTED_BY = {"listen": "Socket", "schedule": "Timer"}
"""Keys by which another unit starts the service, and the section of raw directives for that unit."""
WANTS_MOUNTS_FOR = 256
"""The first systemd with WantsMountsFor=."""
NOTIFY_RELOAD = 253
"""The first systemd with Type=notify-reload and ReloadSignal=."""

_SIGNAL = lazy_pattern(r"SIG[A-Z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The parts of the documents that all services need; ``mounts`` are the mount points of the documents."""

    names: Names
    references: UnitReferences
    mounts: tuple[str, ...] = ()


def render(service: Branch, draft: UnitDraft, context: Context) -> None:
    """Add every key of ``service`` to ``draft``, and the problems with them."""
    _ServiceRenderer(service, draft, context).all_keys()


class _ServiceRenderer:
    def __init__(self, service: Branch, draft: UnitDraft, context: Context) -> None:
        self.service, self.draft, self.context = service, draft, context
        kind = unit_name.unit_type(draft.unit)
        self.section = "Service" if kind == "service" else kind.capitalize()

    def all_keys(self) -> None:
        self.plain()
        self.conditions()
        self.dependencies()
        self.commands()
        self.environment()
        self.privileges()
        self.credentials()
        self.check_health()
        self.mounts_of_files()
        of_other_units = {STARTED_BY[key] for key in STARTED_BY if key in self.service} - {self.section}
        add_raw(self.service, self.draft, self.service.branch("systemd").children.keys() - of_other_units)

    def plain(self) -> None:
        for pointer, (section, key) in PLAIN.items():
            leaf = _at(self.service, pointer)
            if leaf is not None:
                self.directive(section, key, leaf)

    def directive(self, section: str, key: str, leaf: Leaf) -> None:
        if leaf.value == "notify-reload" and self.draft.systemd < NOTIFY_RELOAD:
            self.notify_and_reload(leaf)
            return
        if key == "CPUQuota":
            self.draft.doubt(leaf, of_cpu(str(leaf.value)))
        convert = _CONVERT.get(key, _same)
        value = convert(leaf.value, self.context.names)
        section = self.section if section == "Service" else section
        if key == "EnvironmentFile" and isinstance(value, tuple):
            for item in value:
                sign = "-" if item.startswith("-") else ""
                self.draft.set(section, key, item.removeprefix("-"), leaf, sign=sign)
        else:
            self.draft.set(section, key, value, leaf)

    def commands(self) -> None:
        for name, key in COMMANDS.items():
            leaf = self.service.leaf(name)
            if leaf is None:
                continue
            vectors = _vectors(leaf.value)
            signal = vectors[0][0] if name == "reload" and len(vectors) == 1 and len(vectors[0]) == 1 else ""
            self.draft.doubt(leaf, of_signal(signal))
            if self.draft.drop_in:
                self.draft.add("Service", key, "", leaf)
            if _SIGNAL.fullmatch(signal):
                self.reload_by(signal, leaf)
                continue
            if name == "command" and len(vectors) > 1 and self.service.value("type") != "oneshot":
                self.draft.block(leaf, "only a oneshot service can have several commands", "set `type: oneshot`")
                continue
            for argv in vectors:
                self.draft.doubt(leaf, of_command(argv))
                self.draft.command(key, argv, leaf)
            self.require_mounts(vectors, leaf)

    def notify_and_reload(self, leaf: Leaf) -> None:
        """Add Type=notify and a reload signal for a systemd without notify-reload.

        Such a systemd does not learn when a reload has ended.
        """
        self.draft.set("Service", "Type", "notify", leaf)
        if "reload" not in self.service:
            self.reload_by("SIGHUP", leaf)
        what = f"systemd {self.draft.systemd} has no Type=notify-reload; Type=notify and a reload signal replace it"
        self.draft.warn(leaf, what, "", "Emulated")

    def reload_by(self, signal: str, leaf: Leaf) -> None:
        if self.service.value("type") == "notify-reload" and self.draft.systemd >= NOTIFY_RELOAD:
            self.draft.set("Service", "ReloadSignal", signal, leaf)
            return
        kill = self.context.names.path("kill", "/bin/kill")
        self.draft.raw("Service", "ExecReload", f"{kill} -s {signal.removeprefix('SIG')} $MAINPID", leaf)

    def environment(self) -> None:
        for name, leaf in self.service.branch("environment").leaves():
            value = str(leaf.value)
            if SECRET.search(name) and value:
                what = f"{name} looks like a secret, and every user can read a unit"
                self.draft.block(leaf, what, SECRET_HINT, "Secret")
            self.draft.doubt(leaf, of_variable(name, value))
            self.draft.environment(name, value, leaf)

    def dependencies(self) -> None:
        for name, key in DEPENDENCIES.items():
            for reference, leaf in self.service.branch(name).leaves():
                referenced = self.context.references.resolve(reference)
                if referenced is None:
                    what = f"{reference} is not a service, milestone, path or unit"
                    self.draft.block(leaf, what, self.context.references.hint(reference), "UnknownName")
                else:
                    self.dependency(key, referenced, leaf)

    def dependency(self, key: str, referenced: ReferencedUnits, leaf: Leaf) -> None:
        if referenced.path:
            self.dependency_on_path(key, referenced.path, leaf)
            return
        units = referenced.start if key in {"Requires", "Wants"} else referenced.order
        if self.draft.unit in units:
            self.draft.block(leaf, f"{self.draft.unit} cannot depend on itself", "remove it", "Cycle")
            return
        self.draft.set("Unit", key, units, leaf)
        if referenced.milestone and key == "After":
            self.draft.set("Unit", "Wants", referenced.start, leaf)

    def dependency_on_path(self, key: str, path: str, leaf: Leaf) -> None:
        """Require the mounts of a path, or want them; each other key is about the unit of a mount point itself."""
        if key in ("After", "Requires"):
            self.draft.set("Unit", "RequiresMountsFor", (path,), leaf)
            return
        try:
            unit = f"{unit_name.escape_path(path)}.mount"
        except EncodeError as error:
            self.draft.block(leaf, error.what, error.hint, "Encode")
            return
        above = max((mount for mount in self.context.mounts if is_below(path, mount)), key=len, default="")
        if key == "Wants" and above:
            unit = f"{unit_name.escape_path(above)}.mount"
            self.draft.set("Unit", "Wants", (unit,), leaf)
            self.draft.set("Unit", "After", (unit,), leaf)
        elif key == "Wants":
            weak = "WantsMountsFor" if self.draft.systemd >= WANTS_MOUNTS_FOR else "RequiresMountsFor"
            self.draft.set("Unit", weak, (path,), leaf)
        elif above == path.rstrip("/"):
            self.draft.set("Unit", key, (unit,), leaf)
        else:
            what = f"{path} is not a mount point of the documents, so nothing can be ordered or tied to it ({key}=)"
            self.draft.block(leaf, what, f"write the unit, {unit}, if it is a mount point", "UnknownName")

    def conditions(self) -> None:
        for name, leaf in self.service.branch("condition").leaves():
            for value in strings(leaf.value):
                # systemd reads the ! before it expands specifiers, so the ! is not part of the encoded string.
                sign = "!" if value.startswith("!") else ""
                if not value.removeprefix("!"):  # PID 1 would forget the conditions above it
                    self.draft.block(leaf, "a condition is empty", "write a value, or remove it")
                    continue
                self.draft.set("Unit", CONDITIONS[name], value.removeprefix("!"), leaf, sign=sign)

    def privileges(self) -> None:
        user = self.service.leaf("user")
        if user and self.service.value("dynamic-user") is True and str(user.value) in ("root", "0"):
            what = "dynamic-user has no effect with this user: the service would run as root"
            self.draft.block(user, what, "remove `user`, or dynamic-user", "Encode")
        if leaf := self.service.leaf("capabilities"):
            kept = tuple(map(_capability, strings(leaf.value)))
            self.draft.set("Service", "AmbientCapabilities", kept, leaf)
            self.draft.set("Service", "CapabilityBoundingSet", kept, leaf)
        box = self.service.branch("sandbox")
        if level := box.leaf("level"):
            set_already = {line.key for line in self.draft.lines if line.section == "Service"}
            units = self.context.references.services.get(self.draft.item.partition("/")[2])
            ours = units is not None and units.ours
            unprivileged = ours and "capabilities" not in self.service and "capabilities" not in box
            for key, text in sandbox.directives_of(str(level.value), self.draft.systemd, unprivileged=unprivileged):
                if key not in set_already:
                    self.draft.add("Service", key, text, level)
        if leaf := box.leaf("write"):
            self.draft.set("Service", "ReadWritePaths", strings(leaf.value), leaf)
        if (leaf := box.leaf("network")) and leaf.value is False:
            self.draft.set("Service", "PrivateNetwork", True, leaf)
        if leaf := box.leaf("capabilities"):
            self.draft.set("Service", "CapabilityBoundingSet", tuple(map(_capability, strings(leaf.value))), leaf)

    def check_health(self) -> None:
        health = self.service.branch("health")
        leaf = health.leaf("command")
        if "health" in self.service and not any(probe in health for probe in Probe):
            self.draft.block(health.here, "health has no check", f"set one of {', '.join(Probe)}")
        for target, what, hint in faults_of_targets(health):
            self.draft.block(target, what, hint)
        if leaf is not None and len(_vectors(leaf.value)) > 1:
            self.draft.block(leaf, "a health check is one command", "put the commands into a script")
        for command in filter(None, (leaf, self.service.leaf("check"))):
            for argv in _vectors(command.value):
                self.draft.doubt(command, of_command(argv))
                try:
                    value_checks.program(quoting.without_sentinels(argv[0]))
                except EncodeError as error:
                    self.draft.block(command, error.what, error.hint, "Encode")
        for place, doubt in (*doubts_of_health(self.service), *doubts_of_spans(self.service)):
            self.draft.doubt(place, doubt)

    def credentials(self) -> None:
        for name, credential in self.service.branch("credentials").branches():
            for key, leaf in credential.leaves():
                self.draft.set("Service", CREDENTIALS[key], {name: _unbroken(str(leaf.value))}, leaf)
                if key == "file" and str(leaf.value).startswith(SECRETS):
                    self.draft.set("Unit", "After", (UNIT,), leaf)

    def require_mounts(self, vectors: tuple[tuple[str, ...], ...], leaf: Leaf) -> None:
        """Require the mounts of the documents that paths in ``vectors`` are on (docs/design/documents.md, rule 15)."""
        needed = {mount for argv in vectors for word in argv for mount in self.context.mounts if is_below(word, mount)}
        for mount in sorted(needed):
            self.draft.set("Unit", "RequiresMountsFor", (mount,), leaf)

    def mounts_of_files(self) -> None:
        """Require the mounts of the files that the service uses."""
        for path, leaf in self.service.branch("uses").leaves():
            self.require_mounts(((path,),), leaf)
        for path, branch in self.service.branch("files").branches():
            self.require_mounts(((path,),), branch.here)


def stop_after_usec(service: Branch) -> int:
    """Return after how long without documents the service is stopped; 0: never."""
    leaf = service.branch("on-source-loss").leaf("stop-after")
    return timespan(str(leaf.value)) if leaf else 0


def add_raw(service: Branch, draft: UnitDraft, sections: Collection[str]) -> None:
    """Add the raw directives of ``service`` in ``sections``; they replace lines of the same keys in ``draft``."""
    for section, directives in service.branch("systemd").branches():
        if section in sections:
            draft.remove(section, directives)
            for key, leaf in directives.leaves():
                for text in strings(leaf.value):
                    draft.raw(section, key, text, leaf)


def is_below(path: str, mount: str) -> bool:
    """Return whether ``path`` is on the file system mounted at ``mount``."""
    return path == mount or path.startswith(f"{mount.rstrip('/')}/")


def _at(tree: Branch, pointer: str) -> Leaf | None:
    above, slash, name = pointer.partition("/")
    if not slash:
        return tree.leaf(above)
    return tree.branch(above).leaf(name) if above in tree else None


def _vectors(value: Value) -> tuple[tuple[str, ...], ...]:
    return tuple(map(strings, value)) if isinstance(value, tuple) else ()


def _capability(name: str) -> str:
    upper = name.upper().replace("-", "_")
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def _unbroken(text: str) -> str:
    """Return ``text`` without line breaks: systemd-creds prints Base64 on several lines."""
    return "".join(text.split()) if "\n" in text else text


def _neutral(value: Value) -> Neutral:
    if isinstance(value, tuple):
        return strings(value)
    assert isinstance(value, (str, bool, int, float))
    return value


def _same(value: Value, names: Names) -> Neutral:
    return _neutral(value)


def _user(value: Value, names: Names) -> Neutral:
    return tuple(map(names.user, strings(value))) if isinstance(value, tuple) else names.user(str(value))


def _slice(value: Value, names: Names) -> Neutral:
    return str(value) if str(value).endswith(".slice") else f"{value}.slice"


def _cpus(value: Value, names: Names) -> Neutral:
    text = str(value)
    return text if text.endswith("%") else f"{round(float(text) * 100)}%"


_CONVERT: dict[str, Callable[[Value, Names], Neutral]] = {
    "User": _user,
    "Group": _user,
    "SupplementaryGroups": _user,
    "Slice": _slice,
    "CPUQuota": _cpus,
}
