"""Values that are surely meant otherwise are warned of, wherever they can be written."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read


def doubts(text: str) -> list[tuple[str, str]]:
    """Return the pointer and the text of each warning of doubt about a layer with the sections ``text``."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), shipped=shipped())
    assert {p.code for p in compiled.problems} <= {"Doubtful"}
    return [(p.where.pointer, p.what) for p in compiled.problems]


def service(keys: str) -> str:
    return f"services: {{x: {{command: /bin/x, {keys}}}}}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (service("limits: {memory: 64}"), "MemoryMax=64 is 64 bytes"),
        (service("limits: {memory-high: 512}"), "MemoryHigh=512 is 512 bytes"),
        (service("limits: {memory-locked: 64}"), "LimitMEMLOCK=64 is 64 bytes"),
        (service("systemd: {Service: {MemoryMax: '64'}}"), "MemoryMax=64 is 64 bytes"),
        ("units: {x.service: {Service: {ExecStart: /bin/x, LimitAS: '4096'}}}", "LimitAS=4096 is 4096 bytes"),
        ("services: {ssh: {limits: {memory: 64}}}", "MemoryMax=64 is 64 bytes"),
        (service("limits: {core: 64}"), "LimitCORE=64 is 64 bytes"),
        (service("limits: {open-files: 1}"), "LimitNOFILE=1: a process has three open files"),
        (service("systemd: {Service: {LimitNOFILE: '4:1024'}}"), "LimitNOFILE=4:1024: a process"),
        (service("limits: {memory: 0}"), "MemoryMax=0: no process"),
        (service("limits: {cpu: 50}"), "50 without % is 50 whole CPUs"),
        (service("limits: {cpu: '100'}"), "100 without % is 100 whole CPUs"),
        ("files: {/etc/x: {content: a, mode: 420}}", "mode 420 is octal: r---w----"),
        (service("schedule: {calendar: '*-02-30 4:00'}"), "'*-02-30 4:00' never comes"),
        ("units: {x.timer: {Timer: {OnCalendar: '*-02-30'}}}", "'*-02-30' never comes: no month"),
        ("sysctl: {net.ipv4.ip_forward: 'yes'}", "would refuse 'yes' for net.ipv4.ip_forward"),
        ("sysctl: {fs.file-max: 1e6}", "would refuse '1e6' for fs.file-max"),
        (
            service("files: {/etc/x: {content: a, mode: '755'}}, listen: {stream: /run/x, mode: '420'}"),
            "SocketMode=420",
        ),
        ("mounts: {/srv: {what: tmpfs, type: tmpfs, options: {size: '64'}}}", "size=64 is 64 bytes"),
        ("mounts: {/srv: {what: tmpfs, type: tmpfs, options: {mode: '755', size: '64'}}}", "size=64 is 64 bytes"),
        ("mounts: {/srv: {what: tmpfs, type: tmpfs, options: {mode: '420'}}}", "mode 420 is octal"),
        (service("start-timeout: 30000"), "TimeoutStartSec=30000 is 30000 seconds (8 hours)"),
        (service("start-timeout: 5M"), "TimeoutStartSec=5M: M is months, and m is minutes"),
        (service("restart: always, restart-delay: 1 M"), "RestartSec=1 M: M is months"),
        (service("start-timeout: 0s"), "TimeoutStartSec=0s is a time without an end"),
        (service("stop-timeout: 0"), "TimeoutStopSec=0 is a time without an end"),
        (service("restart: always, restart-delay: infinity"), "RestartSec=infinity is a time that never comes"),
        (service("restart: always, watchdog: 99999999999s"), "WatchdogSec=99999999999s is 3168 years"),
        (service("schedule: {every: 1M}"), "OnUnitActiveSec=1M: M is months"),
        (service("schedule: {after-boot: infinity}"), "OnBootSec=infinity is a time that never comes"),
        ("units: {x.timer: {Timer: {OnCalendar: daily, RandomizedDelaySec: 2M}}}", "RandomizedDelaySec=2M"),
        (service("umask: 0755"), "UMask=0755 takes the rights rwx from the owner"),
        (service("umask: 0644"), "UMask=0644 takes the rights rw from the owner"),
        (service("limits: {memory: 1.5}"), "MemoryMax=1.5 is 1.5 bytes"),
        (service("limits: {memory-high: 0}"), "MemoryHigh=0: the service would be throttled"),
        (service("limits: {processes: 0}"), "LimitNPROC=0: the user could not start any process"),
        (service("start-limit: {burst: 0}"), "StartLimitBurst=0: with this number, starts are not limited"),
        (service("restart: always, systemd: {Service: {WatchdogSec: '10000'}}"), "WatchdogSec=10000 is 10000 seconds"),
        ("services: {x: {command: echo a && reboot}}", "so && is an ordinary word for echo"),
        ("services: {x: {command: cat /a > /b}}", "so > is an ordinary word"),
        ("services: {x: {command: cat /a >/b}}", "so >/b is an ordinary word"),
        ("services: {x: {command: cat /a 2>&1}}", "so 2>&1 is an ordinary word"),
        ("services: {x: {command: '/bin/a | /bin/b'}}", "so | is an ordinary word"),
        ("services: {x: {command: '/bin/a ; /bin/b'}}", "so ; is an ordinary word"),
        ("services: {x: {command: '/bin/a &'}}", "so & is an ordinary word"),
        ("services: {x: {command: /bin/a $(date)}}", "so $(date) is an ordinary word"),
        ("services: {x: {command: '/bin/a `date`'}}", "so `date` is an ordinary word"),
        ("services: {x: {command: /bin/a $HOME}}", "nothing expands $HOME"),
        ("services: {x: {command: '/bin/a ${HOME}'}}", "nothing expands ${HOME}"),
        (service("reload: /bin/kill -HUP $MAINPID"), "no shell and no systemd reads $MAINPID here"),
        (service("before-start: mkdir /a && true"), "so && is an ordinary word"),
        (service("health: {command: test -e /a && true}"), "so && is an ordinary word"),
        (service("check: test -e /a || true"), "so || is an ordinary word"),
        ("units: {x.service: {Service: {ExecStart: /bin/a && /bin/b}}}", "so && is an ordinary word"),
        (service("before-start: mkdir x; touch y"), "so x; is an ordinary word for mkdir"),
        (service("stop: kill `cat /run/x.pid`"), "so `cat is an ordinary word for kill"),
        ("services: {x: {command: cat $(which sh)}}", "so $(which is an ordinary word for cat"),
        ("services: {x: {command: /bin/a --now=$(date)}}", "so --now=$(date) is an ordinary word"),
        ("services: {x: {command: ls ~/x}}", "nothing expands ~/x: ls gets this very word"),
        ("services: {x: {command: ls /tmp/*.txt}}", "nothing expands /tmp/*.txt"),
        ("services: {x: {command: 'mkdir -p /srv/{a,b}'}}", "nothing expands /srv/{a,b}"),
        ("services: {x: {command: FOO=bar /bin/x}}", "so FOO=bar is taken for the program"),
        ("services: {x: {command: cd /srv && ./run}}", "cd is a command of the shell"),
        ("services: {x: {command: '/bin/echo ${X:-1}'}}", "nothing expands ${X:-1}"),
        ("services: {x: {command: /bin/a --dir=$HOME/x}}", "nothing expands --dir=$HOME/x"),
        (
            "units: {x.service: {Service: {ExecStart: /bin/x, ExecReload: '/bin/kill -HUP $MAINPID; /bin/true'}}}",
            "so $MAINPID; is an ordinary word for /bin/kill",
        ),
        ("units: {x.service: {Service: {ExecStart: '-A=b /bin/x'}}}", "so A=b is taken for the program"),
        ("units: {x.service: {Service: {ExecStart: '/bin/x ${A:-b}'}}}", "nothing expands ${A:-b}"),
        ("units: {x.service: {Service: {ExecStart: /bin/rm /run/x/*}}}", "nothing expands /run/x/*"),
    ],
)
def test_a_value_that_is_meant_otherwise_is_warned_of(text: str, what: str) -> None:
    ((pointer, said),) = doubts(text)

    assert what in said
    assert pointer


@pytest.mark.parametrize(
    "text",
    [
        service("limits: {memory: 64M, cpu: 2, core: 0}"),
        service("limits: {cpu: '400%'}"),
        service(
            "start-timeout: 5m, stop-timeout: infinity, watchdog: 0s, restart: always, restart-delay: 90s, umask: 077"
        ),
        service("start-limit: {burst: 5, interval: 0s}, limits: {processes: 100, memory: 1.5G}"),
        service("schedule: {every: 1month, after-boot: 1y, splay: 5m}"),
        service("limits: {cpu: 0.5, memory-locked: 67108864}"),
        "files: {/etc/x: {content: a, mode: '0420'}}",
        service("start-timeout: 30000s, stop-timeout: 9000, restart: always, restart-delay: 500ms"),
        "files: {/etc/x: {content: a, mode: 0644}}",
        "mounts: {/srv: {what: tmpfs, type: tmpfs, options: {size: 64M}}}",
        service("limits: {core: 64M, open-files: 1024, tasks: 1}"),
        service("systemd: {Service: {LimitCORE: '0:infinity', MemorySwapMax: '0'}}"),
        "services: {x: {command: [/bin/sh, -c, 'a && b > c | d $HOME']}}",
        "services: {x: {command: [psql, -c, 'select `a`; commit;', -q]}}",
        "services: {x: {command: [rsync, -a, --exclude, /srv/*.o, /srv/a, 'host:~/b']}}",
        "services: {x: {command: [/bin/a, '/api/*', 'a;b', 'x;', '-q', 'http://h/?a={b,c}', '$$HOME', '$1', 'a~']}}",
        "services: {x: {command: [envsubst, $HOME]}}",
        "units: {x.service: {Service: {Type: oneshot, ExecStart: '/bin/a $X ${Y} ; /bin/b'}}}",
        "services: {x: {command: 'find /tmp -type f -exec rm {} \\;'}}",
        "services: {x: {command: [/usr/bin/test, a, '>', b]}}",
        "services: {x: {command: grep -E 'a|b$' /etc/x}}",
        "services: {x: {command: [awk, '{print $1}', /etc/x]}}",
        "units: {x.service: {Service: {ExecReload: /bin/kill -HUP $MAINPID, ExecStart: /bin/x}}}",
    ],
)
def test_a_value_that_is_meant_so_is_not(text: str) -> None:
    assert doubts(text) == []


@pytest.mark.parametrize(
    ("keys", "pointer"),
    [
        ("limits: {tasks: 010}", "limits/tasks"),
        ("limits: {open-files: '0755'}", "limits/open-files"),
        ("limits: {cpu: '010%'}", "limits/cpu"),
        ("listen: {stream: 0755}", "listen/stream"),
        ("listen: {stream: '127.0.0.1:0755'}", "listen/stream"),
        ("systemd: {Service: {Nice: '010'}}", "systemd/Service/Nice"),
        ("systemd: {Service: {CPUAffinity: '010'}}", "systemd/Service/CPUAffinity"),
        ("systemd: {Service: {KillSignal: '010'}}", "systemd/Service/KillSignal"),
    ],
)
def test_a_number_that_systemd_reads_as_octal_is_refused(keys: str, pointer: str) -> None:
    documents, _ = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{service(keys)}\n".encode())
    problems = compile(documents, facts_for("debian-13"), shipped=shipped()).problems

    assert [(p.where.pointer, str(p.severity)) for p in problems] == [(f"services/x/{pointer}", "blocked")]


@pytest.mark.parametrize(
    "text",
    [
        "mounts: {/srv: {what: tmpfs, type: tmpfs, timeout: 0s}}",
        "mounts: {/srv: {what: tmpfs, type: tmpfs, timeout: 0min}}",
        "services: {x: {command: /bin/x, phase: early, start-timeout: 0s}}",
        "services: {x: {command: /bin/x, phase: early, systemd: {Service: {TimeoutSec: 0 s}}}}",
    ],
)
def test_the_boot_waits_for_nothing_without_an_end_in_any_spelling(text: str) -> None:
    documents, _ = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    problems = compile(documents, facts_for("debian-13"), shipped=shipped()).problems

    assert "Vital" in {p.code for p in problems}


@pytest.mark.parametrize(("mode", "hint"), [("384", "write 0600"), ("493", "write 0755"), ("999", "three or four")])
def test_a_decimal_mode_is_refused_with_the_octal_one(mode: str, hint: str) -> None:
    text = f"ordain: v1\nkind: Layer\nname: d\nfiles: {{/etc/x: {{content: a, mode: {mode}}}}}\n"
    _, (problem,) = read("d.yaml", text.encode())

    assert hint in problem.hint
