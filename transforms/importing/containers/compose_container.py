"""The keys of one service of a compose file as the arguments of ``docker run``."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.document.formats import command_line
from ordain.transforms.document.formats.secret_names import SECRET
from ordain.transforms.document.text.node import Node, Number
from ordain.transforms.errors import Where
from ordain.transforms.importing.containers.compose_networks import FIELDS, IFNAME, Attachment, driver_options, options
from ordain.transforms.importing.containers.compose_secrets import FOLDERS, mount_option
from ordain.transforms.importing.draft.document_draft import Plain
from ordain.transforms.importing.draft.foreign_yaml import Unquoted, go_text
from ordain.transforms.importing.draft.yaml_values import UnusableValue, flag, items, listed, set_items, text, whole
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd import values

DOCKER = "/usr/bin/docker"
EXPAND = "import the output of `docker compose config`, in which everything is filled in"
IN_DOCKER_RUN = "`docker run --help` may have an option for it"

SCALARS = {
    "working_dir": "--workdir", "user": "--user", "hostname": "--hostname", "domainname": "--domainname",
    "uts": "--uts", "userns_mode": "--userns", "cgroup": "--cgroupns",
    "shm_size": "--shm-size", "mem_limit": "--memory", "mem_reservation": "--memory-reservation",
    "memswap_limit": "--memory-swap", "cpus": "--cpus", "cpuset": "--cpuset-cpus", "cpu_shares": "--cpu-shares",
    "pids_limit": "--pids-limit", "platform": "--platform", "runtime": "--runtime",
    "stop_signal": "--stop-signal", "mac_address": "--mac-address",
    "oom_score_adj": "--oom-score-adj", "cgroup_parent": "--cgroup-parent", "cpu_period": "--cpu-period",
    "cpu_quota": "--cpu-quota", "cpu_rt_period": "--cpu-rt-period", "cpu_rt_runtime": "--cpu-rt-runtime",
    "isolation": "--isolation", "mem_swappiness": "--memory-swappiness",
}  # fmt: skip
LISTS = {
    "cap_add": "--cap-add", "cap_drop": "--cap-drop", "devices": "--device", "dns": "--dns",
    "dns_search": "--dns-search", "dns_opt": "--dns-option", "group_add": "--group-add",
    "security_opt": "--security-opt", "tmpfs": "--tmpfs", "device_cgroup_rules": "--device-cgroup-rule",
    "label_file": "--label-file",
}  # fmt: skip
MAPS = {
    "labels": "--label", "sysctls": "--sysctl", "annotations": "--annotation", "storage_opt": "--storage-opt",
}  # fmt: skip
FLAGS = {
    "privileged": "--privileged", "read_only": "--read-only", "init": "--init", "tty": "--tty",
    "oom_kill_disable": "--oom-kill-disable",
}  # fmt: skip
IGNORED = frozenset({"expose", "version", "attach"})
"""Keys that change nothing for a container."""
LIMITS = {
    ("limits", "cpus"): "--cpus", ("limits", "memory"): "--memory", ("limits", "pids"): "--pids-limit",
    ("reservations", "memory"): "--memory-reservation",
}  # fmt: skip
"""Options for the resources of `deploy` that Compose uses outside of a swarm."""
HINTS = {
    "extends": EXPAND,
    "scale": "write `instances`, each with a name and ports of its own",
    "links": "add `--link=CONTAINER:NAME` to `command`, and the service to `after` and `requires`",
    "external_links": "add `--link=CONTAINER:NAME` to `command`",
    "volumes_from": "add `--volumes-from=CONTAINER` to `command`, and the service to `after` and `requires`",
    "develop": "remove it: it is for developers",
    "post_start": "write `after-start: /usr/bin/docker exec CONTAINER COMMAND`",
    "pre_stop": "write a `stop` with `docker exec` before `docker stop`",
    "gpus": "add `--gpus` to `command`",
}
RESTART_POLICIES = {
    "no": "no", "false": "no", "always": "always", "unless-stopped": "always", "on-failure": "on-failure",
    "any": "always", "none": "no",
}  # fmt: skip
DETAILS = {
    "create_host_path": "", "nocopy": "", "propagation": "bind-propagation", "selinux": None,
    "subpath": "volume-subpath", "size": "tmpfs-size",
}  # fmt: skip
"""The field of --mount for a detail of a mount; None is a mode that only --volume has."""
VARIABLE = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_]*")
OF_THE_CLIENT = lazy_pattern(
    r"(DOCKER|BUILDKIT|BUILDX|COMPOSE|LD|OTEL|SSL_CERT|XDG|SSH|LISTEN|NOTIFY)_|GO(DEBUG|GC|MAXPROCS|MEMLIMIT|TRACEBACK)$"
    r"|(HOME|PATH|TMPDIR)$|((HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy)$"
)
"""Variables that docker and its runtime read, such as DOCKER_HOST, which would lead it to another daemon."""
SHELLS = frozenset({"sh", "bash", "ash", "dash"})
HEALTH_OPTIONS = frozenset({"interval", "timeout", "retries", "start_period", "start_interval"})


PULL_POLICIES = {"always": "always", "missing": "missing", "if_not_present": "missing", "never": "never"}


class Project(Protocol):
    """The compose file that a container is in."""

    name: str
    directory: str

    @property
    def services(self) -> Mapping[str, Node]:
        """Return the services of the file by name."""

    def file_of(self, section: str, name: str) -> Node | None:
        """Return the path of a secret or config that a service uses, None if it is not a file."""

    def volume_name(self, name: str) -> str:
        """Return the name of a volume in docker."""

    def network_name(self, name: str) -> str:
        """Return the name of a network in docker."""

    def made_by(self, section: str, key: str) -> str:
        """Return the command that makes a volume or network before the container starts, ``""`` if there is none."""

    def not_converted(self, node: Node, what: str, hint: str = "") -> None:
        """Add the problem that something is not converted."""


def container_entry(name: str, project: Project, keys: Mapping[str, Node]) -> dict[str, Plain] | None:
    """Return the entry of ``services`` for a service of the project, None if it has no image."""
    return _Container(name, project, keys).entry()


class _Container:
    """The service called ``name``, with its ``keys``."""

    def __init__(self, name: str, project: Project, keys: Mapping[str, Node]) -> None:
        self.name, self.project, self.keys = name, project, keys
        self.arguments: list[str] = []
        self.environment: dict[str, Plain] = {}
        self.other_keys: dict[str, Plain] = {}
        self.networks: dict[str, Attachment] = {}
        self.volumes: list[str] = []
        # A service of the project could have the neutral name of docker itself.
        docker = "docker.service" if "docker" in project.services else "docker"
        self.after: list[Plain] = [docker]
        self.requires: list[Plain] = [docker]
        self.wants: list[Plain] = []
        self.container = f"{project.name}-{name}-1"
        self.entrypoint: list[str] = []
        self.no_entrypoint: Node | None = None
        self.command: list[str] = []

    def entry(self) -> dict[str, Plain] | None:
        for key, node in self.keys.items():
            self.each(key, [node], partial(self.set, key))
        if "image" not in self.keys:
            return None
        image = self.word(self.keys["image"])
        self.add_default_network()
        run = [DOCKER, "run", "--rm", f"--name={self.container}", *self.arguments]
        run += [f"--entrypoint={self.entrypoint[0]}"] if self.entrypoint else []
        if self.no_entrypoint and self.command:
            run.append("--entrypoint=")
        elif self.no_entrypoint:  # `docker run` then drops the command of the image, too
            what = "entrypoint: an empty one without `command`: the service runs the entrypoint of the image"
            hint = f"write the command of the image, which `docker image inspect {image}` shows as Cmd, as `command`"
            self.not_converted(self.no_entrypoint, what, hint)
        words: list[Plain] = [*run, image, *self.entrypoint[1:], *self.command]
        before: list[Plain] = [f"-{DOCKER} rm --force {self.container}"]
        before += filter(None, (self.project.made_by("volumes", volume) for volume in dict.fromkeys(self.volumes)))
        before += filter(None, (self.project.made_by("networks", network) for network in self.networks))
        return {
            "description": f"{self.name} ({image})",
            "command": words,
            "stop": f"{DOCKER} stop {self.container}",
            **({"environment": self.environment} if self.environment else {}),
            **self.other_keys,
            "after": list(dict.fromkeys(self.after)),
            "requires": list(dict.fromkeys(self.requires)),
            **({"wants": self.wants} if self.wants else {}),
            "systemd": {"Service": {"ExecStartPre": before[0] if len(before) == 1 else before}},
        }

    def not_converted(self, node: Node, what: str, hint: str = "") -> None:
        self.project.not_converted(node, f"service {self.name}: {what}", hint)

    def set(self, key: str, node: Node) -> None:
        """Set one key. Raises `UnusableValue`."""
        if key in _KEYS:
            _KEYS[key](self, node)
        elif key not in IGNORED and not key.startswith("x-"):
            hint = HINTS.get(key, "`docker run --help` may have an option: add it to `command`")
            what = f"the key {key}" if key in HINTS else f"the key {key} is not known"
            self.not_converted(node, what, hint)

    def word(self, node: Node) -> str:
        """Return a text, with ``$$`` as a single ``$``. Raises `UnusableValue` for a text with a variable."""
        return self.without_variables(node, text(node))

    def without_variables(self, node: Node, written: str) -> str:
        """Return the text of a node as `word` does."""
        if "$" in written.replace("$$", ""):
            raise UnusableValue(node, f"{written!r} has a variable that Compose replaces", EXPAND)
        return written.replace("$$", "$")

    def words(self, node: Node) -> list[str]:
        """Return the texts of a list as a whole. Raises `UnusableValue`."""
        return [self.word(item) for item in listed(node)]

    def each(self, key: str, nodes: Iterable[Node], use: Callable[[Node], None]) -> None:
        """Use every item of a list. An item with a problem does not keep the others from being converted."""
        for node in nodes:
            try:
                use(node)
            except UnusableValue as error:
                self.not_converted(node, f"{key}: {error.described(node)}", error.hint)

    def pairs(self, key: str, node: Node) -> list[tuple[str, str | None, Node]]:
        """Return names and values of a map, or of a list of NAME=VALUE; the value of a name alone is None."""
        pairs: list[tuple[str, str | None, Node]] = []

        def add_pair(name: str, child: Node) -> None:
            written = None if child.value is None else text(child)
            if written is not None:
                unquoted = isinstance(child.value, (Number, Unquoted))
                written = self.without_variables(child, go_text(written) if unquoted else written)
            pairs.append((name, written, child))

        if isinstance(node.value, Mapping):
            for name, child in node.value.items():
                self.each(f"{key}: {name}", [child], partial(add_pair, name))
            return pairs

        def add(item: Node) -> None:
            name, equals, value = self.word(item).partition("=")
            pairs.append((name, value if equals else None, item))

        self.each(key, listed(node), add)
        return pairs

    def skip(self, node: Node) -> None:
        """Do nothing: `entry` uses the value."""

    def check_build(self, node: Node) -> None:
        if "image" in self.keys:
            what = "build: the service uses the image and does not build it"
            self.not_converted(node, what, "build and push it in another way")

    def argv(self, node: Node) -> list[str]:
        """Return a command: a list as it is, a string split like in a shell."""
        if isinstance(node.value, tuple) or node.value is None:
            return self.words(node)
        try:
            return [*command_line.split(self.word(node))]
        except command_line.BadCommandLine as error:
            raise UnusableValue(node, str(error)) from None

    def set_command(self, node: Node) -> None:
        self.command = self.argv(node)

    def set_entrypoint(self, node: Node) -> None:
        if node.value in ("", ()):
            self.no_entrypoint = node
        else:
            self.entrypoint = self.argv(node)

    def set_container_name(self, node: Node) -> None:
        self.container = self.word(node)

    def set_pull_policy(self, node: Node) -> None:
        policy = self.word(node)
        if policy not in PULL_POLICIES:
            raise UnusableValue(node, f"docker run has no policy {policy!r}", f"use one of {', '.join(PULL_POLICIES)}")
        self.arguments.append(f"--pull={PULL_POLICIES[policy]}")

    def set_stdin_open(self, node: Node) -> None:
        """Keep the standard input open, unless there is a terminal, which a service does not have for its input."""
        if not flag(node):
            return
        if "tty" in self.keys and flag(self.keys["tty"]):
            what = "stdin_open with tty: a service has no terminal to read from"
            self.not_converted(node, what, "remove it, and use `docker exec --interactive --tty`")
        else:
            self.arguments.append("--interactive")

    def set_restart(self, node: Node) -> None:
        deploy = self.keys.get("deploy", _EMPTY).value
        if isinstance(deploy, Mapping) and "restart_policy" in deploy:
            what = "restart, which restart_policy of `deploy` overrides"
            self.not_converted(node, what, "remove one of them")
        else:
            self.restart(None, node)

    def restart(self, attempts: Node | None, node: Node) -> None:
        """Set a policy such as ``on-failure:3``; the number may be in ``attempts``."""
        policy, _, times = text(node).partition(":")
        if attempts and policy == "on-failure":
            times = str(whole(attempts))
        elif attempts:
            self.not_converted(attempts, "deploy: restart_policy: max_attempts without on-failure", "remove it")
        if policy not in RESTART_POLICIES:
            raise UnusableValue(
                node, f"{policy!r} is not a restart policy", f"use one of {', '.join(RESTART_POLICIES)}"
            )
        self.other_keys["restart"] = RESTART_POLICIES[policy]
        if is_decimal(times) and int(times):
            self.other_keys["start-limit"] = {"burst": int(times) + 1}
            what = f"restart: {policy}:{times}: systemd only counts the restarts within 10 seconds"
            hint = f"set `start-limit: {{interval: …}}` to the time that {times} restarts of a broken container take"
            self.not_converted(node, what, hint)
        elif RESTART_POLICIES[policy] != "no":  # docker tries again without a limit, with a growing delay
            self.other_keys["restart-delay"] = "5s"
            self.other_keys["start-limit"] = {"interval": "0"}

    def set_environment(self, node: Node) -> None:
        """Set the variables of docker itself, which passes them on: so their values are not on its command line.

        Variables that would change what docker does, and names that only a container can have, are on the command line.
        """
        for name, value, item in self.pairs("environment", node):
            if value is None:
                self.not_converted(
                    item, f"environment: {name} has the value of whoever runs Compose", f"write `{name}: VALUE`"
                )
            elif SECRET.search(name) and value:
                hint = f"write {name}=… into a file that only root can read, and add `--env-file=PATH` to `command`"
                self.not_converted(
                    item, f"environment: {name} looks like a secret, and every user can read a unit", hint
                )
            elif OF_THE_CLIENT.match(name) or not VARIABLE.fullmatch(name):
                self.arguments.append(f"--env={name}={value}")
            else:
                self.environment[name] = value
                self.arguments.append(f"--env={name}")

    def set_env_file(self, node: Node) -> None:
        self.each("env_file", listed(node), self.add_env_file)

    def add_env_file(self, item: Node) -> None:
        keys = item.value if isinstance(item.value, Mapping) else {}
        path = self.absolute(self.word(keys.get("path", item)), item)
        for key in sorted(keys.keys() - {"path", "required"}):
            self.not_converted(keys[key], f"env_file: {key} of {path}", "`docker run --env-file` has no such option")
        if "required" in keys and not flag(keys["required"]):
            hint = f"create {path}, which may be empty, and add `--env-file={path}` to `command`"
            raise UnusableValue(item, f"{path} is not required, and docker fails without it", hint)
        self.arguments.append(f"--env-file={path}")

    def absolute(self, path: str, node: Node) -> str:
        """Return a path beside the compose file. Raises `UnusableValue` if its directory is not known."""
        if path.startswith("/"):
            return path
        if path.startswith("~") or not self.project.directory:
            what = f"{path!r} is relative to the compose file, whose directory is not known"
            what = f"{path!r} is in somebody's home directory" if path.startswith("~") else what
            raise UnusableValue(node, what, "import the file by its absolute path, or write an absolute path")
        return posixpath.normpath(posixpath.join(self.project.directory, path))

    def set_ports(self, node: Node) -> None:
        self.each("ports", listed(node), self.add_port)

    def add_port(self, item: Node) -> None:
        if not isinstance(item.value, Mapping):
            self.arguments.append(f"--publish={self.word(item)}")
            return
        known = {key: self.word(child) for key, child in set_items(item).items()}
        if "target" not in known:
            raise UnusableValue(item, "a port has no target", "add it")
        if known.get("mode") == "ingress":  # which `docker compose config` writes, and which only a swarm reads
            del known["mode"]
        for key in sorted(set(known) - {"target", "host_ip", "published", "protocol", "name", "app_protocol"}):
            hint = "remove it: only a swarm reads it" if key == "mode" else "`docker run --publish` has no such option"
            self.not_converted(item.value[key], f"ports: {key}", hint)
        host = f"{known['host_ip']}:" if "host_ip" in known else ""
        published = f"{known['published']}:" if "published" in known else (":" if host else "")
        protocol = f"/{known['protocol']}" if "protocol" in known else ""
        self.arguments.append(f"--publish={host}{published}{known['target']}{protocol}")

    def set_volumes(self, node: Node) -> None:
        self.each("volumes", listed(node), lambda item: self.arguments.append(self.volume(item)))

    def volume(self, item: Node) -> str:
        if not isinstance(item.value, Mapping):
            source, colon, rest = self.word(item).partition(":")
            if not colon:
                return f"--volume={source}"
            return f"--volume={self.source(source, item)}:{rest}"
        keys = set_items(item)
        known = {key: self.word(keys[key]) for key in ("type", "source", "target") if key in keys}
        if "target" not in known:
            raise UnusableValue(item, "a volume has no target", "add `target`")
        kind, target = known.get("type", "volume"), known["target"]
        source = self.source(known["source"], item) if "source" in known else ""
        read_only = "read_only" in keys and flag(keys["read_only"])
        details = self.details(kind, keys)
        words = {key: self.word(node) for key, node in details.items() if DETAILS[key] != ""}
        creates = "create_host_path" not in details or flag(details["create_host_path"])
        if kind == "bind" and creates and ":" not in source + target:  # --mount fails if the source is missing
            modes = [*(["ro"] if read_only else []), *words.values()]
            return f"--volume={source}:{target}{':' if modes else ''}{','.join(modes)}"
        if "selinux" in words:
            hint = "write the volume without `create_host_path`, or label the directory with chcon"
            self.not_converted(details["selinux"], "volumes: bind: selinux with --mount", hint)
        parts = [f"type={kind}", *([f"source={source}"] if source else []), f"target={target}"]
        parts += ["readonly"] if read_only else []
        parts += ["volume-nocopy"] if "nocopy" in details and flag(details["nocopy"]) else []
        parts += [f"{DETAILS[key]}={word}" for key, word in words.items() if DETAILS[key]]
        return f"--mount={','.join(parts)}"

    def details(self, kind: str, keys: Mapping[str, Node]) -> dict[str, Node]:
        """Return the details of a mount that have an option; the others are problems."""
        details: dict[str, Node] = {}
        for key in sorted(keys.keys() - {"type", "source", "target", "read_only", "consistency"}):
            written = keys[key].value
            of_key = written if isinstance(written, Mapping) else {"": keys[key]}
            for detail, node in of_key.items():
                if key == kind and detail in DETAILS:
                    details[detail] = node
                else:
                    what = f"volumes: {key}{': ' if detail else ''}{detail}"
                    self.not_converted(node, what, "`docker run --mount` may have an option for it")
        return details

    def source(self, source: str, node: Node) -> str:
        """Return the source of a volume: a path, or the name of a volume of the project."""
        if source.startswith((".", "~", "/")):
            return self.absolute(source, node)
        self.volumes.append(source)
        return self.project.volume_name(source)

    def set_depends_on(self, node: Node) -> None:
        if isinstance(node.value, Mapping):
            for name, child in node.value.items():
                self.each("depends_on", [child], partial(self.depend_on, name))
        else:
            self.each("depends_on", listed(node), lambda item: self.depend_on(text(item), _EMPTY))

    def depend_on(self, name: str, node: Node) -> None:
        details = set_items(node)
        if name not in self.project.services:
            raise UnusableValue(node, f"there is no service {name}", "remove it")
        required = "required" not in details or flag(details["required"])
        self.after.append(name)
        (self.requires if required else self.wants).append(name)
        for key in sorted(details.keys() - {"condition", "required"}):
            hint = f"add `systemd: {{Unit: {{PartOf: {name}.service}}}}`"
            self.not_converted(details[key], f"depends_on: {key} of {name}", hint)
        if "condition" in details and (condition := text(details["condition"])) != "service_started":
            hint = f"give {name} a `health`, or a command that returns when it is ready"
            self.not_converted(
                details["condition"], f"depends_on: {condition} of {name}, which is only started first", hint
            )

    def set_networks(self, node: Node) -> None:
        if isinstance(node.value, Mapping):
            for name, child in node.value.items():
                self.each("networks", [child], partial(self.add_network, name))
        else:
            self.each("networks", listed(node), lambda item: self.add_network(self.word(item), _EMPTY))

    def add_network(self, key: str, node: Node) -> None:
        attachment = Attachment(key=key, name=self.project.network_name(key))
        self.networks[key] = attachment
        for name, detail in set_items(node).items():
            self.each(f"networks/{key}", [detail], partial(self.set_network, attachment, name))

    def set_network(self, attachment: Attachment, key: str, node: Node) -> None:
        fields, place = attachment.fields, f"networks/{attachment.key}"
        if key in FIELDS:
            fields.append((FIELDS[key], self.word(node)))
        elif key == "priority":
            attachment.priority = whole(node)
        elif key == "aliases":
            self.each(place, listed(node), lambda item: fields.append(("alias", self.word(item))))
        elif key == "link_local_ips":
            self.each(place, listed(node), lambda item: fields.append(("link-local-ip", self.word(item))))
        elif key == "driver_opts":
            fields += driver_options({name: value or "" for name, value, _ in self.pairs(place, node)})
        elif key == "interface_name":
            fields += driver_options({IFNAME: self.word(node)})
        else:
            self.not_converted(node, f"{place}: {key}", IN_DOCKER_RUN)

    def add_namespace(self, option: str, node: Node) -> None:
        """Add the option for a namespace, which may be that of another service's container."""
        mode = self.word(node)
        if mode.startswith("service:"):
            other = mode.removeprefix("service:")
            if other not in self.project.services:
                raise UnusableValue(node, f"there is no service {other}", "remove it")
            keys = items(self.project.services[other])
            name = self.word(keys["container_name"]) if "container_name" in keys else f"{self.project.name}-{other}-1"
            mode = f"container:{name}"
            self.after.append(other)
            self.requires.append(other)
        self.arguments.append(f"{option}={mode}")

    def add_default_network(self) -> None:
        """Add the default network of the project, in which each container has the name of its service."""
        if "network_mode" not in self.keys:
            default = Attachment(key="default", name=self.project.network_name("default"))
            self.networks = self.networks or {"default": default}
            lost: list[tuple[Attachment, str]] = []
            self.arguments += options(self.networks.values(), self.name, lost)
            for network, field in lost:
                hint = f"rename the network {network.name}, or add `docker network connect` to `after-start`"
                what = f"networks/{network.key}: {field}: docker run reads it in small letters"
                self.not_converted(self.keys["networks"], what, hint)

    def set_stop_grace_period(self, node: Node) -> None:
        period = text(node)
        try:
            seconds = -(-values.timespan(period) // 1_000_000)
        except ValueError:
            raise UnusableValue(node, f"{period!r} is not a time span", "write it like 1m30s") from None
        self.arguments.append(f"--stop-timeout={seconds}")
        self.other_keys["stop-timeout"] = f"{seconds + 10}s"

    def set_extra_hosts(self, node: Node) -> None:
        for name, address, item in self.pairs("extra_hosts", node):
            host = name if address is None else f"{name}:{address}"
            if ":" not in host:
                self.not_converted(item, f"extra_hosts: {host} has no address", "write HOST=ADDRESS")
            else:
                self.arguments.append(f"--add-host={host}")

    def set_deploy(self, node: Node) -> None:
        for key, child in set_items(node).items():
            if key == "resources":
                for kind, resources in set_items(child).items():
                    for name, value in set_items(resources).items():
                        self.each("deploy", [value], partial(self.set_resource, (kind, name)))
            elif key == "restart_policy":
                self.set_restart_policy(child)
            else:
                hint = HINTS["scale"] if key == "replicas" else "remove it: only a swarm reads it"
                self.not_converted(child, f"deploy: {key}", hint)

    def set_restart_policy(self, node: Node) -> None:
        """Set the policy of `deploy`, which overrides `restart`. Compose uses the condition and the number only."""
        keys = set_items(node)
        for key in sorted(keys.keys() - {"condition", "max_attempts"}):
            self.not_converted(keys[key], f"deploy: restart_policy: {key}", "remove it: only a swarm reads it")
        condition = keys.get("condition", Node(value="any", where=node.where))
        self.each("deploy: restart_policy", [condition], partial(self.restart, keys.get("max_attempts")))

    def set_resource(self, resource: tuple[str, str], node: Node) -> None:
        if resource not in LIMITS:
            raise UnusableValue(node, f"resources: {'/'.join(resource)}", IN_DOCKER_RUN)
        self.arguments.append(f"{LIMITS[resource]}={self.word(node)}")

    def set_ulimits(self, node: Node) -> None:
        for name, child in items(node).items():
            self.each("ulimits", [child], partial(self.set_ulimit, name))

    def set_ulimit(self, name: str, node: Node) -> None:
        if not isinstance(node.value, Mapping):
            self.arguments.append(f"--ulimit={name}={self.word(node)}")
            return
        for key in sorted(node.value.keys() - {"soft", "hard"}):
            self.not_converted(node.value[key], f"ulimits: the key {key} of {name} is not known", "remove it")
        soft, hard = (self.word(node.value[k]) if k in node.value else "-1" for k in ("soft", "hard"))
        self.arguments.append(f"--ulimit={name}={soft}:{hard}")

    def set_logging(self, node: Node) -> None:
        for key, child in set_items(node).items():
            self.each("logging", [child], partial(self.set_logging_key, key))

    def set_logging_key(self, key: str, node: Node) -> None:
        if key == "driver":
            self.arguments.append(f"--log-driver={self.word(node)}")
        elif key == "options":
            self.arguments += [f"--log-opt={name}={value or ''}" for name, value, _ in self.pairs("logging", node)]
        else:
            raise UnusableValue(node, f"the key {key} is not known", "remove it")

    def set_healthcheck(self, node: Node) -> None:
        """Add the check for docker to run, which only marks a failing container, as with Compose."""
        for key, child in items(node).items():
            self.each("healthcheck", [child], partial(self.add_health, key))

    def add_health(self, key: str, child: Node) -> None:
        if key == "test":
            kind, *words = (
                self.words(child) or [""] if isinstance(child.value, tuple) else ["CMD-SHELL", self.word(child)]
            )
            if kind == "NONE":
                self.arguments.append("--no-healthcheck")
            elif kind not in {"CMD", "CMD-SHELL"} or not words:
                raise UnusableValue(child, "the test is not a command", "write [CMD, PROGRAM, …] or one text")
            else:
                if kind == "CMD" and posixpath.basename(words[0]) not in SHELLS:
                    hint = "nothing to do if the image has /bin/sh; else write HEALTHCHECK in the image"
                    self.not_converted(child, "healthcheck: a test without a shell, which docker run cannot make", hint)
                self.arguments.append(f"--health-cmd={words[0] if kind == 'CMD-SHELL' else shlex.join(words)}")
        elif key in HEALTH_OPTIONS:
            self.arguments.append(f"--health-{key.replace('_', '-')}={self.word(child)}")
        elif key != "disable":
            self.not_converted(child, f"healthcheck: {key}", IN_DOCKER_RUN)
        elif flag(child):
            self.arguments.append("--no-healthcheck")


_EMPTY = Node(value=None, where=Where())
_Set = Callable[[_Container, Node], None]


def _option(option: str) -> _Set:
    return lambda container, node: container.arguments.append(f"{option}={container.word(node)}")


def _option_for_each(key: str, option: str) -> _Set:
    def add(container: _Container, node: Node) -> None:
        container.each(key, listed(node), lambda item: container.arguments.append(f"{option}={container.word(item)}"))

    return add


def _option_for_each_pair(key: str, option: str) -> _Set:
    def add(container: _Container, node: Node) -> None:
        container.arguments += [f"{option}={name}={value or ''}" for name, value, _ in container.pairs(key, node)]

    return add


def _mounted_files(section: str) -> _Set:
    def add(container: _Container, node: Node) -> None:
        word, absolute, named = container.word, container.absolute, container.not_converted
        file_of = container.project.file_of
        container.each(
            section,
            listed(node),
            lambda item: container.arguments.append(mount_option(section, item, file_of, word, absolute, named)),
        )

    return add


def _namespace(option: str) -> _Set:
    return lambda container, node: container.add_namespace(option, node)


def _flag_option(option: str) -> _Set:
    def add(container: _Container, node: Node) -> None:
        container.arguments += [option] if flag(node) else []

    return add


_KEYS: Mapping[str, _Set] = {
    **{key: _option(option) for key, option in SCALARS.items()},
    **{key: _option_for_each(key, option) for key, option in LISTS.items()},
    **{key: _option_for_each_pair(key, option) for key, option in MAPS.items()},
    **{key: _flag_option(option) for key, option in FLAGS.items()},
    **{section: _mounted_files(section) for section in FOLDERS},
    "image": _Container.skip,
    "build": _Container.check_build,
    "command": _Container.set_command,
    "entrypoint": _Container.set_entrypoint,
    "container_name": _Container.set_container_name,
    "restart": _Container.set_restart,
    "pull_policy": _Container.set_pull_policy,
    "stdin_open": _Container.set_stdin_open,
    "environment": _Container.set_environment,
    "env_file": _Container.set_env_file,
    "ports": _Container.set_ports,
    "volumes": _Container.set_volumes,
    "depends_on": _Container.set_depends_on,
    "networks": _Container.set_networks,
    "network_mode": _namespace("--network"),
    "pid": _namespace("--pid"),
    "ipc": _namespace("--ipc"),
    "stop_grace_period": _Container.set_stop_grace_period,
    "extra_hosts": _Container.set_extra_hosts,
    "ulimits": _Container.set_ulimits,
    "deploy": _Container.set_deploy,
    "logging": _Container.set_logging,
    "healthcheck": _Container.set_healthcheck,
}
"""The function that sets each key."""
