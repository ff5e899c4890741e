"""docker-compose files → services that run ``docker run`` in the foreground, one for each container.

What Compose arranges around a container is said in plain words: its network and named volumes keep the names Compose
gave them (``PROJECT_NAME``), so that data and addresses stay; what has no option of ``docker run`` is a problem.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from ordain.transforms.catalog.names import Names
from ordain.transforms.document import command_line, formats
from ordain.transforms.document.node import Node
from ordain.transforms.errors import Where
from ordain.transforms.importing import yaml_reader
from ordain.transforms.importing.draft import Imported, Plain, Source
from ordain.transforms.importing.yaml_reader import Unfit, flag, items, listed, text, texts
from ordain.transforms.render.unit_draft import SECRET
from ordain.transforms.systemd import values

DOCKER = "/usr/bin/docker"
EXPAND = "`docker compose config` prints it with everything filled in: import that"

SCALARS = {
    "working_dir": "--workdir", "user": "--user", "hostname": "--hostname", "domainname": "--domainname",
    "pid": "--pid", "ipc": "--ipc", "uts": "--uts", "userns_mode": "--userns", "cgroup": "--cgroupns",
    "shm_size": "--shm-size", "mem_limit": "--memory", "mem_reservation": "--memory-reservation",
    "memswap_limit": "--memory-swap", "cpus": "--cpus", "cpuset": "--cpuset-cpus", "cpu_shares": "--cpu-shares",
    "pids_limit": "--pids-limit", "platform": "--platform", "runtime": "--runtime",
    "stop_signal": "--stop-signal", "mac_address": "--mac-address",
    "oom_score_adj": "--oom-score-adj", "pull_policy": "--pull",
}  # fmt: skip
LISTS = {
    "cap_add": "--cap-add", "cap_drop": "--cap-drop", "devices": "--device", "dns": "--dns",
    "dns_search": "--dns-search", "dns_opt": "--dns-option", "group_add": "--group-add",
    "security_opt": "--security-opt", "tmpfs": "--tmpfs",
}  # fmt: skip
MAPS = {"labels": "--label", "sysctls": "--sysctl", "annotations": "--annotation"}
FLAGS = {
    "privileged": "--privileged", "read_only": "--read-only", "init": "--init", "tty": "--tty",
    "stdin_open": "--interactive", "oom_kill_disable": "--oom-kill-disable",
}  # fmt: skip
QUIET = frozenset({"expose", "version"})
"""Keys that change nothing."""


def carry(sources: Iterable[Source], names: Names, imported: Imported) -> None:
    """Puts every service of every file into ``imported``."""
    for source in sources:
        if root := yaml_reader.read(source, imported, hint=EXPAND):
            _Project(root, source, imported).carry()


class _Project:
    def __init__(self, root: Node, source: Source, imported: Imported) -> None:
        self.root, self.imported = root, imported
        self.where = Where(path=source.path, line=1)
        self.name = re.sub(r"[^a-z0-9_-]", "", source.folder.lower()).lstrip("_-")
        self.tops: dict[str, Mapping[str, Node]] = {"volumes": {}, "networks": {}, "services": {}}

    def carry(self) -> None:
        for key, node in items(self.root).items():
            try:
                if key in self.tops:
                    self.tops[key] = items(node)
                elif key == "name":
                    self.name = text(node)
                elif key not in QUIET and not key.startswith("x-"):
                    self.lost(node, f"{key}: a document has no place for it", "keep the file, and mount it")
            except Unfit as unfit:
                self.lost(unfit.node, unfit.what, unfit.hint)
        if not self.name:
            self.imported.lost(self.where, "the name of the project is not known", "add `name: PROJECT` to the file")
            self.name = "compose"
        for kind in ("volumes", "networks"):
            for name, node in self.tops[kind].items():
                try:
                    for key, child in items(node).items():
                        if key not in {"name", "external"}:
                            hint = f"make it once: `docker {kind[:-1]} create` has an option for it"
                            self.lost(child, f"{kind}/{name}: {key}", hint)
                except Unfit as unfit:
                    self.lost(unfit.node, unfit.what)
        for name, node in self.tops["services"].items():
            try:
                self.service(name, node)
            except Unfit as unfit:
                self.lost(unfit.node, f"service {name}: {unfit.what}", unfit.hint)
        self.forget({*self.tops["services"]} - {*self.imported.mapping("services")})

    def forget(self, missing: set[str]) -> None:
        """Takes what was not carried out of what others depend on; it has been said."""
        for name in self.tops["services"]:
            entry = self.imported.mapping("services").get(name)
            for key in ("after", "requires", "wants"):
                if isinstance(entry, dict) and isinstance(listed := entry.get(key), list):
                    entry[key] = [other for other in listed if other not in missing]

    def lost(self, node: Node, what: str, hint: str = "") -> None:
        self.imported.lost(node.where, what, hint)

    def full(self, kind: str, name: str) -> str:
        """The name Compose gives a volume or network: with the project in front, unless the file says another."""
        try:
            node = items(self.tops[kind].get(name, Node(value=None, where=self.where)))
            if "name" in node:
                return text(node["name"])
            if "external" in node and flag(node["external"]):
                return name
        except Unfit:
            pass
        return f"{self.name}_{name}"

    def service(self, name: str, node: Node) -> None:
        try:
            formats.service_name(name)
        except ValueError as error:
            raise Unfit(node, f"no name for a service: {error}", "rename it") from None
        container = _Container(name, self, items(node))
        entry = container.entry()
        if entry is None:
            self.lost(node, f"service {name} has no image", "build and push one, and name it as `image`")
        else:
            self.imported.put("services", name, entry, node.where)


class _Container:
    def __init__(self, name: str, project: _Project, keys: Mapping[str, Node]) -> None:
        self.name, self.project, self.keys = name, project, keys
        self.arguments: list[str] = []
        self.environment: dict[str, Plain] = {}
        self.made: dict[str, Plain] = {}
        self.networks: list[str] = []
        docker = "docker.service" if "docker" in project.tops["services"] else "docker"
        self.after: list[Plain] = [docker]
        self.requires: list[Plain] = [docker]
        self.wants: list[Plain] = []
        self.container = f"{project.name}-{name}-1"
        self.entrypoint: list[str] = []
        self.command: list[str] = []

    def entry(self) -> dict[str, Plain] | None:
        """The entry of ``services``; None without an image."""
        for key, node in self.keys.items():
            try:
                self.key(key, node)
            except Unfit as unfit:
                self.lost(unfit.node, f"{key}: {unfit.what}", unfit.hint)
        if "image" not in self.keys:
            return None
        image = self.word(self.keys["image"])
        self.network()
        run = [DOCKER, "run", "--rm", f"--name={self.container}", *self.arguments]
        run += [f"--entrypoint={self.entrypoint[0]}"] if self.entrypoint else []
        words: list[Plain] = [*run, image, *self.entrypoint[1:], *self.command]
        before: list[Plain] = [f"-{DOCKER} rm --force {self.container}"]
        before += [f"-{DOCKER} network create {network}" for network in self.networks]
        return {
            "description": f"{self.name} ({image})",
            "command": words,
            "stop": f"{DOCKER} stop {self.container}",
            **({"environment": self.environment} if self.environment else {}),
            **self.made,
            "after": self.after,
            "requires": self.requires,
            **({"wants": self.wants} if self.wants else {}),
            "systemd": {"Service": {"ExecStartPre": before[0] if len(before) == 1 else before}},
        }

    def lost(self, node: Node, what: str, hint: str = "") -> None:
        self.project.lost(node, f"service {self.name}: {what}", hint)

    def word(self, node: Node) -> str:
        """A text, with Compose's own ``$$`` undone. Raises `Unfit` for what only Compose can fill in."""
        written = text(node)
        if "$" in written.replace("$$", ""):
            raise Unfit(node, f"{written!r} holds a variable of Compose's", EXPAND)
        return written.replace("$$", "$")

    def words(self, node: Node) -> list[str]:
        return [self.word(item) for item in listed(node)]

    def pairs(self, node: Node) -> list[tuple[str, str | None, Node]]:
        """NAME=VALUE as a list or a map; None for a name alone."""
        if isinstance(node.value, Mapping):
            return [(k, None if v.value is None else self.word(v), v) for k, v in node.value.items()]
        halves = [(self.word(item).partition("="), item) for item in listed(node)]
        return [(name, value if equals else None, item) for (name, equals, value), item in halves]

    def key(self, key: str, node: Node) -> None:
        if key in SCALARS:
            self.arguments.append(f"{SCALARS[key]}={self.word(node)}")
        elif key in LISTS:
            self.arguments += [f"{LISTS[key]}={word}" for word in self.words(node)]
        elif key in MAPS:
            self.arguments += [f"{MAPS[key]}={name}={value or ''}" for name, value, _ in self.pairs(node)]
        elif key in FLAGS:
            self.arguments += [FLAGS[key]] if flag(node) else []
        elif key in _KEYS:
            _KEYS[key](self, node)
        elif key == "build":
            if "image" in self.keys:
                self.lost(node, "build: the image is used as it is", "build and push it by other means")
        elif key not in QUIET and not key.startswith("x-") and key != "image":
            self.lost(node, f"{key} is not understood", "`docker run --help` may have an option: add it to `command`")

    def argv(self, node: Node) -> list[str]:
        """A command: a list is taken as it is, a string is split as a shell would."""
        if isinstance(node.value, tuple) or node.value is None:
            return self.words(node)
        try:
            return [*command_line.split(self.word(node))]
        except command_line.BadCommandLine as error:
            raise Unfit(node, str(error)) from None

    def set_command(self, node: Node) -> None:
        self.command = self.argv(node)

    def set_entrypoint(self, node: Node) -> None:
        self.entrypoint = self.argv(node)

    def set_container_name(self, node: Node) -> None:
        self.container = self.word(node)

    def set_restart(self, node: Node) -> None:
        policy, _, times = text(node).partition(":")
        known = {"no": "no", "always": "always", "unless-stopped": "always", "on-failure": "on-failure"}
        if policy == "false":
            policy = "no"
        if policy not in known:
            raise Unfit(node, f"{policy!r} is no restart policy", ", ".join(known))
        self.made["restart"] = known[policy]
        if times.isdigit():
            self.made["start-limit"] = {"burst": int(times) + 1}

    def set_environment(self, node: Node) -> None:
        """Docker takes the values from its own environment, so that they are not on the command line."""
        for name, value, item in self.pairs(node):
            if value is None:
                self.lost(item, f"environment: {name} is taken from the caller", f"say `{name}: VALUE`")
            elif not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                self.lost(item, f"environment: {name!r} is no name of a variable")
            elif SECRET.search(name) and value:
                hint = f"put {name}=… into a file only root can read, and add `--env-file=PATH` to `command`"
                self.lost(item, f"environment: {name} looks like a secret, and every user can read a unit", hint)
            else:
                self.environment[name] = value
                self.arguments.append(f"--env={name}")

    def set_env_file(self, node: Node) -> None:
        for item in listed(node):
            path = self.word(item.value["path"] if isinstance(item.value, Mapping) and "path" in item.value else item)
            self.arguments.append(f"--env-file={self.absolute(path, item)}")

    def absolute(self, path: str, node: Node) -> str:
        """A path that means the same wherever it is used. Raises `Unfit`."""
        if path.startswith("/"):
            return path
        raise Unfit(node, f"{path!r} lies beside the compose file", "write an absolute path")

    def set_ports(self, node: Node) -> None:
        for item in listed(node):
            if not isinstance(item.value, Mapping):
                self.arguments.append(f"--publish={self.word(item)}")
                continue
            known = {key: self.word(child) for key, child in item.value.items()}
            if "target" not in known:
                raise Unfit(item, "a port needs a target")
            host = f"{known['host_ip']}:" if "host_ip" in known else ""
            published = f"{known['published']}:" if "published" in known else (":" if host else "")
            protocol = f"/{known['protocol']}" if "protocol" in known else ""
            self.arguments.append(f"--publish={host}{published}{known['target']}{protocol}")

    def set_volumes(self, node: Node) -> None:
        for item in listed(node):
            try:
                self.arguments.append(self.volume(item))
            except Unfit as unfit:
                self.lost(unfit.node, f"volumes: {unfit.what}", unfit.hint)

    def volume(self, item: Node) -> str:
        if not isinstance(item.value, Mapping):
            source, colon, rest = self.word(item).partition(":")
            if not colon:
                return f"--volume={source}"
            return f"--volume={self.source(source, item)}:{rest}"
        known = {key: self.word(child) for key, child in item.value.items() if key not in {"bind", "volume", "tmpfs"}}
        parts = [f"type={known.get('type', 'volume')}"]
        if "source" in known:
            parts.append(f"source={self.source(known['source'], item)}")
        parts.append(f"target={known.get('target', '')}")
        parts += ["readonly"] if known.get("read_only") == "true" else []
        for key in {"bind", "volume", "tmpfs"} & set(item.value):
            if item.value[key].value:
                self.lost(item.value[key], f"volumes: {key}", "`docker run --mount` may have an option for it")
        return f"--mount={','.join(parts)}"

    def source(self, source: str, node: Node) -> str:
        """Where a volume comes from: a path, or a named volume of the project."""
        if source.startswith((".", "~", "/")):
            return self.absolute(source, node)
        return self.project.full("volumes", source)

    def set_depends_on(self, node: Node) -> None:
        maps = node.value if isinstance(node.value, Mapping) else {}
        for name in maps or texts(node):
            details = items(maps[name]) if maps else {}
            if name not in self.project.tops["services"]:
                raise Unfit(node, f"there is no service {name}")
            self.after.append(name)
            required = "required" not in details or flag(details["required"])
            (self.requires if required else self.wants).append(name)
            if "condition" in details and (condition := text(details["condition"])) != "service_started":
                hint = f"give {name} a `health`, or a command that returns when it is ready"
                self.lost(details["condition"], f"depends_on: {condition} of {name}; it is started after it", hint)

    def set_networks(self, node: Node) -> None:
        for name in items(node) if isinstance(node.value, Mapping) else texts(node):
            self.networks.append(self.project.full("networks", name))
        for name, child in items(node).items() if isinstance(node.value, Mapping) else ():
            for key, detail in items(child).items():
                if key == "aliases":
                    self.arguments += [f"--network-alias={alias}" for alias in self.words(detail)]
                else:
                    self.lost(detail, f"networks/{name}: {key}", "`docker run --help` may have an option for it")

    def set_network_mode(self, node: Node) -> None:
        mode = self.word(node)
        if mode.startswith("service:"):
            other = mode.removeprefix("service:")
            mode = f"container:{self.project.name}-{other}-1"
            self.after.append(other)
            self.requires.append(other)
        self.arguments.append(f"--network={mode}")

    def network(self) -> None:
        """Every container of a project is in its default network under the name of its service."""
        if "network_mode" not in self.keys:
            self.networks = self.networks or [self.project.full("networks", "default")]
            self.arguments += [f"--network={network}" for network in self.networks]
            self.arguments.append(f"--network-alias={self.name}")

    def set_stop_grace_period(self, node: Node) -> None:
        period = text(node)
        try:
            seconds = -(-values.timespan(period) // 1_000_000)
        except ValueError:
            raise Unfit(node, f"{period!r} is no time span", "such as 1m30s") from None
        self.arguments.append(f"--stop-timeout={seconds}")
        self.made["stop-timeout"] = f"{seconds + 10}s"

    def set_extra_hosts(self, node: Node) -> None:
        if isinstance(node.value, Mapping):
            self.arguments += [f"--add-host={name}:{self.word(child)}" for name, child in node.value.items()]
        else:
            self.arguments += [f"--add-host={word.replace('=', ':', 1)}" for word in self.words(node)]

    def set_ulimits(self, node: Node) -> None:
        for name, child in items(node).items():
            if isinstance(child.value, Mapping):
                soft, hard = (self.word(child.value[k]) if k in child.value else "-1" for k in ("soft", "hard"))
                self.arguments.append(f"--ulimit={name}={soft}:{hard}")
            else:
                self.arguments.append(f"--ulimit={name}={self.word(child)}")

    def set_logging(self, node: Node) -> None:
        for key, child in items(node).items():
            if key == "driver":
                self.arguments.append(f"--log-driver={self.word(child)}")
            elif key == "options":
                self.arguments += [f"--log-opt={name}={value or ''}" for name, value, _ in self.pairs(child)]

    def set_healthcheck(self, node: Node) -> None:
        """Docker asks; a failing container is only marked, as under Compose."""
        for key, child in items(node).items():
            if key == "test":
                kind, *words = self.words(child) if isinstance(child.value, tuple) else ["CMD-SHELL", self.word(child)]
                if kind == "NONE":
                    self.arguments.append("--no-healthcheck")
                else:
                    self.arguments.append(f"--health-cmd={words[0] if kind == 'CMD-SHELL' else _shell(words)}")
            elif key in {"interval", "timeout", "retries", "start_period", "start_interval"}:
                self.arguments.append(f"--health-{key.replace('_', '-')}={self.word(child)}")
            elif key == "disable" and flag(child):
                self.arguments.append("--no-healthcheck")


def _shell(words: Sequence[str]) -> str:
    return shlex.join(words)


_KEYS: Mapping[str, Callable[[_Container, Node], None]] = {
    name.removeprefix("set_"): method for name, method in vars(_Container).items() if name.startswith("set_")
}
