"""Every shipped setting whose program Debian has: its reader says the value; without settings, all is as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.debian_roots import with_package
from rig.machine import Machine
from rig.machine_agent import wait_agent_state

pytestmark = pytest.mark.integration
EXAMPLE = Path(__file__).parents[3] / "examples/settings.yaml"
DOCUMENT = "/etc/ordain/documents/machine.yaml"
EMPTY = "ordain: v1\nkind: Layer\nname: machine\n"
PACKAGES = (
    *("openssh-server", "rsyslog", "nftables", "sudo", "ca-certificates", "unattended-upgrades", "openssl"),
    *("systemd-resolved", "systemd-timesyncd", "systemd-coredump", "iproute2"),
)
READERS = {
    "sshd -T": ("port 2222", "permitrootlogin no", "passwordauthentication no", "banner /etc/ssh/ordain-banner"),
    "ss -tlnH": (":2222 ",),
    "nft list ruleset": ("tcp dport 2222 accept", "tcp dport 443 accept", "udp dport 6000-6010 accept", "policy drop"),
    "visudo -c": ("/etc/sudoers.d/ordain: parsed OK",),
    "sudo -l -U alice": ("NOPASSWD: /usr/bin/systemctl restart nginx",),
    "apt-config dump": (
        'Acquire::http::Proxy "http://proxy.example.org:3128";',
        'Unattended-Upgrade::Origins-Pattern:: "origin=Ubuntu,archive=${distro_codename}-security"',
    ),
    "apt-get update --print-uris": ("https://packages.example.org/stable/./InRelease",),
    "resolvectl dns": ("192.0.2.53 2001:db8::53",),
    "resolvectl domain": ("example.org",),
    "systemd-analyze cat-config systemd/timesyncd.conf": ("NTP=ntp1.example.org ntp2.example.org",),
    "systemd-analyze cat-config systemd/journald.conf": ("SystemMaxUse=2G", "MaxRetentionSec=30d"),
    "systemd-analyze cat-config systemd/coredump.conf": ("Storage=none", "ProcessSizeMax=0"),
    "systemd-analyze cat-config tmpfiles.d": (
        "w- /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise",
        "w- /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor - - - - performance",
    ),
    "rsyslogd -N1 -o /dev/stdout": ("logs.example.org",),
    "systemd-analyze cat-config sysctl.d": ("kernel.printk = 4 4 1 7",),
    "bash -lc env": ("http_proxy=http://proxy.example.org:3128", "no_proxy=.example.org"),
    "getent hosts db1.example.org": ("192.0.2.10",),
    "script -qec 'agetty --show-issue' /dev/null": ("Authorised use only.",),
    "cat /etc/motd": ("Kept by Ordain.",),
    "su -l -s /bin/bash alice -c 'ulimit -Sn; ulimit -Hn; ulimit -Hu'": ("4096\n4096\n8192\n",),
    "su -l -c 'ulimit -Sn; ulimit -Hn; ulimit -Hu'": ("4096\n4096\n8192\n",),
    "openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt /usr/local/share/ca-certificates/ordain-example.crt": (
        "OK",
    ),
}
"""By command of a reader, texts that it prints with the settings; with none of them before and after."""
_FIND = "find /etc /usr/local -path /etc/ordain -prune -o"
SAME = (
    "cat /proc/sys/kernel/printk",
    f"{_FIND} -printf '%p %m %u %l\\n' | sort",
    f"{_FIND} -type f -print0 | sort -z | xargs -0 md5sum",
)
"""Commands that print the same before and after."""


def said(machine: Machine, command: str) -> str:
    """Return all that a reader prints, whatever its exit status."""
    done = machine.run("sh", "-c", f"{command} 2>&1", check=False)
    return str(done.stdout)


def test_each_reader_has_its_setting_and_without_settings_all_is_as_before(deb: Path, suite: str) -> None:
    document = "".join(line for line in EXAMPLE.read_text().splitlines(keepends=True) if not line.startswith("match:"))
    # A host without CAP_SYS_RESOURCE has machines that cannot raise limits: pam_limits can only lower them there.
    document = document.replace("open-files: 65536, processes: 16384", "open-files: 4096, processes: 8192")
    with Machine(with_package(suite, deb, more=PACKAGES)) as machine:
        machine.write(DOCUMENT, EMPTY)
        machine.boot()
        wait_agent_state(machine, "converged")
        machine.run("useradd", "alice")
        before = [said(machine, command) for command in SAME]
        assert [text for command, texts in READERS.items() for text in texts if text in said(machine, command)] == []

        machine.write(DOCUMENT, document)
        machine.until("the settings are there", lambda: machine.path("/etc/sudoers.d/ordain").exists(), timeout=90)
        wait_agent_state(machine, "converged", timeout=90)

        lacking = [
            (c, text, said(machine, c))
            for c, texts in READERS.items()
            for text in texts
            if text not in said(machine, c)
        ]
        assert lacking == []
        machine.run("rsyslogd", "-N1")
        assert machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""

        machine.write(DOCUMENT, EMPTY)
        machine.until("the settings are gone", lambda: not machine.path("/etc/sudoers.d/ordain").exists(), timeout=60)
        wait_agent_state(machine, "converged", timeout=90)

        assert [said(machine, command) for command in SAME] == before
        assert [text for command, texts in READERS.items() for text in texts if text in said(machine, command)] == []
