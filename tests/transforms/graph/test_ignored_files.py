"""Files that their reader ignores or refuses are warned of, before they are placed."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.graph import ignored_files
from ordain.transforms.graph.crontab_lines import faults_of_crontab


def found(path: str, keys: str = "content: a", system: str = "debian-12") -> list[str]:
    """Return what is said about a file at ``path``."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\nfiles: {{{path}: {{{keys}}}}}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for(system), shipped=shipped())
    assert {(p.code, str(p.severity)) for p in compiled.problems} <= {("Doubtful", "warning")}
    return [p.what for p in compiled.problems]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc/sudoers.d/a.b", "sudo ignores /etc/sudoers.d/a.b (sudoers(5))"),
        ("/etc/sudoers.d/a~", "sudo ignores /etc/sudoers.d/a~"),
        ("/etc/cron.d/my.job", "cron ignores /etc/cron.d/my.job (cron(8))"),
        ("/etc/cron.daily/job", "run-parts does not run /etc/cron.daily/job, which is not executable"),
        ("/etc/logrotate.d/web.old", "logrotate ignores"),
        ("/etc/sysctl.d/net", "systemd-sysctl ignores"),
        ("/usr/local/lib/tmpfiles.d/x.cfg", "systemd-tmpfiles ignores"),
        ("/etc/modprobe.d/nouveau", "modprobe ignores"),
        ("/etc/polkit-1/rules.d/x.conf", "polkitd ignores"),
        ("/etc/udev/rules.d/99-x", "systemd-udevd ignores"),
        ("/etc/ssh/sshd_config.d/x", "sshd ignores"),
        ("/etc/apt/sources.list.d/x", "apt ignores"),
        ("/etc/systemd/network/eth0.conf", "systemd-networkd ignores"),
        ("/etc/containers/systemd/web.service", "podman ignores"),
        ("/etc/NetworkManager/system-connections/a", "NetworkManager refuses"),
        ("/etc/ssh/ssh_host_rsa_key", "sshd refuses"),
        ("/etc/nginx/conf.d/site", "nginx ignores"),
        ("/etc/mysql/mariadb.conf.d/60-a.conf", "mariadb ignores"),
        ("/etc/sssd/conf.d/a.conf", "sssd refuses"),
        ("/etc/drbd.d/r0.conf", "drbdadm ignores"),
    ],
)
def test_a_file_that_its_reader_ignores_is_warned_of(path: str, words: str) -> None:
    (said,) = found(path)

    assert said.startswith(words)


@pytest.mark.parametrize("mode", ["0666", "0664", "0646"])
@pytest.mark.parametrize("path", ["/etc/sudoers.d/a", "/etc/cron.d/a", "/etc/logrotate.d/a", "/etc/sudoers"])
def test_a_file_that_others_may_write_is_refused_by_its_reader(path: str, mode: str) -> None:
    (said,) = found(path, f'content: "", mode: "{mode}"')

    assert f"refuses {path}, a file that others may write (mode {mode})" in said


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/etc/sudoers.d/90_a-b", 'content: a, mode: "0440"'),
        ("/etc/cron.d/my-job_1", "content: ''"),
        ("/etc/cron.d/a", r'content: "A=b\n# c\n*/5 0-23/2 1,15 jan-mar mon-fri root /bin/a\n@daily www /bin/b\n"'),
        ("/etc/crontab", r'content: "17 * * * * root cd / && run-parts /etc/cron.hourly\n"'),
        ("/etc/sudoers.d/a", "content: a, owner: root"),
        ("/etc/cron.daily/job", 'content: a, mode: "0755", owner: games'),
        ("/etc/cron.daily/job", 'content: a, mode: "0755"'),
        ("/etc/cron.daily/job", "link: /usr/bin/job"),
        ("/etc/logrotate.d/web.conf", "content: a"),
        ("/etc/sysctl.d/50-net.conf", "content: a"),
        ("/etc/systemd/network/50-a.link", "content: a"),
        ("/etc/sysctl.d/sub/net", "content: a"),
        ("/etc/sudoers.d/a.b", "state: absent"),
        ("/etc/NetworkManager/system-connections/a.nmconnection", 'content: a, mode: "0600"'),
        ("/etc/ssh/ssh_host_rsa_key.pub", "content: a"),
        ("/srv/cron.d/my.job", "content: a"),
        ("/etc/nginx/conf.d/site.conf", "content: a"),
        ("/etc/mysql/mariadb.conf.d/60-a.cnf", "content: a"),
        ("/etc/sysctl.d/README", "content: a"),
    ],
)
def test_a_file_that_its_reader_takes_is_not(path: str, keys: str) -> None:
    assert found(path, keys) == []


def test_a_reader_of_another_system_has_its_own_rules() -> None:
    assert found("/etc/cron.d/my.job", "content: ''", system="fedora-42") == []
    assert found("/etc/cron.d/my.job.rpmsave", "content: ''", system="fedora-42") != []


@pytest.mark.parametrize(
    "path",
    ["/etc/sudoers.d/a", "/etc/sudoers", "/etc/cron.d/a", "/etc/logrotate.d/a", "/etc/NetworkManager/dispatcher.d/a"],
)
def test_a_file_of_another_user_is_refused_by_its_reader(path: str) -> None:
    (said,) = found(path, "content: '', mode: '0744', owner: games")

    assert f"refuses {path}, a file of games" in said


@pytest.mark.parametrize("path", ["/etc/cron.d/a", "/etc/crontab", "/var/spool/cron/crontabs/eve"])
@pytest.mark.parametrize("system", ["debian-13", "fedora-42"])
def test_a_crontab_needs_a_line_end_behind_its_last_line(path: str, system: str) -> None:
    (said,) = found(path, "content: '* * * * * root /bin/a', mode: '0600'", system)

    assert "has no line end" in said


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("* * * * * /bin/a", "a user or a command is missing"),
        ("* * * * * /bin/a b", "'/bin/a' is not a user"),
        ("60 * * * * root a", "the minute cannot be '60'"),
        ("* 24 * * * root a", "the hour cannot be '24'"),
        ("* * 0 * * root a", "the day of the month cannot be '0'"),
        ("* * * 13 * root a", "the month cannot be '13'"),
        ("* * * * fun root a", "the day of the week cannot be 'fun'"),
        ("*/0 * * * * root a", "a step is 1 or more"),
        ("every * * * * root a", "the minute cannot be 'every'"),
        ("@often root a", "'@often' is not a time"),
        ("@daily /bin/a", "a user or a command is missing"),
    ],
)
def test_a_line_that_cron_cannot_use_is_named(line: str, fault: str) -> None:
    ((number, said, hint),) = faults_of_crontab(f"# a\n{line}\n")

    assert number == 2
    assert fault in said
    assert hint


def test_a_link_is_ignored_by_its_name_as_well() -> None:
    assert found("/etc/sysctl.d/a", "link: /srv/a") != []


def test_every_directory_of_the_table_is_absolute_and_has_a_manual_page() -> None:
    readers = ignored_files._readers()

    assert all(path.startswith("/") for path in readers)
    assert all(reader.page.endswith((")", " of the package")) for row in readers.values() for reader in row)
    assert all(reader.program for row in readers.values() for reader in row)


def test_a_file_of_a_service_is_judged_where_it_is_placed() -> None:
    text = "ordain: v1\nkind: Layer\nname: d\nservices: {nginx: {files: {site: {content: a}}}}\n"
    documents, _ = read("d.yaml", text.encode())

    (problem,) = compile(documents, facts_for("fedora-42"), shipped=shipped()).problems

    assert problem.what.startswith("nginx ignores /etc/nginx/conf.d/site")
