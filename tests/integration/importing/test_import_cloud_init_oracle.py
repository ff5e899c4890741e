"""cloud-config becomes what the functions of Debian 13's cloud-init make of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.importing.file_types import FileType
from rig.oracles import cloud_init_answers, cloud_init_tree
from support.importing.import_accounting import NAMES

pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def cloud_init(rig: None) -> Path:
    """Return a tree with cloud-init."""
    return cloud_init_tree()


# Later versions of cloud-init also have a metric of a subnet and keep_configuration: tests/imports/network-v1.


def convert(config: str) -> tuple[dict[str, dict[str, Plain]], list[str]]:
    draft = DocumentDraft()
    file_types.convert([InputFile(path="user-data", data=config.encode())], NAMES, draft, FileType.CLOUD)
    schema_filter.remove_invalid(draft)
    return draft.sections, [problem.what for problem in draft.problems]


NETWORKS = {
    "dhcp": "{type: physical, name: eth0, subnets: [{type: dhcp}, {type: dhcp6}]}",
    "static": "{type: physical, name: eth0, mac_address: 'AA:BB:CC:00:11:22', mtu: 9000, subnets: [{type: static, "
    "address: 10.0.0.5, netmask: 255.255.252.0, gateway: 10.0.0.1, dns_nameservers: [1.1.1.1, 8.8.8.8], "
    "dns_search: 'a.example b.example'}, {type: static6, address: '2001:db8::5/64', gateway: 'fe80::1', mtu: 1400}]}",
    "far gateway": "{type: physical, name: eth0, subnets: [{type: static, address: 10.0.0.5/32, gateway: 10.9.0.1}]}",
    "routes": "{type: physical, name: eth0, subnets: [{type: static, address: 10.0.0.5/24, routes: ["
    "{network: 192.168.0.0, netmask: 255.255.0.0, gateway: 10.0.0.2}, "
    "{destination: 172.16.0.0/12, gateway: 10.0.0.3, metric: 9}]}]}",
    "slaac": "{type: physical, name: eth0, accept-ra: true, subnets: [{type: ipv6_slaac}]}",
    "manual": "{type: physical, name: eth0, subnets: [{type: manual}]}",
    "bond": "{type: physical, name: eth0}, {type: physical, name: eth1}, {type: bond, name: bond0, mac_address: "
    "'aa:bb:cc:00:11:22', bond_interfaces: [eth0, eth1], params: {bond-mode: active-backup, bond_miimon: 100, "
    "bond-updelay: 200, bond-primary: eth0, bond-xmit-hash-policy: layer3+4}, subnets: [{type: dhcp4}]}",
    "bridge": "{type: physical, name: eth0}, {type: bridge, name: br0, bridge_interfaces: [eth0], params: "
    "{bridge_stp: 'off', bridge_fd: 4, bridge_ageing: 250, bridge_bridgeprio: 22, bridge_pathcost: [eth0 50], "
    "bridge_portprio: [eth0 28]}, subnets: [{type: dhcp4}]}",
    "vlan": "{type: physical, name: eth0}, {type: vlan, name: eth0.10, vlan_link: eth0, vlan_id: 10, mtu: 1400, "
    "subnets: [{type: static, address: 10.0.0.5/24}]}",
    "names": "{type: physical, name: eth0, subnets: [{type: static, address: 10.0.0.5/24}]}, "
    "{type: physical, name: eth1, subnets: [{type: static, address: 10.1.0.5/24, dns_nameservers: [9.9.9.9]}]}, "
    "{type: nameserver, address: [1.1.1.1, 8.8.8.8], search: [example.com]}",
}


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network_of_version_1_is_that_of_cloud_init(case: str, cloud_init: Path) -> None:
    config = f"network: {{version: 1, config: [{NETWORKS[case]}]}}\n"
    sections, problems = convert(config)

    theirs = cloud_init_answers(cloud_init, config)["network"]

    assert isinstance(theirs, dict)
    assert sections["network"] == {key: value for key, value in theirs.items() if key != "version"}
    assert not problems


@pytest.mark.parametrize("mode", ["'0644'", "0600", "0o600", "'755'", "420", "600", "'0o640'"])
def test_a_mode_is_that_of_cloud_init(mode: str, cloud_init: Path) -> None:
    config = f"write_files: [{{path: /a, content: x, permissions: {mode}}}]\n"

    assert convert(config)[0]["files"] == cloud_init_answers(cloud_init, config)["files"]


COMMANDS = [
    "[echo a, [printf, '%s|', a b, yes, no, 0644, 1_000, 1:30, 1.10, 2001-01-01, null, on], 'exit 3', echo no]",
    '[\'cd /usr\', pwd, "x=\'a b\'; echo \\"$x\\"", [echo, "it\'s"]]',
    "['for i in 1 2; do\n\n  echo $i\n\ndone', null, [echo]]",
]


@pytest.mark.parametrize("commands", COMMANDS)
def test_commands_print_and_return_the_same_as_with_cloud_init(commands: str, cloud_init: Path) -> None:
    config = f"runcmd: {commands}\n"
    sections, problems = convert(config)
    entry = sections["services"]["cloud-runcmd"]
    assert isinstance(entry, dict)
    assert isinstance(entry["command"], list)

    theirs = subprocess.run(
        ["/bin/sh"],
        input=str(cloud_init_answers(cloud_init, config)["script"]),
        capture_output=True,
        text=True,
        check=False,
    )
    ours = subprocess.run([str(word) for word in entry["command"]], capture_output=True, text=True, check=False)

    assert ours.stdout == theirs.stdout
    assert (f"exit status {theirs.returncode}," in ours.stderr) is (theirs.returncode != 0)
    assert ours.returncode == 0
    assert not problems
