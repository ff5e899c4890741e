"""Files are recognized by their names and contents, also those that no converter reads."""

from __future__ import annotations

import pytest

from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.file_types import FileType
from support.importing.import_accounting import NAMES


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("60-x.yaml", "network:\n  version: 2\n", FileType.NETPLAN),
        ("x.yaml", "ordain: v1\nkind: Layer\nname: x\nnetwork:\n  version: 2\n", None),
        ("x.yaml", "services:\n  a: {image: b}\nnetworks: {}\n", FileType.COMPOSE),
        ("x.yaml", "#cloud-config\nnetwork: {version: 2}\n", FileType.CLOUD),
        ("/etc/cloud/cloud.cfg.d/99-disable.cfg", "network: {config: disabled}\n", FileType.CLOUD),
        ("app.network", "[Network]\nSubnet=10.0.0.0/24\n[Install]\nWantedBy=a\n", FileType.QUADLET),
        ("10-eth0.network", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n", None),
        ("/etc/systemd/network/10-eth0.network", "[Network]\nDNS=1.1.1.1\n", None),
        ("10-eth0.network.d/x.conf", "[DHCPv4]\nUseDNS=no\n", None),
        ("app.network.d/x.conf", "[Network]\nSubnet=10.0.0.0/24\n", FileType.QUADLET),
        ("web.bu", "variant: fcos\nversion: 1.5.0\n", FileType.IGNITION),
        ("web.ign", '{"ignition": {"version": "3.4.0"}}', FileType.IGNITION),
        ("/etc/sysctl.conf", "", FileType.SYSCTL),
        ("sysctl.d/x.conf", "", FileType.SYSCTL),
        ("/etc/modules-load.d/x.conf", "", FileType.MODULES),
    ],
)
def test_the_type_of_a_file_is_told_by_name_and_content(path: str, text: str, kind: FileType | None) -> None:
    assert file_types.type_of(InputFile(path=path, data=text.encode())) is kind


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("10-eth0.network", "[Match]\nName=eth0\n", "a file of systemd-networkd"),
        ("br0.netdev", "[NetDev]\nName=br0\n", "a file of systemd-networkd"),
        ("10-x.link", "[Match]\n", "a file of systemd-networkd"),
        ("wired.nmconnection", "[connection]\nid=wired\n", "a profile of NetworkManager"),
        ("/etc/network/interfaces", "auto lo\n", "a file of ifupdown"),
        ("interfaces.d/eth0", "auto eth0\n", "a file of ifupdown"),
        ("/usr/lib/tmpfiles.d/x.conf", "d /run/x\n", "a file of systemd-tmpfiles"),
        ("sysusers.d/x.conf", "u x -\n", "a file of systemd-sysusers"),
        ("modprobe.d/x.conf", "blacklist pcspkr\n", "a file of modprobe"),
        ("/etc/cron.d/x", "* * * * * root a\n", "a table of cron"),
        ("/var/spool/cron/crontabs/alice", "* * * * * a\n", "a table of cron"),
        ("/etc/cron.daily/x", "#!/bin/sh\n", "a script of cron"),
        ("/etc/systemd/network/10-eth0.network.d/dns.conf", "[Network]\nDNS=1.1.1.1\n", "a file of systemd-networkd"),
        ("system-connections/wired", "[connection]\nid=wired\n", "a profile of NetworkManager"),
        ("model.artifact", "[Artifact]\nArtifact=quay.io/x/y\n", "the quadlet of an artifact"),
        ("pod.yaml", "apiVersion: v1\nkind: Pod\n", "a resource of Kubernetes"),
    ],
)
def test_a_file_without_a_converter_is_named_for_what_it_is(path: str, text: str, what: str) -> None:
    draft = DocumentDraft()
    file_types.convert([InputFile(path=path, data=text.encode())], NAMES, draft)

    assert [(problem.what, bool(problem.hint)) for problem in draft.problems] == [(what, True)]
    assert not any(draft.sections.values())
