"""The shipped transformation database: it is consistent, and true where a row is easy to get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ordain.transforms import catalog, unitname
from ordain.transforms.catalog import DIRECTORY, shipped
from ordain.transforms.documents import read
from ordain.transforms.errors import Refused
from ordain.transforms.model import TIERS, Branch, Kind, Leaf
from ordain.transforms.names import Names, names, shared_versions
from ordain.transforms.systems import facts_for, systems

SHARED = shared_versions(shipped())


@cache
def on(os: str) -> Names:
    """The names on a system; no system may have a conflict or a warning."""
    found, problems = names(shipped(), facts_for(os), SHARED)
    assert problems == ()
    return found


def leaves(tree: Branch, path: str = "") -> Iterator[tuple[str, Leaf]]:
    for name, child in tree.children.items():
        if isinstance(child, Branch):
            yield from leaves(child, f"{path}/{name}")
        else:
            yield f"{path}/{name}", child


def test_every_document_is_a_transform_of_the_lowest_tier() -> None:
    assert {(d.kind, d.tier, d.weight) for d in shipped()} == {(Kind.TRANSFORM, TIERS[0], 0)}
    assert len({d.name for d in shipped()}) == len(shipped())


def test_versions_are_shared_by_documents_for_all_systems_only() -> None:
    assert not [d.name for d in shipped() if d.match and "versions" in d.sections]
    assert SHARED["rocky"] == "rhel"


@pytest.mark.parametrize("os", list(systems()))
def test_every_system_knows_what_every_system_has(os: str) -> None:
    known = on(os)
    assert {"ssh", "cron", "chrony", "ntp", "nginx", "apache", "postgresql", "mariadb", "podman", "nfs-server"} <= set(
        known.services()
    )
    assert {"network", "network-online", "local-fs", "remote-fs", "time-sync", "name-resolution"} <= set(
        known.milestones()
    )
    assert {"python", "sh", "nologin", "ca-certificates", "sftp-server"} <= set(known.paths())
    assert known.user("www") != "www" or known.user("www-group") != "www"
    for row, leaf in leaves(known.tree.branch("services")):
        name, _, key = row[1:].partition("/")
        match key:
            case "unit" | "socket":
                assert unitname.is_valid(str(leaf.value)), row
            case "config":
                assert str(leaf.value).endswith("/"), row
            case "check":
                assert isinstance(leaf.value, tuple), row
                assert [str(v[0]).startswith("/usr/") for v in leaf.value if isinstance(v, tuple)] == [True], row
            case "package":
                assert str(leaf.value) == str(leaf.value).strip() != "", row
            case _:
                pytest.fail(f"{row} of {name}")
    units = [known.service(name, "unit") for name in known.services()]
    assert all(units)


@pytest.mark.parametrize(
    ("os", "service", "unit", "package"),
    [
        ("debian-12", "ssh", "ssh.service", "openssh-server"),
        ("ubuntu-24.04", "ssh", "ssh.service", "openssh-server"),
        ("rocky-9", "ssh", "sshd.service", "openssh-server"),
        ("arch", "ssh", "sshd.service", "openssh"),
        ("debian-13", "cron", "cron.service", "cron"),
        ("fedora-42", "cron", "crond.service", "cronie"),
        ("sles-15", "cron", "cron.service", "cronie"),
        ("arch", "cron", "cronie.service", "cronie"),
        ("debian-13", "chrony", "chrony.service", "chrony"),
        ("rhel-9", "chrony", "chronyd.service", "chrony"),
        ("debian-13", "ntp", "systemd-timesyncd.service", "systemd-timesyncd"),
        ("ubuntu-24.04", "ntp", "systemd-timesyncd.service", "systemd-timesyncd"),
        ("ubuntu-26.04", "ntp", "chrony.service", "chrony"),
        ("opensuse-leap-16.0", "ntp", "chronyd.service", "chrony"),
        ("debian-12", "apache", "apache2.service", "apache2"),
        ("almalinux-10", "apache", "httpd.service", "httpd"),
        ("arch", "apache", "httpd.service", "apache"),
        ("debian-13", "resolved", "systemd-resolved.service", "systemd-resolved"),
        ("debian-11", "resolved", "systemd-resolved.service", "systemd"),
        ("rhel-8", "resolved", "systemd-resolved.service", "systemd"),
        ("sles-15", "resolved", "systemd-resolved.service", "systemd-network"),
        ("rhel-8", "libvirt", "libvirtd.service", "libvirt-daemon"),
        ("ol-8", "libvirt", "libvirtd.service", "libvirt-daemon"),
        ("ol-9", "docker", "", ""),
        ("centos-9", "libvirt", "virtqemud.service", "libvirt-daemon-driver-qemu"),
        ("debian-13", "libvirt", "libvirtd.service", "libvirt-daemon-system"),
        ("fedora-40", "redis", "redis.service", "redis"),
        ("fedora-42", "redis", "", ""),
        ("rocky-9", "redis", "redis.service", "redis"),
        ("rocky-10", "valkey", "valkey.service", "valkey"),
        ("rocky-9", "valkey", "", ""),
        ("debian-12", "valkey", "", ""),
        ("debian-sid", "valkey", "valkey-server.service", "valkey-server"),
        ("debian-12", "php-fpm", "php8.2-fpm.service", "php8.2-fpm"),
        ("ubuntu-24.04", "php-fpm", "php8.3-fpm.service", "php8.3-fpm"),
        ("rhel-10", "php-fpm", "php-fpm.service", "php-fpm"),
        ("rhel-9", "docker", "", ""),
        ("fedora-43", "docker", "docker.service", "moby-engine"),
        ("debian-13", "smartd", "smartmontools.service", "smartmontools"),
        ("fedora-42", "smartd", "smartd.service", "smartmontools"),
        ("sles-15", "zabbix-agent", "zabbix_agentd.service", "zabbix-agent"),
    ],
)
def test_a_service_on_a_system(os: str, service: str, unit: str, package: str) -> None:
    assert (on(os).service(service, "unit"), on(os).service(service, "package")) == (unit, package)


@pytest.mark.parametrize(
    ("os", "www", "nobody_group", "ca_certificates"),
    [
        ("debian-13", "www-data", "nogroup", "/etc/ssl/certs/ca-certificates.crt"),
        ("ubuntu-24.04", "www-data", "nogroup", "/etc/ssl/certs/ca-certificates.crt"),
        ("rocky-9", "apache", "nobody", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
        ("sles-15", "wwwrun", "nobody", "/etc/ssl/ca-bundle.pem"),
        ("arch", "http", "nobody", "/etc/ssl/certs/ca-certificates.crt"),
    ],
)
def test_users_and_paths_on_a_system(os: str, www: str, nobody_group: str, ca_certificates: str) -> None:
    known = on(os)
    assert (known.user("www"), known.user("nobody-group")) == (www, nobody_group)
    assert known.paths()["ca-certificates"] == ca_certificates


def test_a_site_can_add_to_it() -> None:
    row = b"services: {ssh: {unit: corp-sshd.service}}"
    own, problems = read(
        "corpos.yaml", b"ordain: v1\nkind: Transform\nname: corpos\ntier: os\nmatch: {os: debian}\n" + row
    )
    assert problems == ()
    known, problems = names((*shipped(), *own), facts_for("debian-13"), SHARED)
    assert known.service("ssh", "unit") == "corp-sshd.service"
    assert known.service("ssh", "package") == "openssh-server"
    assert problems == ()


def test_a_damaged_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("ordain: v1\nkind: Transform\nname: a\nservices: {ssh: {unti: x.service}}\n")
    monkeypatch.setattr(catalog, "DIRECTORY", tmp_path)
    with pytest.raises(Refused, match="did you mean unit"):
        catalog.shipped.__wrapped__()


def test_it_is_shipped() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} >= {"00-base.yaml", "debian.yaml", "fedora.yaml"}
