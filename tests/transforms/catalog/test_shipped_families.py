"""A row of one family of systems does not reach another: groups of wrong rows that had one cause each.

Gentoo, Flatcar and Amazon Linux once had what the base, or Fedora, has; and null stood for what a later release has.
"""

from __future__ import annotations

import re

import pytest

from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import Names, names_for, shared_versions
from ordain.transforms.catalog.shipped import DIRECTORY, shipped
from ordain.transforms.model import Document, Leaf

AMAZON = """
    acpid amazon-cloudwatch-agent amazon-ssm-agent at audit autofs avahi bind bluez chrony clamav-update clamd
    cloud-init collectd containerd conntrack-tools cronie cups cups-filters dbus-broker device-mapper-multipath
    dnf-automatic dnsmasq docker dovecot firewalld gssproxy haproxy httpd irqbalance iscsi-initiator-utils
    keepalived kexec-tools krb5-server libvirt lm_sensors logrotate lvm2 mariadb105-server mdadm memcached munge
    net-snmp nfs-utils nftables nginx nut-client nvme-cli oddjob open-vm-tools openldap-servers openssh-server
    opensm opensmtpd PackageKit pcsc-lite php8.2-fpm polkit postfix postgresql15-server radvd redis6 rng-tools
    rpcbind rsync-daemon rsyslog samba samba-winbind sendmail smartmontools squid sssd sysstat systemd
    systemd-container systemd-journal-remote systemd-networkd systemd-resolved systemd-udev target-restore
    tomcat9 udisks2 unbound util-linux valkey vsftpd wireguard-tools
""".split()
"""The packages of rows that were held against Amazon's list.

Add one only after a look into the list; valkey came later.
"""


def on(system: str) -> Names:
    return names_for(shipped(), facts_for(system), shared_versions(shipped()))[0]


def layers(system: str) -> dict[str, set[str]]:
    """Return the Transforms that the values of services come from, with the services."""
    used: dict[str, set[str]] = {}
    for name, row in on(system).tree.branch("services").branches():
        for _, leaf in row.leaves():
            used.setdefault(leaf.layer, set()).add(name)
    return used


@pytest.mark.parametrize("system", ["gentoo", "flatcar"])
def test_only_systemd_s_own_services_come_from_documents_for_all_systems(system: str) -> None:
    used = layers(system)

    assert used.keys() == {system, "base"}
    assert all(on(system).service(name, "unit").startswith(("systemd-", "dbus")) for name in used["base"])


def test_a_document_for_every_system_names_no_package() -> None:
    everywhere = [document for document in shipped() if not document.match.keys() & {"os", "id"}]
    named = [
        f"{document.name}: {name}"
        for document in everywhere
        for name, row in document.sections.branch("services").branches()
        if row.leaf("package")
    ]

    assert named == []


def test_amazon_linux_has_the_packages_of_its_own_list_only() -> None:
    known = on("amzn-2023")

    assert {known.service(name, "package") for name in known.services()} - {""} <= set(AMAZON)


def test_services_of_fedora_do_not_reach_amazon_linux_without_a_row_of_its_own() -> None:
    assert layers("amzn-2023").keys() & {"fedora-community", "fedora-only", "fedora-41", "rhel", "rhel-9"} == set()


@pytest.mark.parametrize(
    ("system", "families"),
    [
        ("arch", {"base", "services", "systemd-packages", "vendors", "arch"}),
        ("amzn-2023", {"base", "services", "systemd-packages", "vendors", "fedora", "amazon"}),
        ("opensuse-tumbleweed", {"base", "services", "systemd-packages", "vendors", "suse", "suse-16", "tumbleweed"}),
    ],
)
def test_a_system_has_rows_of_its_family_only(system: str, families: set[str]) -> None:
    assert {layer for layer in layers(system) if not layer.startswith("service-paths")} <= families


def _nulls(document: Document) -> list[Leaf]:
    rows = document.sections.branch("services").children.values()
    return [row for row in rows if isinstance(row, Leaf) and row.value is None]


def test_a_null_for_all_later_releases_gives_its_reason() -> None:
    """A null without an end outlives its reason: packages of later releases once did not get rid of it."""
    unexplained = []
    for document in shipped():
        version = document.match.get("version")
        bounded = version is not None and any(re.match(r"<|[0-9]", str(value)) for value in version.values)
        lines = (DIRECTORY / document.where.path.rpartition("/")[2]).read_text(encoding="utf-8").splitlines()
        head = " ".join(
            line for line in lines[max(0, document.where.line - 5) : document.where.line] if line[:1] == "#"
        )
        for leaf in [] if bounded or re.search(r"null here|removed|not exist", head) else _nulls(document):
            if "#" not in lines[leaf.where.line - 1]:
                unexplained.append(f"{leaf.where}")

    assert unexplained == []


@pytest.mark.parametrize("system", list(known_systems()))
def test_no_system_has_a_name_from_a_system_that_it_is_not_like(system: str) -> None:
    facts = facts_for(system)
    own = {facts.id, *facts.like}
    for document in shipped():
        names = document.match.get("os") or document.match.get("id")
        if names is not None and not names.negated and not own & set(map(str, names.values)):
            assert document.name not in layers(system)
