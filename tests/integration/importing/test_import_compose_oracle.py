"""A service of a compose file creates the container that Debian 13's docker compose creates.

Both speak with a stand-in for docker's daemon, which keeps the requests.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.file_types import FileType
from rig.docker_stand_in import docker_stand_in
from rig.oracles import compose_command, docker_command
from support.importing.import_accounting import NAMES

pytestmark = pytest.mark.integration

CASES = {
    "image": "{image: x}",
    "words": "{image: x, command: [a, 'b c', $$HOME], entrypoint: /e 'f g', working_dir: /w, user: '1:2'}",
    "no-entrypoint": "{image: x, command: [ls], entrypoint: []}",
    "environment": "{image: x, environment: {A: b, a.b: c, DOCKER_HOST: 'tcp://192.0.2.1:1', HTTP_PROXY: h, N: 012}}",
    "networks": "{image: x, networks: {n: {aliases: [q], ipv4_address: 10.1.0.9}, m: {aliases: [r]}}}",
    "list-of-networks": "{image: x, networks: [m, n]}",
    "priority": "{image: x, networks: {m: {priority: 1}, n: {priority: 2}}}",
    "no-network": "{image: x, network_mode: none}",
    "ports": "{image: x, ports: ['80:80', '127.0.0.1:81:81/udp', 82, {target: 83, published: '84', mode: ingress}]}",
    "volumes": "{image: x, volumes: [/a, 'data:/b:ro', /etc:/c, {type: tmpfs, target: /t, tmpfs: {size: 1m}}]}",
    "binds": (
        "{image: x, volumes: [{type: bind, source: /s, target: /t, bind: {create_host_path: true}},"
        " {type: bind, source: /u, target: /v, read_only: true, bind: {create_host_path: false, propagation: rslave}},"
        " {type: volume, source: data, target: /w, volume: {nocopy: true}}]}"
    ),
    "limits": (
        "{image: x, mem_limit: 64m, cpus: 1.5, pids_limit: 9, shm_size: 1m, cpu_shares: 5, oom_score_adj: 7,"
        " ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}, deploy: {resources: {reservations: {memory: 32m}}}}"
    ),
    "rights": (
        "{image: x, cap_add: [NET_ADMIN], cap_drop: [ALL], privileged: true, read_only: true, init: true,"
        " security_opt: ['no-new-privileges:true'], group_add: [video], devices: ['/dev/null:/dev/n'],"
        " sysctls: {net.core.somaxconn: 9}, userns_mode: host, tmpfs: [/run]}"
    ),
    "names": (
        "{image: x, hostname: h, domainname: d, container_name: c, labels: {a: b}, extra_hosts: ['h:192.0.2.1'],"
        " dns: [192.0.2.2], dns_search: [e], dns_opt: [ndots:1]}"
    ),
    "logs": "{image: x, logging: {driver: json-file, options: {a: 1m}}, stop_signal: INT, stop_grace_period: 1m}",
    "health": "{image: x, healthcheck: {test: 'a | b', interval: 1m, timeout: 2s, retries: 3, start_period: 4s}}",
    "namespaces": "{image: x, pid: host, ipc: host, uts: host, cgroup: host, tty: true}",
}
NOT_COMPARED = frozenset({
    "AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce", "RestartPolicy", "AutoRemove", "ConsoleSize",
    "MemorySwappiness", "Binds", "Mounts", "Volumes", "NetworkingConfig", "Labels", "HostConfig",
})  # fmt: skip
"""Keys that are compared in another way, or that concern how a container is run."""
EMPTY: tuple[object, ...] = (None, "", 0, False, [], {})


def container(body: Mapping[str, object], name: str) -> dict[str, object]:
    """Return what a request means, whichever client made it."""
    host = body["HostConfig"]
    assert isinstance(host, dict)
    compared = {key: value for key, value in [*body.items(), *host.items()] if key not in NOT_COMPARED}
    made = {
        key: sorted(value, key=str) if isinstance(value, list) and key not in {"Cmd", "Entrypoint"} else value
        for key, value in without_empty(compared).items()
    }
    entrypoint = made.pop("Entrypoint", [])
    assert isinstance(entrypoint, list)
    if entrypoint and entrypoint != [""]:  # docker run has one word for it, and the others before the command
        command = made.pop("Cmd", [])
        assert isinstance(command, list)
        made["argv"] = [*entrypoint, *command]
    made["clears the entrypoint"] = body["Entrypoint"] in ([], [""])
    labels = body["Labels"] or {}
    assert isinstance(labels, dict)
    made["labels"] = {key: text for key, text in labels.items() if not key.startswith("com.docker.compose.")}
    made["volumes"] = sorted(map(str, volumes(body, host)))
    config = body.get("NetworkingConfig") or {}
    assert isinstance(config, dict)
    made["networks"] = {
        network: (
            sorted({*(endpoint["Aliases"] or ())} - {name}),
            (endpoint["IPAMConfig"] or {}).get("IPv4Address"),
        )
        for network, endpoint in (config.get("EndpointsConfig") or {}).items()
        if network not in {"none", "default"}
    }
    return made


def without_empty(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values that are set, at all depths."""
    kept = {key: without_empty(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in kept.items() if value not in EMPTY}


def volumes(body: Mapping[str, object], host: Mapping[str, object]) -> list[tuple[object, ...]]:
    """Return source, target and modes of each volume, however it is written."""
    mounts = host.get("Mounts") or []
    assert isinstance(mounts, list)
    made: list[tuple[object, ...]] = [
        (
            mount.get("Source", ""),
            mount["Target"],
            "ro" * mount.get("ReadOnly", False),
            (mount.get("BindOptions") or {}).get("Propagation", ""),
            "nocopy" * (mount.get("VolumeOptions") or {}).get("NoCopy", False),
            str((mount.get("TmpfsOptions") or {}).get("SizeBytes", "")),
        )
        for mount in mounts
    ]
    binds, alone = host.get("Binds") or [], body.get("Volumes") or {}
    assert isinstance(binds, list)
    assert isinstance(alone, dict)
    for bind in binds:
        source, target, *modes = bind.split(":")
        made.append((source, target, "ro" * ("ro" in ",".join(modes).split(",")), "", "", ""))
    targets = {volume[1] for volume in made}
    return made + [("", target, "", "", "", "") for target in alone if target not in targets]


@pytest.fixture(scope="session")
def docker(rig: None) -> tuple[str, ...]:
    """Return the command that runs docker."""
    return docker_command()


@pytest.fixture(scope="session")
def compose(rig: None) -> tuple[str, ...]:
    """Return the command that runs docker compose."""
    return compose_command()


@pytest.mark.parametrize("case", CASES)
def test_the_container_is_that_of_compose(
    case: str, docker: tuple[str, ...], compose: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "p" / "compose.yaml"
    file.parent.mkdir()
    networks = "networks: {m: {}, n: {ipam: {config: [{subnet: 10.1.0.0/16}]}}}\nvolumes: {data: {}}\n"
    file.write_text(f"services:\n  a: {CASES[case]}\n{networks}")
    with docker_stand_in() as (host, wanted):
        environment = {"DOCKER_HOST": host, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        subprocess.run([*compose, "-f", file, "up", "--no-start"], env=environment, check=True)
    draft = DocumentDraft()
    file_types.convert([InputFile(path=str(file), data=file.read_bytes())], NAMES, draft, FileType.COMPOSE)
    schema_filter.remove_invalid(draft)
    entry = draft.entries("services")["a"]
    assert isinstance(entry, dict)
    variables, words = entry.get("environment", {}), entry["command"]
    assert isinstance(variables, dict)
    assert isinstance(words, list)
    _, run, remove, *options = map(str, words)
    assert (run, remove) == ("run", "--rm")
    with docker_stand_in() as (host, made):
        environment = {"DOCKER_HOST": host, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        environment |= {name: str(value) for name, value in variables.items()}
        subprocess.run([*docker, "create", *options], env=environment, check=True)

    assert {name: container(body, name) for name, body in made.items()} == {
        name: container(body, name) for name, body in wanted.items()
    }
    assert [problem.what for problem in draft.problems if "no service of this import uses it" not in problem.what] == []
