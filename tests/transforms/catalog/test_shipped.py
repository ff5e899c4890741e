"""The shipped transformation database is consistent, and correct in the rows that are easy to get wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from ordain.transforms.catalog import audit_results, data_tables, prebuilt
from ordain.transforms.catalog import shipped as catalog
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import Names, names_for, shared_versions
from ordain.transforms.catalog.row_evidence import How, evidence
from ordain.transforms.catalog.shipped import DIRECTORY, shipped
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused
from ordain.transforms.model import TIERS, Branch, Kind, Leaf
from ordain.transforms.systemd import unit_name

SHARED = shared_versions(shipped())


@cache
def on(os: str) -> Names:
    """Return the names on a system; no system may have a conflict or a warning."""
    found, problems = names_for(shipped(), facts_for(os), SHARED)
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


USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._/-]*")
INSTALLABLE = [os for os in known_systems() if not os.startswith("flatcar")]
FLEET = """
    ssh sssd openldap krb5-kdc freeradius polkit   chrony ntp timesyncd   cron at logrotate fstrim
    tmpfiles-clean auto-updates   rsyslog syslog-ng journald auditd journal-remote
    nginx apache haproxy squid varnish lighttpd caddy php-fpm
    postgresql mariadb memcached rabbitmq mosquitto pgbouncer etcd   bind unbound dnsmasq avahi resolved powerdns knot
    postfix dovecot rspamd clamav-freshclam   snmpd zabbix-agent collectd smartd sysstat monit cockpit
    libvirt qemu-guest-agent vmware-tools cloud-init   podman lxc
    nfs-server nfs-client rpcbind autofs samba winbind vsftpd rsync   iscsi multipath lvm2-monitor mdmonitor
    nvme-fabrics   slurmd slurmctld slurmdbd munge pacemaker corosync keepalived   firewalld nftables fail2ban iptables
    networkmanager wireguard strongswan frr lldpd   cups bluetooth irqbalance tuned acpid fwupd kdump
""".split()
"""Services that are common in fleets."""


@pytest.mark.parametrize("os", list(known_systems()))
def test_every_row_resolves_on_every_system(os: str) -> None:
    known = on(os)
    for row, leaf in leaves(known.tree.branch("services")):
        value = leaf.value
        match row.rpartition("/")[2]:
            case "unit":
                assert unit_name.is_valid(str(value)), row
            case "start":
                assert unit_name.unit_type(str(value)) in ("socket", "timer"), row
            case "instance":
                assert unit_name.is_template(str(value)), row
            case "socket":
                assert unit_name.is_valid(str(value)), row
                assert str(value).endswith(".socket"), row
            case "config":
                assert re.fullmatch("/.*/", str(value)), row
            case "check":
                assert isinstance(value, tuple), row
                assert [str(v[0]).startswith("/usr/") for v in value if isinstance(v, tuple)] == [True], row
            case "package":
                assert PACKAGE.fullmatch(str(value)), row
            case "log" | "data" | "pid":
                assert str(value).startswith(("/var/", "/srv/", "/run/")), row
            case "user":
                assert USER.fullmatch(str(value)), row
            case "ports":
                assert isinstance(value, tuple), row
            case member if f"/units/{member}" in row:
                assert unit_name.is_valid(member), row
            case member if f"/packages/{member}" in row:
                assert PACKAGE.fullmatch(member), row
            case _:
                pytest.fail(row)
    assert [n for n in known.services() if not (known.service(n, "unit") or known.service(n, "instance"))] == []
    assert [name for name in known.milestones() if not unit_name.is_valid(known.milestone(name))] == []
    assert [name for name in known.tree.branch("users") if not USER.fullmatch(known.user(name))] == []
    assert [name for name, path in known.paths().items() if not path.startswith("/")] == []


@pytest.mark.parametrize("os", INSTALLABLE)
def test_every_installable_system_knows_the_common_services(os: str) -> None:
    known = on(os)
    assert {"ssh", "cron", "chrony", "ntp", "nginx", "apache", "mariadb", "nfs-server"} <= set(known.services())
    assert {"network", "network-online", "local-fs", "remote-fs", "time-sync", "name-resolution"} <= set(
        known.milestones()
    )
    assert {"python", "sh", "nologin", "ca-certificates", "sftp-server"} <= set(known.paths())
    assert known.user("www") != "www" or known.user("www-group") != "www"


@pytest.mark.parametrize("os", ["debian-12", "debian-13", "ubuntu-24.04", "fedora-41", "rhel-9", "rocky-9"])
def test_common_services_of_fleets_are_known(os: str) -> None:
    lacking = {name for name in FLEET if not on(os).service(name, "unit")}

    assert len(FLEET) >= 60
    # RHEL has neither since version 8.
    assert lacking == ({"etcd", "timesyncd"} if os in ("rhel-9", "rocky-9") else set())


def test_a_milestone_is_known_from_its_systemd_version_on() -> None:
    assert [on(os).milestone("ssh-access") for os in ("rhel-8", "debian-12", "fedora-41")] == [
        "",
        "",
        "ssh-access.target",
    ]
    assert [bool(on(os).milestone("boot-complete")) for os in ("rhel-8", "debian-11")] == [False, True]


@pytest.mark.parametrize("os", sorted(audit_results.verified()))
def test_no_row_has_changed_since_it_was_verified(os: str) -> None:
    """To update the table, run `make audit`."""
    assert list(audit_results.stale(os, audit_results.claims(on(os)))) == []


def test_a_row_that_changed_is_named() -> None:
    now = dict(audit_results.claims(on("debian-12")))
    now["services/ssh"] = {**now["services/ssh"], "unit": "openssh.service"}
    del now["milestones/network"]

    assert sorted(audit_results.stale("debian-12", now)) == ["milestones/network/unit", "services/ssh/unit"]


def test_an_archive_of_debian_confirms_every_packaged_service() -> None:
    """`make audit` reads three archives; a new row needs one of them, until all have been read again."""
    confirmed: dict[str, set[str]] = {}
    for os in ("debian-12", "debian-13", "debian-sid"):
        claims = audit_results.claims(on(os))
        packaged = {row: claim for row, claim in claims.items() if "package" in claim}
        for row, claim in packaged.items():
            seen = {key for key, value in claim.items() if evidence(os, row, key, value).how is How.ARCHIVE}
            confirmed[row] = confirmed.get(row, set()) | seen
        unseen = [row for row, claim in packaged.items() if not set(claim) <= confirmed[row]]

        assert len(packaged) > 190
        assert unseen == []


@pytest.mark.parametrize(
    ("os", "service", "directory"),
    [
        # Debian's squid.conf includes conf.d; the files of Fedora and SUSE do not.
        ("debian-12", "squid", "/etc/squid/conf.d/"),
        ("fedora-42", "squid", "/etc/squid/"),
        ("opensuse-tumbleweed", "squid", "/etc/squid/"),
        # Debian's monitrc names /etc/monit.d only in a comment.
        ("debian-13", "monit", "/etc/monit/conf-enabled/"),
        ("fedora-42", "monit", "/etc/monit.d/"),
        # A file in conf.d of exim has to be in a directory of its own there.
        ("debian-12", "exim", "/etc/exim4/"),
        # nfs.conf.d came with nfs-utils 2.5.3.
        ("debian-11", "nfs-client", ""),
        ("rocky-8", "nfs-client", ""),
        ("sles-15", "nfs-client", ""),
        ("debian-12", "nfs-client", "/etc/nfs.conf.d/"),
        ("rocky-9", "nfs-client", "/etc/nfs.conf.d/"),
    ],
)
def test_files_of_a_service_are_placed_where_it_reads_them(os: str, service: str, directory: str) -> None:
    assert on(os).service(service, "config") == directory


@pytest.mark.parametrize(("os", "user", "name"), [("gentoo", "chrony", "ntp"), ("rocky-9", "snmp", "root")])
def test_an_account_has_its_name_on_a_system(os: str, user: str, name: str) -> None:
    assert on(os).user(user) == name


def test_amazon_linux_has_the_network_service_that_it_ships() -> None:
    assert on("amzn-2023").renderer() == "networkd"


def test_a_system_without_a_package_manager_has_no_packages() -> None:
    known = on("flatcar")

    assert [name for name in known.services() if known.service(name, "package")] == []


def test_every_package_of_gentoo_has_its_category() -> None:
    known = on("gentoo")
    packages = [known.service(name, "package") for name in known.services()]

    assert [package for package in packages if package and "/" not in package] == []


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
        ("ol-9", "docker", "docker.service", ""),
        ("centos-9", "libvirt", "virtqemud.service", "libvirt-daemon-driver-qemu"),
        ("debian-13", "libvirt", "libvirtd.service", "libvirt-daemon-system"),
        ("fedora-40", "redis", "redis.service", "redis"),
        ("fedora-42", "redis", "valkey.service", "valkey-compat-redis"),
        ("rocky-9", "redis", "redis.service", "redis"),
        ("rocky-10", "valkey", "valkey.service", "valkey"),
        ("rocky-9", "valkey", "valkey.service", "valkey"),
        ("debian-12", "valkey", "", ""),
        ("debian-sid", "valkey", "valkey-server.service", "valkey-server"),
        ("debian-12", "php-fpm", "php8.2-fpm.service", "php8.2-fpm"),
        ("ubuntu-24.04", "php-fpm", "php8.3-fpm.service", "php8.3-fpm"),
        ("rhel-10", "php-fpm", "php-fpm.service", "php-fpm"),
        ("rhel-9", "docker", "docker.service", ""),
        ("fedora-43", "docker", "docker.service", "moby-engine"),
        ("debian-13", "smartd", "smartmontools.service", "smartmontools"),
        ("fedora-42", "smartd", "smartd.service", "smartmontools"),
        ("sles-15", "zabbix-agent", "zabbix_agentd.service", "zabbix-agent"),
        ("amzn-2023", "ssh", "sshd.service", "openssh-server"),
        ("amzn-2023", "docker", "docker.service", "docker"),
        ("amzn-2023", "redis", "redis6.service", "redis6"),
        ("amzn-2023", "podman", "", ""),
        ("gentoo", "cron", "cronie.service", "sys-process/cronie"),
        ("gentoo", "haveged", "", ""),
        ("flatcar", "docker", "docker.service", ""),
        ("flatcar", "nginx", "", ""),
        ("debian-12", "cloud-init", "cloud-init.service", "cloud-init"),
        ("debian-13", "cloud-init", "cloud-init-main.service", "cloud-init"),
        ("debian-sid", "puppet", "puppet.service", "openvox-agent"),
        ("ubuntu-22.04", "spamassassin", "spamassassin.service", "spamassassin"),
        ("fedora-41", "auto-updates", "dnf5-automatic.timer", "dnf5-plugin-automatic"),
        ("rocky-9", "auto-updates", "dnf-automatic.timer", "dnf-automatic"),
        ("rocky-8", "iptables", "iptables.service", "iptables-services"),
        ("rocky-10", "dhcpd", "", ""),
        # From packaging sources, presets and modules of others: each line stands for rows of one cause.
        ("rhel-8", "logrotate", "", ""),
        ("rhel-9", "logrotate", "logrotate.timer", "logrotate"),
        ("rhel-10", "cloud-init", "cloud-init.service", "cloud-init"),
        ("fedora-43", "cloud-init", "cloud-init-main.service", "cloud-init"),
        ("opensuse-tumbleweed", "cloud-init", "cloud-init.service", "cloud-init"),
        ("sles-16", "cloud-init", "cloud-init.service", "cloud-init"),
        ("rhel-9", "oomd", "systemd-oomd.service", "systemd-oomd"),
        ("rhel-8", "oomd", "", ""),
        ("opensuse-tumbleweed", "oomd", "systemd-oomd.service", "systemd-experimental"),
        ("fedora-42", "coredump", "systemd-coredump.socket", "systemd-udev"),
        ("rocky-8", "coredump", "systemd-coredump.socket", "systemd"),
        ("sles-15", "dbus", "dbus.service", "dbus-1"),
        ("arch", "pcp", "pmcd.service", "pcp"),
        ("arch", "autofs", "", ""),
        ("arch", "tftp", "tftpd.socket", "tftp-hpa"),
        ("gentoo", "hostnamed", "systemd-hostnamed.service", "sys-apps/systemd"),
        ("gentoo", "dbus", "dbus.service", "sys-apps/dbus"),
        ("flatcar", "hostnamed", "systemd-hostnamed.service", ""),
        ("flatcar", "nfs-server", "nfs-server.service", ""),
        ("rhel-10", "networkd", "systemd-networkd.service", "systemd-networkd"),
        ("rhel-9", "networkd", "", ""),
        ("amzn-2023", "tomcat", "tomcat9.service", "tomcat9"),
        ("amzn-2023", "clamav-freshclam", "clamav-freshclam.service", "clamav-update"),
        ("amzn-2023", "networkmanager", "", ""),
        ("amzn-2023", "munge", "munge.service", "munge"),
        ("amzn-2023", "slurmd", "", ""),
        ("amzn-2023", "ceph-osd", "", ""),
        ("debian-12", "auto-updates", "apt-daily-upgrade.timer", "unattended-upgrades"),
        ("ubuntu-24.04", "mysql", "mysql.service", "mysql-server"),
        ("debian-13", "mysql", "mariadb.service", "mariadb-server"),
        ("debian-12", "ceph-osd", "ceph-osd.target", "ceph-osd"),
        ("rocky-9", "sbd", "sbd.service", "sbd"),
        # From the spec files of Fedora 43 and of OpenELA, and from Debian's archive.
        ("fedora-43", "ipmievd", "ipmievd.service", "ipmievd"),
        ("rhel-8", "ipmievd", "ipmievd.service", "ipmievd"),
        ("fedora-43", "oomd", "systemd-oomd.service", "systemd-udev"),
        ("fedora-43", "freeipa", "ipa.service", "freeipa-server"),
        ("almalinux-9", "freeipa", "ipa.service", "ipa-server"),
        ("rocky-9", "rhsmcertd", "rhsmcertd.service", "subscription-manager"),
        ("ol-9", "rhsmcertd", "", ""),
        ("debian-12", "sendmail", "sendmail.service", "sendmail-bin"),
        ("debian-12", "ipmi", "openipmi.service", "openipmi"),
        ("rocky-8", "ipmi", "ipmi.service", "OpenIPMI"),
        ("amzn-2023", "ipmi", "", ""),
        ("fedora-40", "audit-rules", "", ""),
        ("opensuse-tumbleweed", "drbd", "drbd.service", "drbd-utils"),
        ("opensuse-tumbleweed", "valkey", "valkey.target", "valkey"),
        ("gentoo", "samba", "smbd.service", "net-fs/samba"),
        ("gentoo", "krb5-kdc", "mit-krb5kdc.service", "app-crypt/mit-krb5"),
        ("flatcar", "nftables", "nftables-load.service", ""),
        ("arch", "salt-master", "salt-master.service", ""),
        ("rocky-9", "beegfs-storage", "beegfs-storage.service", ""),
    ],
)
def test_a_service_has_its_unit_and_package_on_a_system(os: str, service: str, unit: str, package: str) -> None:
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
def test_users_and_paths_have_their_names_on_a_system(
    os: str, www: str, nobody_group: str, ca_certificates: str
) -> None:
    known = on(os)
    assert (known.user("www"), known.user("nobody-group")) == (www, nobody_group)
    assert known.paths()["ca-certificates"] == ca_certificates


def test_a_site_can_add_rows() -> None:
    row = b"services: {ssh: {unit: corp-sshd.service}}"
    own, problems = read(
        "corpos.yaml", b"ordain: v1\nkind: Transform\nname: corpos\ntier: os\nmatch: {os: debian}\n" + row
    )
    assert problems == ()
    known, problems = names_for((*shipped(), *own), facts_for("debian-13"), SHARED)
    assert known.service("ssh", "unit") == "corp-sshd.service"
    assert known.service("ssh", "package") == "openssh-server"
    assert problems == ()


def test_a_damaged_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("ordain: v1\nkind: Transform\nname: a\nservices: {ssh: {unti: x.service}}\n")
    monkeypatch.setattr(catalog, "DIRECTORY", tmp_path)
    with pytest.raises(Refused, match="did you mean unit"):
        catalog.shipped.__wrapped__()


def test_the_database_is_not_empty() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} >= {"00-base.yaml", "debian.yaml", "fedora.yaml"}


def test_the_prebuilt_database_is_equal_to_its_files() -> None:
    files = catalog.files()
    data = catalog.prepare()
    made = prebuilt.parse(data)
    assert prebuilt.load(made, files, DIRECTORY) == catalog.read_all(files)
    assert prebuilt.load(made, {**files, "debian.yaml": files["debian.yaml"] + b"#"}, DIRECTORY) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-9],
        lambda data: data + b"\n",
        lambda data: data.replace(b'"format":2', b'"format":1'),
        lambda data: data.replace(b'"ssh', b'"sss'),
        lambda data: b"[]\n",
        lambda data: b"",
    ],
)
def test_a_damaged_prebuilt_database_is_of_no_use(damage: Callable[[bytes], bytes]) -> None:
    assert prebuilt.parse(damage(catalog.prepare())) is None


def test_the_prebuilt_tables_are_equal_to_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "prepared.json"
    made.write_bytes(catalog.prepare())
    monkeypatch.setattr(prebuilt, "PATH", made)
    read = {name: data_tables.parse_table((DIRECTORY.parent / name).read_bytes()) for name in data_tables.PREPARED}
    with monkeypatch.context() as without_yaml:
        without_yaml.setattr(data_tables, "parse_table", lambda _: pytest.fail("the YAML was read"))
        assert {name: data_tables.read_table(DIRECTORY.parent / name) for name in read} == read
    edited = tmp_path / "accounts.yaml"
    edited.write_text("a: {b: 1}\n")
    assert data_tables.read_table(edited) == {"a": {"b": 1}}


def test_an_edited_file_is_read_instead_of_the_prebuilt_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "prepared.json"
    made.write_bytes(catalog.prepare())
    for path in DIRECTORY.glob("*.yaml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(catalog, "DIRECTORY", tmp_path)
    monkeypatch.setattr(prebuilt, "PATH", made)
    monkeypatch.setattr(catalog, "read_all", lambda _: pytest.fail("read again"))
    assert [document.digest for document in catalog.shipped.__wrapped__()] == [each.digest for each in shipped()]
    monkeypatch.undo()
    monkeypatch.setattr(catalog, "DIRECTORY", tmp_path)
    monkeypatch.setattr(prebuilt, "PATH", made)
    (tmp_path / "zz-ours.yaml").write_text("ordain: v1\nkind: Transform\nname: ours\npaths: {x: /x}\n")
    assert catalog.shipped.__wrapped__()[-1].name == "ours"
