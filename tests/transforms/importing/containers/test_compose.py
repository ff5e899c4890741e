"""Compose files become services with the meaning that the Compose specification gives them."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.names import Names
from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.model import Branch


def convert(text: str) -> tuple[dict[str, Plain], list[str]]:
    """Return the services of a compose file in the directory `p`, and the problems."""
    draft = DocumentDraft()
    file_types.convert([InputFile(path="p/compose.yaml", data=text.encode())], Names(tree=Branch()), draft)
    schema_filter.remove_invalid(draft)
    return {**draft.entries("services")}, [problem.what for problem in draft.problems]


def entry(keys: str) -> tuple[dict[str, Plain], list[str]]:
    services, problems = convert(f"services: {{a: {{image: x, {keys}}}}}\n")
    made = services["a"]
    assert isinstance(made, dict)
    return made, problems


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ('environment: ["A=1", "B=${C}", "D=2"]', ["--env=A", "--env=D"]),
        ('environment: {A: 1, B: "${C}", D: 2}', ["--env=A", "--env=D"]),
        ('ports: ["1:1", "${C}:2", "3:3"]', ["--publish=1:1", "--publish=3:3"]),
        ('networks: {n: {aliases: ["${A}", b]}}', ["--network-alias=b"]),
        ('healthcheck: {interval: "${A}", retries: 3}', ["--health-retries=3"]),
    ],
)
def test_one_bad_item_costs_that_item(keys: str, kept: list[str]) -> None:
    made, problems = entry(keys)

    assert isinstance(made["command"], list)
    assert set(kept) <= {*made["command"]}
    assert len(problems) == 1
    assert "has a variable" in problems[0]


def test_a_terminal_has_no_input() -> None:
    made, problems = entry("tty: true, stdin_open: true")

    assert isinstance(made["command"], list)
    assert "--tty" in made["command"]
    assert "--interactive" not in made["command"]
    assert len(problems) == 1


@pytest.mark.parametrize(("key", "option"), [("network_mode", "network"), ("pid", "pid"), ("ipc", "ipc")])
def test_the_namespace_of_a_service_is_that_of_its_container_name(key: str, option: str) -> None:
    text = f"services: {{a: {{image: x, container_name: c}}, b: {{image: x, depends_on: [a], {key}: 'service:a'}}}}\n"
    services, problems = convert(text)

    assert isinstance(b := services["b"], dict)
    assert isinstance(b["command"], list)
    assert f"--{option}=container:c" in b["command"]
    assert b["requires"] == ["docker", "a"]
    assert not problems


@pytest.mark.parametrize(
    ("keys", "word", "problems"),
    [
        ("pull_policy: if_not_present", "--pull=missing", 0),
        ("pull_policy: daily", "x", 1),
        ("env_file: [{path: /x, required: false}, /y]", "--env-file=/y", 1),
        ("ports: [{target: 1, mode: host}]", "--publish=1", 1),
        ("deploy: {labels: {a: b}, mode: replicated}", "x", 2),
        ("deploy: {replicas: 2, resources: {limits: {memory: 1g, cpus: 2}}}", "--memory=1g", 1),
        ("networks: {n: {ipv4_address: 10.0.0.9}}", "--ip=10.0.0.9", 0),
        ("networks: {n: {ipv4_address: 10.0.0.9}, m: {}}", "--network=name=p_n,alias=a,ip=10.0.0.9", 0),
        ("networks: {n: {ipv4_address: 10.0.0.9}, m: {}}", "--network=p_m", 0),
        ("networks: {n: {aliases: [q]}, m: {aliases: [r]}}", "--network=name=p_n,alias=a,alias=q", 0),
        ("networks: {n: {aliases: [q]}, m: {aliases: [r]}}", "--network-alias=r", 0),
        ("networks: [n, m]", "--network=name=p_n,alias=a", 0),
        ("networks: {Big: {}, m: {}}", "--network=p_Big", 0),
        ("networks: {Big: {}, m: {}}", "--network=name=p_m,alias=a", 0),
        ("networks: {Big: {}, Large: {aliases: [q]}}", "--network=p_Large", 2),
        ("networks: {n: {driver_opts: {o: X}}}", "--network=name=p_n,alias=a", 1),
        ("networks: {n: {driver_opts: {o: 'x,y'}, interface_name: e0}}",
         '--network=name=p_n,alias=a,"driver-opt=o=x,y",driver-opt=com.docker.network.endpoint.ifname=e0', 0),
        ("networks: {n: {gw_priority: 1, link_local_ips: [169.254.1.1], shape: round}}",
         "--network=name=p_n,alias=a,gw-priority=1,link-local-ip=169.254.1.1", 1),
        ("extra_hosts: [a=1.1.1.1, 'b:::1', c]", "--add-host=b:::1", 1),
        ("logging: {driver: journald, options: {tag: x}, colour: red}", "--log-opt=tag=x", 1),
        ("secrets: [s]", "x", 1),
        ("healthcheck: {test: []}", "x", 1),
        ("healthcheck: {test: [CMD-SHELL]}", "x", 1),
        ("healthcheck: {test: [NONE]}", "--no-healthcheck", 0),
        ("healthcheck: {test: [CMD, a, b c]}", "--health-cmd=a 'b c'", 1),
        ("healthcheck: {test: [CMD, /bin/sh, -c, b c]}", "--health-cmd=/bin/sh -c 'b c'", 0),
        ("volumes: [{type: bind, source: /s, target: /t, read_only: yes}]",
         "--volume=/s:/t:ro", 0),
        ("volumes: [{type: bind, source: /s, target: /t, bind: {create_host_path: true, selinux: Z}}]",
         "--volume=/s:/t:Z", 0),
        ("volumes: [{type: bind, source: /s, target: /t, read_only: yes, bind: {create_host_path: false}}]",
         "--mount=type=bind,source=/s,target=/t,readonly", 0),
        ("volumes: [{type: bind, source: /s, target: /t, bind: {create_host_path: false, selinux: z}}]",
         "--mount=type=bind,source=/s,target=/t", 1),
        ("volumes: [{type: bind, source: '/s:s', target: /t, bind: {propagation: rslave}}]",
         "--mount=type=bind,source=/s:s,target=/t,bind-propagation=rslave", 0),
        ("volumes: [{type: bind, source: /s, target: /t, volume: {nocopy: true}}]", "--volume=/s:/t", 1),
        ("volumes: [{type: volume, source: s, target: /t, volume: {}, consistency: cached}]",
         "--mount=type=volume,source=p_s,target=/t", 0),
        ("volumes: [{type: volume, source: s, target: /t, volume: {nocopy: true, subpath: d}}]",
         "--mount=type=volume,source=p_s,target=/t,volume-nocopy,volume-subpath=d", 0),
        ("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 755}}]",
         "--mount=type=tmpfs,target=/t,tmpfs-size=1m", 1),
        ("ports: [{target: 1, mode: ingress, app_protocol: http}]", "--publish=1", 0),
        ("environment: {a.b: c}", "--env=a.b=c", 0),
        ("environment: {DOCKER_HOST: 'tcp://socket:1', HOME: /x}", "--env=DOCKER_HOST=tcp://socket:1", 0),
        ("environment: {http_proxy: 'http://p:1'}", "--env=http_proxy=http://p:1", 0),
        ("entrypoint: [], command: ls /", "--entrypoint=", 0),
        ("entrypoint: '', command: ls /", "--entrypoint=", 0),
        ("entrypoint: []", "x", 1),
        ("entrypoint: null", "x", 0),
    ],
)  # fmt: skip
def test_values_have_the_meaning_of_compose(keys: str, word: str, problems: int) -> None:
    made, named = entry(keys)

    assert isinstance(made["command"], list)
    assert word in made["command"]
    assert "--env-file=/x" not in made["command"]
    assert len(named) == problems


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("012", "10"),
        ("1e3", "1000"),
        ("3.10", "3.1"),
        ("1_000", "1000"),
        ("0x1F", "31"),
        ("yes", "yes"),
        ("True", "true"),
        ("1.2.3", "1.2.3"),
        ("'012'", "012"),
    ],
)
def test_a_number_in_a_map_is_read_as_compose_reads_it(written: str, value: str) -> None:
    made, _ = entry(f"environment: {{A: {written}}}, labels: {{b: {written}}}")

    assert made["environment"] == {"A": value}
    assert isinstance(made["command"], list)
    assert f"--label=b={value}" in made["command"]


def test_a_number_in_a_list_of_variables_is_text() -> None:
    assert entry('environment: ["A=012"]')[0]["environment"] == {"A": "012"}


def test_relative_paths_are_those_beside_an_absolute_compose_file() -> None:
    draft = DocumentDraft()
    text = "services: {a: {image: x, volumes: ['./data:/d', '~/x:/x'], env_file: .env}}\n"
    file_types.convert([InputFile(path="/srv/p/compose.yaml", data=text.encode())], Names(tree=Branch()), draft)

    assert isinstance(made := draft.entries("services")["a"], dict)
    assert isinstance(made["command"], list)
    assert {"--volume=/srv/p/data:/d", "--env-file=/srv/p/.env"} <= {*made["command"]}
    assert [problem.what for problem in draft.problems] == ["service a: volumes: '~/x' is in somebody's home directory"]


def test_merge_keys_and_anchors_are_resolved() -> None:
    text = "x-all: &all {restart: 'no', user: '1'}\nservices: {a: {<<: *all, image: x, user: '2'}}\n"
    services, problems = convert(text)

    assert isinstance(made := services["a"], dict)
    assert isinstance(made["command"], list)
    assert made["restart"] == "no"
    assert "--user=2" in made["command"]
    assert not problems


def test_an_external_network_is_not_created() -> None:
    text = "services: {a: {image: x, networks: [back]}}\nnetworks: {back: {external: true, name: realback}}\n"
    services, problems = convert(text)

    assert "network create" not in str(services["a"])
    assert "--network=realback" in str(services["a"])
    assert not problems


def before(text: str) -> tuple[list[str], list[str]]:
    """Return the commands before the start of the service `a`, without the first, and the problems."""
    services, problems = convert(text)
    made = services["a"]
    assert isinstance(made, dict)
    assert isinstance(made["systemd"], dict)
    commands = made["systemd"]["Service"]["ExecStartPre"]  # type: ignore[index,call-overload]
    assert isinstance(commands, list)
    return [str(command) for command in commands[1:]], problems


@pytest.mark.parametrize(
    ("keys", "arguments", "problems"),
    [
        ("driver: macvlan, driver_opts: {parent: eth0, mtu: 1_400}",
         "--driver=macvlan --opt=parent=eth0 --opt=mtu=1400", 0),
        ("internal: true, attachable: yes, enable_ipv6: true", "--internal --attachable --ipv6", 0),
        ("internal: false, ipam: {}", "", 0),
        ("ipam: {config: [{subnet: 172.20.0.0/24, gateway: 172.20.0.1, ip_range: 172.20.0.128/25}]}",
         "--subnet=172.20.0.0/24 --gateway=172.20.0.1 --ip-range=172.20.0.128/25", 0),
        ("ipam: {driver: default, options: {a: b}, config: [{aux_addresses: {h: 172.20.0.9}}]}",
         "--ipam-opt=a=b --aux-address=h=172.20.0.9", 0),
        ("labels: [a=b, 'c=d e']", '--label=a=b "--label=c=d e"', 0),
        ("labels: {a: '${B}', c: 100%}", "--label=c=100%%", 1),
        ("ipam: {config: [{shape: round}], x: y}, colour: red", "", 3),
        ("internal: perhaps", "", 1),
    ],
)  # fmt: skip
def test_a_network_is_made_with_its_options(keys: str, arguments: str, problems: int) -> None:
    made, named = before(f"services: {{a: {{image: x, networks: [n]}}}}\nnetworks: {{n: {{{keys}}}}}\n")

    assert made == [f"-/usr/bin/docker network create {arguments}{' ' if arguments else ''}p_n"]
    assert len(named) == problems


def test_a_volume_with_options_is_made_before_its_containers_and_another_by_docker() -> None:
    text = (
        "services: {a: {image: x, volumes: ['v:/v', 'w:/w', {type: volume, source: e, target: /e}]}}\n"
        "volumes: {v: {driver_opts: {type: nfs, o: 'addr=10.0.0.1,rw', device: ':/srv'}}, w: {}, e: {external: true}}\n"
    )
    made, problems = before(text)

    assert made == [
        "-/usr/bin/docker volume create --opt=type=nfs --opt=o=addr=10.0.0.1,rw --opt=device=:/srv p_v",
        "/usr/bin/docker volume inspect e",
        "-/usr/bin/docker network create p_default",
    ]
    assert problems == []


def test_a_service_with_a_profile_is_named() -> None:
    services, problems = convert("services: {a: {image: x}, b: {image: x, profiles: [debug]}}\n")

    assert set(services) == {"a"}
    assert problems == ["service b: Compose starts it only with its profile"]


def test_the_first_of_several_networks_is_that_with_the_highest_priority() -> None:
    made, problems = entry("networks: {b: {priority: 1}, c: {priority: 9}, a: {}}")

    assert isinstance(made["command"], list)
    networks = [str(word) for word in made["command"] if str(word).startswith("--network")]
    assert [word.partition(",")[0] for word in networks if "alias=" not in word.partition(",")[0]] == [
        "--network=p_c",
        "--network=name=p_b",
        "--network=name=p_a",
    ]
    assert problems == []


def test_the_variables_of_docker_itself_stay_its_own() -> None:
    """With DOCKER_HOST in its environment docker would ask another daemon to run the container."""
    made, _ = entry("environment: {DOCKER_HOST: 'tcp://socket:1', LD_PRELOAD: /l.so, A: b}")

    assert made["environment"] == {"A": "b"}


@pytest.mark.parametrize(("times", "limited"), [(":3", True), (":0", False), ("", False)])
def test_a_number_of_restarts_is_a_limit_in_a_time_and_named(times: str, limited: bool) -> None:
    made, problems = entry(f"restart: 'on-failure{times}'")

    assert made["start-limit"] == ({"burst": 4} if limited else {"interval": "0"})
    assert [problem for problem in problems if "only counts the restarts" in problem] == problems
    assert len(problems) == limited


@pytest.mark.parametrize(
    ("keys", "restart", "burst", "problems"),
    [
        ("deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}", "on-failure", 4, 1),
        ("deploy: {restart_policy: {condition: none}}", "no", None, 0),
        ("deploy: {restart_policy: {}}", "always", None, 0),
        ("deploy: {restart_policy: {condition: any, max_attempts: 3, delay: 5s, window: 1m}}", "always", None, 3),
        ("restart: 'no', deploy: {restart_policy: {condition: any}}", "always", None, 1),
        ("restart: always, deploy: {resources: {}}", "always", None, 0),
    ],
)
def test_the_policy_of_deploy_overrides_that_of_the_service(
    keys: str, restart: str, burst: int | None, problems: int
) -> None:
    made, named = entry(keys)

    limit = made.get("start-limit", {})
    assert isinstance(limit, dict)
    assert (made["restart"], limit.get("burst")) == (restart, burst)
    assert len(named) == problems


@pytest.mark.parametrize(
    ("top", "hint"), [("include: [other.yaml]", "docker compose config"), ("secrets: {s: {file: s}}", "remove it")]
)
def test_a_key_at_the_top_has_the_remedy_for_it(top: str, hint: str) -> None:
    draft = DocumentDraft()
    data = f"services: {{a: {{image: x}}}}\n{top}\n".encode()
    file_types.convert([InputFile(path="p/compose.yaml", data=data)], Names(tree=Branch()), draft)

    assert [hint in problem.hint for problem in draft.problems] == [True]


def test_an_object_that_no_service_uses_is_named_with_each_option() -> None:
    _, problems = convert("services: {a: {image: x}}\nvolumes: {v: {name: w, driver: d, labels: {a: b}}}\n")

    assert problems == [
        "volumes/v: driver, because no service of this import uses it",
        "volumes/v: labels, because no service of this import uses it",
    ]


def test_a_restart_has_no_limit_and_a_delay() -> None:
    made, problems = entry("restart: always")

    assert (made["restart"], made["restart-delay"], made["start-limit"]) == ("always", "5s", {"interval": "0"})
    assert not problems


def test_secrets_and_configs_that_are_files_are_mounted() -> None:
    draft = DocumentDraft()
    data = b"""\
name: p
services:
  a:
    image: x
    secrets: [db, {source: key, target: /etc/key, mode: 0400}, token]
    configs: [{source: app, target: app.conf}]
secrets: {db: {file: ./db.txt}, key: {file: /srv/key, name: k}, token: {environment: TOKEN}}
configs: {app: {file: ../app.conf}, more: {content: hello}}
"""
    file_types.convert([InputFile(path="/srv/p/compose.yaml", data=data)], Names(tree=Branch()), draft)

    made = draft.entries("services")["a"]
    assert isinstance(made, dict)
    command = made["command"]
    assert isinstance(command, list)
    assert [word for word in command if str(word).startswith("--volume=")] == [
        "--volume=/srv/p/db.txt:/run/secrets/db:ro",
        "--volume=/srv/key:/etc/key:ro",
        "--volume=/srv/app.conf:/app.conf:ro",
    ]
    assert [(problem.where.line, problem.what) for problem in draft.problems] == [
        (5, "service a: secrets: mode of key"),
        (5, "service a: secrets: token is not a file at the top of the compose file"),
        (7, "secrets/key: name"),
        (7, "secrets/token: it is not a file"),
        (8, "configs/more, because no service of this import uses it"),
    ]
