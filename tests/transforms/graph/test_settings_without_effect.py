"""Settings that a program takes and that do nothing, or something else than they seem to say, are warned of."""

from __future__ import annotations

import pytest

from ordain.transforms.artifacts import UnitFile, UnitLink
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Wanted

NFS = "what: 'nas:/a', type: nfs"
TMPFS = "what: tmpfs, type: tmpfs"
OVERLAY = "what: overlay, type: overlay"
UUID = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
TASK = "command: /bin/true, type: oneshot"


def problems(sections: str) -> list[tuple[str, str, str]]:
    """Return the pointer, text and hint of each problem of a layer on Debian 12."""
    documents, wrong = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\n{sections}\n".encode())
    found = wrong or compile(documents, facts_for("debian-12"), shipped=shipped()).problems
    return [(problem.where.pointer, problem.what, problem.hint) for problem in found]


@pytest.mark.parametrize(
    ("sections", "pointer", "what", "hint"),
    [
        (f"mounts: {{/srv/a: {{{NFS}, options: [noauto]}}}}", "options/noauto", "does nothing here", "state: stopped"),
        (
            f"mounts: {{/srv/a: {{{NFS}, options: [x-systemd.automount]}}}}",
            "",
            "x-systemd.automount",
            "automount: true",
        ),
        (
            "mounts: {/srv/a: {what: LABEL=a, type: ext4, options: [x-systemd.requires=b.service]}}",
            "",
            "requires",
            "NAME.mount.d",
        ),
        ("swaps: {/swap: {options: [noauto]}}", "options/noauto", "does nothing here", "state"),
        ("units: {srv-a.mount: {Mount: {What: /dev/b, Where: /srv/a, Options: noauto}}}", "", "noauto", "state"),
        (f"mounts: {{/srv/a: {{{NFS}, options: [ro, rw]}}}}", "options/ro", "contradict each other", "remove one"),
        ("mounts: {/srv/a: {what: nas, type: nfs}}", "what", "'nas' is not a source", "HOST:/PATH"),
        ("mounts: {/srv/a: {what: win/share, type: cifs}}", "what", "is not a source", "//HOST/SHARE"),
        ("mounts: {/srv/a: {what: /srv/b, type: bind}}", "what", "is not a source", "options: [bind]"),
        ("mounts: {/srv/a: {what: sdb1, type: ext4}}", "what", "is not a source", "UUID="),
        (f"services: {{a: {{{TASK}, remain: true, schedule: daily}}}}", "remain", "never again", "remove"),
        (
            f"services: {{a: {{{TASK}, schedule: {{every: 1h, persistent: true}}}}}}",
            "",
            "on calendar times only",
            "calendar",
        ),
        ("services: {a: {command: /bin/a, user: root, dynamic-user: true}}", "user", "run as root", "remove"),
        (f"services: {{a: {{{TASK}, schedule: {{every: 0s}}}}}}", "schedule/every", "without a pause", "longer"),
        (f"services: {{a: {{{TASK}, schedule: '*-*-* 03:00 Europe/Nowhere'}}}}", "schedule/calendar", "time zone", ""),
        (
            f"services: {{a: {{{TASK}, environment: {{PATH: '$PATH:/opt/bin'}}}}}}",
            "PATH",
            "nothing expands $PATH",
            "PATH",
        ),
        (f"services: {{a: {{{TASK}, environment: {{A: '/x/${{HOME}}/b'}}}}}}", "A", "nothing expands ${HOME}", "value"),
        ("services: {a: {command: /bin/true, health: {within: 1min}}}", "health", "health has no check", "tcp"),
        (
            "services: {a: {command: /bin/true, health: {http: 'localhost:80'}}}",
            "health/http",
            "not the URL",
            "http://",
        ),
        (f"services: {{a: {{{TASK}, condition: {{architecture: amd64}}}}}}", "", "no machine ever has it", "x86-64"),
        (f"services: {{a: {{{TASK}, condition: {{virtualization: '!vmware-esx'}}}}}}", "", "no machine ever", "vmware"),
        ("services: {a: {command: '/bin/x %i', instances: {b: {}}}}", "command", "expands %i", "{{ instance }}"),
        ("services: {a: {command: '/bin/x {{ values.port }}'}}", "command", "expands {{ values.port }}", "template"),
        (
            f"services: {{a: {{{TASK}, environment: {{A: '{{{{ facts.hostname }}}}'}}}}}}",
            "A",
            "facts.hostname",
            "template",
        ),
        ("files: {/etc/w: {content: 'x {{ values.a }}'}}", "content", "expands {{ values.a }}", "template"),
        (
            f"services: {{a: {{{TASK}, schedule: daily, instances: {{b: {{}}}}}}}}",
            "a",
            "cannot have listen or schedule",
            "raw",
        ),
        (
            f"services: {{a: {{{TASK}, condition: {{architecture: [x86-64, arm64]}}}}}}",
            "architecture",
            "two values",
            "|A",
        ),
        (
            "units: {a.timer: {Unit: {AssertHost: [a, b]}, Timer: {OnCalendar: daily}}}",
            "AssertHost",
            "two values",
            "|B",
        ),
        (
            "services: {a: {command: /bin/a, limits: {memory: 1G, memory-high: 2G}}}",
            "limits/memory-high",
            "never reached",
            "memory-high",
        ),
        ("units: {a.slice: {Slice: {MemoryMax: 1G, MemoryMin: 2G}}}", "Slice/MemoryMin", "protects more", "smaller"),
        (
            "services: {a: {command: /bin/a, restart-delay: 5s}}",
            "restart-delay",
            "no effect without Restart",
            "on-failure",
        ),
        ("services: {a: {command: /bin/a, watchdog: 5s}}", "watchdog", "does not start it again", "on-watchdog"),
        (
            f"services: {{a: {{{TASK}, stop: /bin/b}}}}",
            "stop",
            "as soon as its ExecStart= has finished",
            "remain: true",
        ),
        (
            "services: {a: {command: /bin/a, listen: {stream: 80, mode: '0660'}}}",
            "listen/mode",
            "with a path",
            "remove",
        ),
        (
            "services: {a: {command: /bin/a, systemd: {Service: {NUMAPolicy: bind}}}}",
            "NUMAPolicy",
            "needs the nodes in NUMAMask=",
            "all",
        ),
        (
            "services: {a: {command: /bin/a, sandbox: {level: standard, write: /home/a}}}",
            "sandbox/write",
            "ProtectHome=yes hides /home/a",
            "read-only",
        ),
        (f"services: {{a: {{{TASK}, health: {{tcp: ':80'}}}}}}", "health", "nobody checks it", "remain: true"),
        (
            "services: {a: {command: /bin/a, sandbox: {network: false}, health: {tcp: ':80'}}}",
            "health/tcp",
            "nobody can reach",
            "Unix socket",
        ),
        (
            "services: {a: {command: /bin/a, sandbox: strict, health: {unix: /tmp/a}}}",
            "health/unix",
            "a /tmp of its own",
            "below /run",
        ),
        (
            "services: {a: {command: /opt/a}}\nfiles: {/opt/a: {content: '#!/bin/sh'}}",
            "services/a/command",
            "/opt/a is not executable",
            "0755",
        ),
        (
            'services: {a: {command: /opt/a}}\nfiles: {/opt/a: {content: "#!/bin/sh\\r\\n", mode: "0755"}}',
            "services/a/command",
            "carriage return",
            "line ends of Unix",
        ),
        (
            "services: {a: {command: /opt/a}}\nfiles: {/opt/a: {content: 'echo', mode: '0755'}}",
            "services/a/command",
            "does not begin with #!",
            "first line",
        ),
        (
            "services: {a: {command: /opt/a, user: games}}\nfiles: {/opt/a: {content: '#!/bin/sh', mode: '0750'}}",
            "services/a/command",
            "cannot be run by games",
            "0755",
        ),
        (
            "services: {a: {command: /bin/a --x=/etc/a.conf, user: games}}\n"
            "files: {/etc/a.conf: {content: a, mode: '0640'}}",
            "services/a/command",
            "games, the user of the service, cannot read /etc/a.conf",
            "group: games",
        ),
        (
            "services: {a: {command: /bin/a /etc/a, dynamic-user: true}}\nfiles: {/etc/a: {credential: a}}",
            "services/a/command",
            "cannot read /etc/a (of root, mode 0600)",
            "use `credentials`",
        ),
        (
            "services: {a: {command: /bin/a, slice: a-b, limits: {memory: 2G}}}\n"
            "units: {a.slice: {Slice: {MemoryMax: 1G}}}",
            "services/a/limits/memory",
            "MemoryMax=2G is above the MemoryMax=1G of a.slice",
            "smaller",
        ),
        (
            "services: {a: {command: /bin/a, limits: {cpu: 3}}}\nunits: {system.slice.d: {Slice: {CPUQuota: 200%}}}",
            "services/a/limits/cpu",
            "CPUQuota=300% is above the CPUQuota=200% of system.slice",
            "smaller",
        ),
        ("sysctl: {vm.swappiness: 010}", "sysctl/vm.swappiness", "an octal number, 8", "write 10 or 8"),
        ("modules: {loop: {options: 'max_loop = 8'}}", "loop/options", "the kernel ignores '='", "without blanks"),
        ("modules: {loop: {options: '-1'}}", "loop/options", "the kernel ignores '-1'", "name=value"),
        (
            "host: {time-servers: 'ntp.org:123'}",
            "host/time-servers",
            "is not a host name or an address",
            "without a port",
        ),
        ("host: {time-servers: '-1'}", "host/time-servers", "is not a host name or an address", "a name"),
        ("boot: {console: 'ttyS0,115200'}", "boot/console", "is not the name of a terminal", "ttyS0"),
        ("boot: {console: infinity}", "boot/console", "is not the name of a terminal", "ttyS0"),
        ("swaps: {/swap: {options: {discard: always}}}", "options/discard", "swapon refuses", "pages"),
        ("swaps: {/swap: {options: [noatime]}}", "options/noatime", "swapon ignores", "priority"),
        ("mounts: {/srv/a: {what: /dev/b, type: EXT4}}", "type", "'EXT4' is not a type", "ext4"),
        ("mounts: {/srv/a: {what: /dev/b, type: btfs}}", "type", "'btfs' is not a type", "btrfs"),
        ("services: {a: {command: /bin/a, reload: hup}}", "reload", "hup is taken for a program", "SIGHUP"),
        ("services: {a: {command: '/bin/a # the server'}}", "command", "nothing begins a comment", "above"),
        ("services: {a: {command: '/bin/a #the server'}}", "command", "nothing begins a comment", "above"),
        ("services: {a: {command: /bin/a, health: {tcp: 80/tcp}}}", "health/tcp", "not the address", "HOST:PORT"),
        ("services: {a: {command: /bin/a, health: {tcp: '::1:80'}}}", "health/tcp", "not the address", "[::1]"),
        ("services: {a: {command: /bin/a, health: {tcp: '99999'}}}", "health/tcp", "not the address", "HOST:PORT"),
        ("services: {a: {command: /bin/a, health: {http: 'http://'}}}", "health/http", "not the URL", "http://"),
        (
            "services: {a: {command: /bin/a, health: {http: 'http://a:99999/'}}}",
            "health/http",
            "not the URL",
            "http://",
        ),
        ("services: {a: {command: /bin/a, health: {bus-name: a}}}", "health/bus-name", "not a bus name", "org."),
        ("services: {a: {command: /bin/a, health: {command: ./x}}}", "health/command", "absolute path", "/"),
        ("services: {a: {command: /bin/a, check: ~/x}}", "check", "absolute path", "/"),
        ("services: {a: {command: /bin/a, health: {tcp: '80', within: 1h}}}", "health/within", "cut to 15min", "15min"),
        ("services: {a: {command: /bin/a, health: {tcp: '80', settle: 1M}}}", "settle", "M is months", "1min"),
        ("services: {a: {command: /bin/a, on-source-loss: {stop-after: 0s}}}", "stop-after", "is never", "keep"),
        ("services: {a: {command: /bin/a, on-source-loss: {stop-after: 2M}}}", "stop-after", "M is months", "2min"),
        ("services: {a: {command: /bin/a, condition: {host: '!'}}}", "condition/host", "is empty", "value"),
        ("files: {/a: {link: /a/b}}", "files/~1a/link", "/a leads back to itself: /a -> /a/b", "another path"),
        ("mounts: {/srv/a: {what: tmpfs}}", "what", "without a type", "`type: tmpfs` too"),
        ("mounts: {/srv/a: {what: sdb1}}", "what", "without a type", "/dev/sdb1"),
        ("mounts: {/srv/a: {what: UUID=xyz}}", "what", "is not a source", "blkid"),
        ("mounts: {/srv/a: {what: UUID=xyz, type: ext4}}", "what", "is not a source", "lower case"),
        (f"mounts: {{/srv/a: {{what: UUID={UUID.upper()}, type: ext4}}}}", "what", "is not a source", "lower case"),
        ("mounts: {/srv/a: {what: UUID=12ab-34cd, type: vfat}}", "what", "is not a source", "upper case"),
        ("mounts: {/srv/a: {what: PARTUUID=xyz, type: vfat}}", "what", "is not a source", "PARTUUID"),
        (f"mounts: {{/srv/a: {{{TMPFS}, options: {{size: 10Q}}}}}}", "options/size", "refuses size=10Q", "512M"),
        (f"mounts: {{/srv/a: {{{TMPFS}, options: {{size: 1.5G}}}}}}", "options/size", "refuses size=1.5G", "whole"),
        (f"mounts: {{/srv/a: {{{TMPFS}, options: {{size: 010M}}}}}}", "options/size", "octal", "without the 0"),
        (f"mounts: {{/srv/a: {{{TMPFS}, options: {{mode: u+rwx}}}}}}", "options/mode", "refuses mode", "1777"),
        (f"mounts: {{/srv/a: {{{TMPFS}, options: {{huge: 'yes'}}}}}}", "options/huge", "refuses huge", "always"),
        ("mounts: {/srv/a: {what: a, type: ramfs, options: {size: 1M}}}", "options/size", "ramfs ignores", "tmpfs"),
        (
            f"mounts: {{/srv/a: {{{OVERLAY}, options: {{upperdir: /a}}}}}}",
            "upperdir",
            "needs the option lowerdir",
            "lower",
        ),
        (f"mounts: {{/srv/a: {{{OVERLAY}}}}}", "mounts/~1srv~1a", "needs the option lowerdir", "lowerdir"),
        (
            f"mounts: {{/srv/a: {{{OVERLAY}, options: {{lowerdir: /a}}}}}}",
            "lowerdir",
            "two directories or more",
            "upperdir",
        ),
        (
            f"mounts: {{/srv/a: {{{OVERLAY}, options: {{lowerdir: /a, upperdir: /b}}}}}}",
            "options/upperdir",
            "needs the option workdir",
            "empty directory",
        ),
        (
            f"mounts: {{/srv/a: {{{OVERLAY}, options: {{lowerdir: /a, upperdir: /b, workdir: /b/w}}}}}}",
            "options/workdir",
            "inside each other",
            "two directories",
        ),
        ("sysctl: {net.ipv4.ip_forward: true}", "sysctl/net.ipv4.ip_forward", "found true", "write 1: the kernel"),
    ],
)
def test_a_setting_that_does_nothing_is_warned_of_at_its_key(sections: str, pointer: str, what: str, hint: str) -> None:
    ((where, said, remedy),) = problems(sections)

    assert where.endswith(pointer)
    assert what in said
    assert hint in remedy


@pytest.mark.parametrize(
    "sections",
    [
        f"mounts: {{/srv/a: {{{NFS}, options: [nofail, _netdev, hard, ro, noexec]}}}}",
        "mounts: {/srv/a: {what: '[2001:db8::1]:/a', type: nfs4}, /srv/b: {what: '//win/share/b', type: cifs}}",
        "mounts: {/srv/a: {what: LABEL=data, type: xfs}, /srv/b: {what: tmpfs, type: tmpfs}}",
        "mounts: {/srv/a: {what: a, type: 9p}, /srv/b: {what: /dev/b}}",
        f"mounts: {{/srv/a: {{what: UUID={UUID}, type: ext4}}, /srv/b: {{what: UUID=12AB-34CD, type: vfat}}}}",
        f"mounts: {{/srv/a: {{what: PARTUUID={UUID}}}, /srv/b: {{what: PARTUUID=0a1b2c3d-01}}}}",
        f"mounts: {{/srv/a: {{what: UUID=0A1B2C3D4E5F6071, type: ntfs}}, /srv/b: {{what: UUID={UUID}}}}}",
        f"mounts: {{/srv/a: {{{TMPFS}, options: {{size: 25%, mode: '1777', nr_inodes: 1k, uid: root}}}}}}",
        f"mounts: {{/srv/a: {{{OVERLAY}, options: {{lowerdir: '/a:/b'}}}}}}",
        f"mounts: {{/srv/a: {{{OVERLAY}, options: {{lowerdir: /a, upperdir: /b, workdir: /bw}}}}}}",
        "services: {a: {command: /bin/a, limits: {memory: 2G, memory-high: 2G}}}",
        "sysctl: {vm.swappiness: 0, kernel.pid_max: 0x10000, kernel.core_pattern: '0', net.core.somaxconn: 100}",
        "modules: {loop: {options: 'max_loop=8 name=\"a b\" debug'}, nvme-core: {}}",
        "host: {time-servers: [0.debian.pool.ntp.org, 192.0.2.1, '2001:db8::1', ntp1]}",
        "boot: {console: /dev/ttyS0}",
        "swaps: {/swap: {options: {discard: once, nofail: true, pri: '5'}}}",
        "mounts: {/srv/a: {what: a, type: fuse.rclone}, /srv/b: {what: /dev/b, type: xyzfs2000}}",
        "services: {a: {command: /bin/a, restart-delay: 5s, restart: 'no'}, b: {command: /bin/b, watchdog: 0s}}",
        "services: {a: {command: /bin/a, restart: on-failure, restart-delay: 5s, watchdog: 5s}}",
        f"services: {{a: {{{TASK}, stop: /bin/b, systemd: {{Service: {{ExecStopPost: -/bin/b}}}}}}}}",
        f"services: {{a: {{{TASK}, remain: true, stop: /bin/b, health: {{tcp: ':80'}}}}}}",
        "services: {a: {command: /bin/a, listen: {stream: [80, /run/a], mode: '0660'}}}",
        "services: {a: {command: /bin/a, sandbox: {network: false}, listen: {stream: 80}, health: {tcp: ':80'}}}",
        "services: {a: {command: /bin/a, sandbox: strict, health: {unix: /run/a}}}",
        "services: {a: {command: /bin/a, sandbox: {level: standard, write: /srv/a}}}",
        "services: {a: {command: /opt/a /etc/a, user: games, group: games}}\n"
        "files: {/opt/a: {content: '#!/bin/sh', mode: '0755'}, /etc/a: {content: a, group: games, mode: '0640'}}",
        "services: {a: {command: /bin/a /etc/a}}\nfiles: {/etc/a: {content: a, mode: '0600'}}",
        "services: {a: {command: /bin/a /etc/a, user: games}}\nfiles: {/etc/a: {content: a, owner: games}}",
        "units: {a.service: {Service: {User: games, ExecStart: '+/bin/a /etc/a'}}}\n"
        "files: {/etc/a: {content: a, mode: '0600'}}",
        "services: {a: {command: /bin/a, slice: a, limits: {memory: 1G}}}\nunits: {a.slice: {Slice: {MemoryMax: 1G}}}",
        "services: {a: {command: /bin/a, reload: SIGHUP, health: {tcp: ':80', within: 15min}}}",
        "services: {a: {command: '/bin/irc #linux', health: {tcp: '[::1]:80'}}}",
        "services: {a: {command: [/bin/a, --color, '#ffaa00', x], health: {http: 'http://a:b@c:8080/?d#e'}}}",
        "services: {a: {command: [tr, '#', x], reload: 'kill -HUP', health: {tcp: localhost:8080}}}",
        f"services: {{a: {{{TASK}, condition: {{architecture: ['!x86-64', '!arm64'], virtualization: [vm, kvm]}}}}}}",
        f"services: {{a: {{{TASK}, systemd: {{Unit: {{ConditionHost: ['|a', '|b']}}}}}}}}",
        "files: {/a: {link: /b}, /b: {link: /c}, /c/d: {link: /a}}",
        f"services: {{a: {{{TASK}, schedule: {{calendar: 'Mon 03:00 Europe/Berlin', persistent: true}}}}}}",
        f"services: {{a: {{{TASK}, schedule: '*-*-* 03:00 UTC'}}}}",
        f"services: {{a: {{{TASK}, environment: {{A: 'pa$sWORD', B: '$5 a day', C: '^a$'}}}}}}",
        "services: {a: {command: /bin/true, health: {http: 'https://[::1]:80/up'}}}",
        f"services: {{a: {{{TASK}, condition: {{architecture: arm64, virtualization: '!container'}}}}}}",
        f"services: {{a: {{{TASK}, condition: {{virtualization: 'no'}}}}}}",
        "services: {a: {command: [/bin/x, {template: '{{ instance }}'}], instances: {b: {}}}}",
        "services: {a: {command: '/usr/bin/date +%H:%M'}}",
        "files: {/etc/w: {template: 'x {{ facts.hostname }}'}, /etc/v: {content: 'a {{ item }} b'}}",
        "units: {j@.service: {Service: {ExecStart: '/bin/x %i'}}}",
    ],
)
def test_a_setting_that_has_its_effect_is_not_warned_of(sections: str) -> None:
    assert problems(sections) == []


@pytest.mark.parametrize(
    ("times", "accuracy"),
    [
        ("every: 10s", "1s"),
        ("every: 5min", "30s"),
        ("every: 2s", "200ms"),
        ("calendar: '*:*:0/10'", "1s"),
        ("calendar: [daily, '*-*-* *:*:00,30']", "1s"),
        ("every: 10min", ""),
        ("every: 1h, calendar: '*:0/5'", ""),
        ("calendar: minutely", ""),
    ],
)
def test_a_timer_with_close_times_is_on_time(times: str, accuracy: str) -> None:
    text = f"ordain: v1\nkind: Layer\nname: a\nservices: {{a: {{{TASK}, schedule: {{{times}}}}}}}\n"
    compiled = compile(read("a.yaml", text.encode())[0], facts_for("debian-12"), shipped=shipped())
    (timer,) = (a for a in compiled.artifacts if isinstance(a, UnitFile) and a.path.endswith(".timer"))

    assert [line for line in timer.content.splitlines() if line.startswith("AccuracySec=")] == (
        [f"AccuracySec={accuracy}"] if accuracy else []
    )


def test_options_that_stand_for_others_come_before_those_that_override_them() -> None:
    documents, _ = read(
        "a.yaml",
        b"ordain: v1\nkind: Layer\nname: a\nmounts: {/srv/a: {what: LABEL=x, options: [exec, users, dev]}}\n",
    )
    artifacts = compile(documents, facts_for("debian-12"), shipped=shipped()).artifacts
    (unit,) = (artifact for artifact in artifacts if isinstance(artifact, UnitFile))

    assert "\nOptions=users,dev,exec\n" in unit.content


def test_a_template_is_started_as_its_default_instance() -> None:
    unit = "{Service: {ExecStart: /bin/x}, Install: {WantedBy: multi-user.target, DefaultInstance: tty1}}"
    documents, _ = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\nunits: {{j@.service: {unit}}}\n".encode())
    compiled = compile(documents, facts_for("debian-12"), shipped=shipped())

    assert compiled.problems == ()
    links = {artifact.path: artifact.target for artifact in compiled.artifacts if isinstance(artifact, UnitLink)}
    assert links["normal/multi-user.target.wants/j@tty1.service"] == "../j@.service"
    assert [(member.unit, member.wanted) for member in compiled.members if "j@" in member.unit] == [
        ("j@tty1.service", Wanted.RUNNING)
    ]
