"""No importer drops a part of its input in silence: see `support.importing.import_accounting`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ordain.transforms.importing.containers import compose_container, quadlet, quadlet_objects
from ordain.transforms.importing.draft.document_draft import InputFile
from ordain.transforms.importing.file_types import FileType
from support.importing.import_accounting import dropped_from_yaml, dropped_lines
from support.samples.encode_samples import TAKEN

SAMPLES = Path(__file__).parents[2] / "imports"
ACCOUNTED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

YAML_SAMPLES = {
    "cloud/input/user-data": (
        FileType.CLOUD,
        {
            "hostname: web-1": "fqdn gives the same name",
            "mounts/0/4: 0": "the default: not dumped",
            "mounts/0/5: 0": "not checked, as without the field",
            "swap/filename: /swap.img": "the default",
            "network/version: 2": "the default",
        },
    ),
    "network-v1/input/network-config": (
        FileType.CLOUD,
        {
            "version: 1": "`config` is a list only in version 1",
            "config/0/subnets/1/netmask: 255.255.255.0": "the default",
            "config/0/subnets/1/broadcast: 10.0.0.255": "it follows from the address",
        },
    ),
    "ignition/input/web.bu": (
        FileType.IGNITION,
        {
            "variant: fcos": "the documents are the same for all",
            "version: 1.5.0": "the keys are the same in all",
            "storage/files/0/overwrite: true": "a file of a document replaces the one of the machine",
        },
    ),
    "netplan/input/60-site.yaml": (FileType.NETPLAN, {"network/version: 2": "the default"}),
    "compose/input/shop/docker-compose.yml": (
        FileType.COMPOSE,
        {
            "version: 3.8": "Compose ignores it",
        },
    ),
}
"""Files of golden cases, and the leaves that have no effect, with the reason."""


@pytest.mark.parametrize("name", YAML_SAMPLES)
def test_no_leaf_of_a_yaml_sample_is_dropped(name: str) -> None:
    kind, without_effect = YAML_SAMPLES[name]

    dropped = [*dropped_from_yaml(name, (SAMPLES / name).read_text(), kind)]

    assert dropped == [*without_effect]


LINE_SAMPLES = {
    "quadlet": [],
    "fstab": [],
    "drop-ins": [],
    "kernel": [],
    "own-service": [
        "db.service:4: ConditionPathExists=/etc/shop/db",  # reset in line 5
        "db.service:9: ExecStart=-/usr/bin/shop-db --dir=${STATE_DIRECTORY} --name=%n",
        "db.service:14: Environment=A=b",
        "db.service:16: CapabilityBoundingSet=CAP_CHOWN",
    ],
}


@pytest.mark.parametrize("name", LINE_SAMPLES)
def test_no_line_of_a_sample_is_dropped(name: str) -> None:
    folder = SAMPLES / name / "input"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [InputFile(path=str(path.relative_to(folder)), data=path.read_bytes()) for path in paths]

    assert [*dropped_lines(files)] == LINE_SAMPLES[name]


# Generated input: every key that the program knows, with values of every type

WORDS = st.sampled_from(["a", "/b", "10.0.0.1/24", "x=y", "c:/d", "", "1h", "${V}", "e f"])
SCALARS = st.one_of(WORDS, st.just(True), st.integers(1, 70000), st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["k", "name", "path"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def maps(keys: dict[str, st.SearchStrategy[object]], *, most: int = 4) -> st.SearchStrategy[dict[str, object]]:
    """Return a strategy for maps with some of ``keys``."""
    chosen = st.lists(st.sampled_from(sorted(keys)), max_size=most, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: keys[name] | VALUES for name in names}))


def list_of(keys: dict[str, st.SearchStrategy[object]], **always: object) -> st.SearchStrategy[object]:
    return st.lists(maps(keys).map(lambda entry: {**always, **entry}), min_size=1, max_size=2)


any_of = dict.fromkeys
CLOUD = {
    "users": list_of(
        any_of(
            "uid gecos homedir primary_group groups selinux_user lock_passwd inactive expiredate passwd hashed_passwd "
            "plain_text_passwd no_create_home no_user_group no_log_init ssh_authorized_keys ssh-import-id sudo doas "
            "shell system create_groups snapuser nonsense".split(),
            VALUES,
        ),
        name="ops",
    ),
    "groups": st.one_of(st.just([{"g": ["ops", "root"]}, "h"]), st.just("g, h"), st.just({"g": "ops"})),
    "write_files": list_of(
        any_of("content encoding permissions owner append source defer nonsense".split(), VALUES), path="/etc/x"
    ),
    "runcmd": st.lists(st.one_of(WORDS, st.lists(SCALARS, min_size=1, max_size=3)), max_size=3),
    "bootcmd": st.lists(st.just(["cloud-init-per", "once", "n"]) | st.just("cloud-init-per x") | WORDS, max_size=3),
    "ntp": maps(any_of("servers pools enabled ntp_client config nonsense".split(), st.just(["a", "b"]))),
    "mounts": st.lists(st.lists(WORDS, max_size=6), max_size=3),
    "swap": maps(any_of("filename size maxsize nonsense".split(), VALUES)),
    "keyboard": maps(any_of("layout model variant options".split(), WORDS)),
    "network": maps(
        {
            "config": list_of(
                any_of(
                    "mac_address mtu subnets accept-ra params bond_interfaces bridge_interfaces vlan_id vlan_link "
                    "address search interface destination netmask gateway metric nonsense".split(),
                    VALUES,
                ),
                type="physical",
                name="eth0",
            ),
            "ethernets": st.dictionaries(st.just("eth0"), maps(any_of(["dhcp4", "addresses", "mtu", "x"], VALUES))),
        }
    ),
    **any_of(
        "hostname timezone locale device_aliases packages apt chpasswd ssh_pwauth power_state "
        "disk_setup growpart ca_certs manage_etc_hosts resolv_conf snap user password nonsense merge_how".split(),
        VALUES,
    ),
}  # fmt: skip
COMPOSE = {
    **any_of([*compose_container._KEYS, "deploy", "configs", "secrets", "develop", "nonsense"], VALUES),
    "environment": st.lists(WORDS, max_size=3) | st.dictionaries(st.sampled_from(["A", "B-C"]), SCALARS, max_size=2),
    "healthcheck": maps(
        any_of("test interval timeout retries start_period start_interval disable nonsense".split(), SCALARS)
    ),
    "volumes": list_of(any_of("source target read_only bind tmpfs consistency nonsense".split(), VALUES), type="bind"),
    # Not `name` and `app_protocol`: they only describe a port, docker ignores them, and the import says nothing.
    "ports": list_of(any_of("host_ip published protocol mode nonsense".split(), SCALARS), target=1),
    "logging": maps(any_of(["driver", "options", "nonsense"], VALUES)),
    "ulimits": maps({"nofile": maps(any_of(["soft", "hard", "nonsense"], SCALARS))}),
    "networks": st.fixed_dictionaries({"n": maps(any_of("aliases ipv4_address priority nonsense".split(), VALUES))}),
    "depends_on": st.fixed_dictionaries({"b": maps(any_of("condition restart nonsense".split(), SCALARS))}),
}  # fmt: skip
OBJECTS = st.fixed_dictionaries({"n": maps(any_of(["driver", "labels"], WORDS))})
COMPOSE_FILES = st.builds(
    lambda keys, top, objects: {"services": {"a": {"image": "x", **keys}, "b": {"image": "y"}}, **top, **objects},
    maps(COMPOSE),
    maps(any_of(["configs", "secrets", "name", "include", "nonsense"], VALUES), most=1),
    st.fixed_dictionaries({}, optional={"volumes": OBJECTS, "networks": OBJECTS}),
)


@ACCOUNTED
@given(config=maps(CLOUD, most=3))
@example(config={"ntp": {"enabled": True}})
def test_no_leaf_of_any_cloud_config_is_dropped(config: object) -> None:
    assert [*dropped_from_yaml("user-data", yaml.safe_dump(config), FileType.CLOUD)] == []


@ACCOUNTED
@given(config=COMPOSE_FILES)
def test_no_leaf_of_any_compose_file_is_dropped(config: object) -> None:
    assert [*dropped_from_yaml("p/compose.yaml", yaml.safe_dump(config), FileType.COMPOSE)] == []


QUADLET_DEFAULTS = {("NotifyAccess", "all"), ("KillMode", "mixed"), ("Type", "notify"), ("Delegate", "yes")}
QUADLET_KEYS = sorted({*quadlet._KEYS, "Nonsense"} - {"Image"})
QUADLET_LINES = st.one_of(
    st.builds("{}={}".format, st.sampled_from(QUADLET_KEYS), st.sampled_from(["a", "yes", "/a:/b", "a.volume:/c"])),
    st.sampled_from(
        [
            f"[{section}]\n{key}={text}"
            for section, key, _, text in TAKEN
            if section in {"Unit", "Service"} and (key, text) not in QUADLET_DEFAULTS
        ]
    ),
    st.sampled_from(["[Quadlet]\nDefaultDependencies=no", "[Quadlet]\nNonsense=1", "[X-Mine]\nA=b"]),
)  # fmt: skip


@ACCOUNTED
@given(
    lines=st.lists(QUADLET_LINES, min_size=1, max_size=5, unique_by=lambda line: line.split("\n")[-1].partition("=")[0])
)
def test_no_line_of_any_quadlet_is_dropped(lines: list[str]) -> None:
    container = [line for line in lines if not line.startswith("[")]
    others = [line for line in lines if line.startswith("[")]
    text = "\n".join(["[Container]", "Image=i", *container, *others, "[Install]", "WantedBy=multi-user.target"])

    assert [*dropped_lines([InputFile(path="q.container", data=text.encode())])] == []


OBJECT_KEYS = sorted(
    {*quadlet_objects.SUBNET, *quadlet_objects.DEVICE, "Copy", "PodmanArgs", "GlobalArgs", "ServiceName", "Nonsense"}
    | {key for table in (quadlet_objects.OPTIONS, quadlet_objects.WORDS) for keys in table.values() for key in keys}
    | {*quadlet_objects.FLAGS["network"], *quadlet_objects.LISTS["network"], "NetworkName", "VolumeName"}
)


@ACCOUNTED
@given(
    keys=st.lists(st.sampled_from(OBJECT_KEYS), min_size=1, max_size=5, unique=True),
    value=st.sampled_from(["a", "yes", "image"]),
    kind=st.sampled_from(["network", "volume"]),
)
def test_no_line_of_any_object_is_dropped(keys: list[str], value: str, kind: str) -> None:
    container = f"[Container]\nImage=i\n{kind.capitalize()}=n.{kind}{':/x' if kind == 'volume' else ''}\n"
    lines = "\n".join([f"[{kind.capitalize()}]", *(f"{key}={value}" for key in keys), "[Unit]", "Description=x"])
    files = [InputFile(path="q.container", data=container.encode()), InputFile(path=f"n.{kind}", data=lines.encode())]

    assert [*dropped_lines(files)] == []


FSTAB_OPTIONS = st.sampled_from(
    "ro rw noexec nofail noauto auto defaults user bg _netdev pri=5 size=1G x-systemd.automount x-systemd.growfs "
    "x-systemd.requires=/x x-systemd.mount-timeout=5 x-initrd.mount comment=x x-mine=1 discard".split()
)
FSTAB_LINES = st.builds(
    lambda *fields: " ".join(fields),
    st.sampled_from(["/dev/sda1", "UUID=1", "tmpfs", "a:/b", "/swap"]),
    st.sampled_from(["/srv/a", "/srv/b", "none", "/proc", "/", "relative"]),
    st.sampled_from(["ext4", "swap", "tmpfs", "nfs", "auto", "ignore"]),
    st.lists(FSTAB_OPTIONS, min_size=1, max_size=4, unique=True).map(",".join),
    st.sampled_from(["0", "1"]),
    st.sampled_from(["0", "2"]),
)


@ACCOUNTED
@given(lines=st.lists(FSTAB_LINES, min_size=1, max_size=4))
def test_no_line_of_any_fstab_is_dropped(lines: list[str]) -> None:
    assert [*dropped_lines([InputFile(path="fstab", data="\n".join(lines).encode())])] == []
