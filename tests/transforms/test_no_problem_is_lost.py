"""Every place that can report a problem is reached, and what it reports is in the result of the compile.

A problem is lost if a renderer reads its list before the last one is in it, or passes on another list.
"""

from __future__ import annotations

import ast
import base64
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

import ordain.transforms
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused, only_errors
from ordain.transforms.machine.facts import read_facts
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Installed, InstalledUnit, Link, MachineAccounts
from ordain.transforms.render.placed_files import MAX_LENGTH

CASES = Path(__file__).parents[1] / "cases"
PARTS = ("render", "graph")
REPORTS = frozenset({"block", "warn", "doubt", "blocked", "warning", "Problem"})
HELPERS = frozenset({"block", "warn", "doubt", "_report", "_problem", "_warning"})
"""Functions that only pass on a problem: the places that matter are those that call them."""
UNITS: Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]] = {
    "ssh.service": {"Service": (("ExecStart", "/usr/sbin/sshd"),), "Unit": ()},
    "cups.socket": {"Socket": (("ListenStream", "631"),)},
    "bus.service": {"Service": (("BusName", "org.example.Bus"),)},
    "puller.target": {"Unit": (("Wants", "bus.service"),)},
}
INSTALLED = Installed(
    units={
        name: InstalledUnit(name=name, path=f"/usr/lib/systemd/system/{name}", sections=sections)
        for name, sections in UNITS.items()
    }
    | {
        "cron.service": InstalledUnit(
            name="cron.service",
            path="/usr/lib/systemd/system/cron.service",
            sections={"Service": ()},
            drop_ins=("/usr/lib/systemd/system/cron.service.d/z.conf",),
            drop_in_keys={"/usr/lib/systemd/system/cron.service.d/z.conf": frozenset({("Service", "Nice")})},
        )
    },
    links=(
        Link(target="sockets.target", kind="wants", name="cups.socket", path="/etc/x"),
        Link(target="multi-user.target", kind="wants", name="ssh.service", path="/etc/y"),
    ),
)
ACCOUNTS = MachineAccounts(
    users={"root": ("0", "0"), "www": ("33", "33"), "games": ("5", "60")},
    groups={"root": "0"},
    complete=True,
    shells=frozenset({"/bin/sh"}),
)
SAMPLES = """
services: {x: {command: /bin/x, environment-files: [/a], limits: {memory: 64, cpu: 50}, user: ghost}}
services: {x: {command: /bin/x, type: notify-reload}}
services: {x: {command: /bin/x, reload: HUP, condition: {host: "", cpus: many}, health: {tcp: a, within: 1M}}}
services: {x: {command: /bin/x, check: ./x}}
files: {/a: {link: /a}}
modules: {loop: {options: "a = b"}}
sysctl: {vm.swappiness: 010}
units: {a.slice: {Slice: {TasksMax: '10'}}, a-b.slice: {Slice: {TasksMax: '20'}}}
services: {x: {command: /opt/x, files: {/opt/x: {content: a}}}}
services: {x: {command: /bin/x, schedule: {every: 0s}, limits: {open-files: 2000000}}}
units: {b.timer: {Timer: {OnCalendar: daily}}}
users: {eve: {shell: /bin/fish}, ann: {home: /usr}, run: {home: /var/run/a}, sys: {system: true, keys: [a]}}
services: {x: {command: /bin/x, user: root, dynamic-user: true}}
groups: {root: {gid: 5}, other: {gid: 0}}
sysctl: {net.ipv4.ip_forward: 'yes', net/ipv4/ip_forward: 1}
services: {x: {command: /bin/x, schedule: {calendar: "*-02-30"}}}
services: {x: {command: /bin/x, systemd: {Service: {SetCredential: "a:b"}}}}
services: {x: {command: /bin/x, description: "\\e"}}
services: {x: {command: /bin/x, environment: {A: "-----BEGIN PRIVATE KEY-----"}}}
services: {x: {command: /bin/x, health: {command: a && b}, systemd: {Service: {ExecStartPost: /bin/a && /bin/b}}}}
services: {x: {command: /bin/x, files: {/etc/a: {content: a}, /etc/b: {template: "{{ instance }}"}}, instances: [i]}}
services: {x: {command: /bin/x, files: {/etc/a: {content: a}}}, y: {command: /bin/y, files: {/etc/a: {content: b}}}}
services: {x: {command: /bin/x, health: {command: [[/bin/a], [/bin/b]]}}}
services: {x: {command: a && b}, y: {command: /bin/y, schedule: {calendar: "*-02-31"}}}
services: {x: {command: /bin/x, listen: {stream: '631'}}}
services: {x: {command: /bin/x, instances: [a], listen: {stream: '1'}}}
services: {a: {command: /bin/a, directories: {runtime: x}}, b: {command: /bin/b, directories: {runtime: x}}}
services: {a: {command: /bin/a, part-of: [/srv/none]}, b: {unit: a.service}}
services: {a: {command: /bin/a, files: {/etc/a: {content: a, mode: 420}}}}
services: {bus: {unit: bus.service, state: stopped}}
services: {gone: {unit: gone.service, state: running}}
services: {cron: {unit: cron.service, nice: 5}}
services: {a: {command: /bin/a, after: [a]}}
services: {a: {command: /bin/a, systemd: {Service: {SystemCallFilter: "@sytem-service"}}}}
services: {a: {command: /bin/a, before: [network-pre]}}
services: {a: {command: /bin/a, wants: [reboot.target]}}
sysctl: {fs.file-max: 0}
services: {a: {command: /bin/a, systemd: {Service: {ListenStream: '1'}}}}
services: {a: {unit: x.timer, command: /bin/a}}
services: {a: {command: /bin/a, phase: early, systemd: {Unit: {FailureAction: reboot}}}}
services: {a: {command: /bin/a, phase: early, systemd: {Service: {TimeoutStartSec: '0'}}}}
units: {ssh.service: {Service: {ExecStart: /bin/a}}}
units: {a.service.d: {Install: {WantedBy: multi-user.target}}}
units: {ssh.service.d: {Unit: {After: ''}}}
mounts: {/proc: {what: a}, /dev/shm: {what: a}, /srv: {type: nfs, what: a, options: [bg], timeout: '0'}}
mounts: {/a: {what: tmpfs, type: tmpfs, options: {size: '64', mode: '420', 'b c': true}}}
mounts: {"/a\\n": {what: a}}
swaps: {/swap: {options: {"a b": true}}}
files: {/etc/passwd: {content: a}, /etc/d/: {content: a}, /etc/e: {mode: '0644'}, /etc/f: {content: a, owner: "a:b"}}
files: {/etc/g: {content: "-----BEGIN PRIVATE KEY-----"}, /etc/h: {credential: ../x}}
files: {/etc/k: {content: a}, /etc/k/l: {content: a}, /var/run/a: {content: a}, /lib/udev/rules.d/a.rules: {content: a}}
files: {/etc/i: {template: "{{ instance }}"}}
users: {A: {}, root: {shell: /bin/a}, zero: {uid: 0}, h: {home: "/a b"}, k: {keys: [" "]}}
users: {w: {uid: 33}, m: {groups: [x]}, nobody: {}}
users: {games: {}}
groups: {nogroup: {}}
users: {"a\\nb": {}}
groups: {A: {}, root: {gid: 5}, zero: {gid: 0}}
files: {/etc/a: {content: a, group: ghost}, /etc/sudoers.d/a.b: {content: a}}
sysctl: {"a b": "1", net.ipv4.ip_forward: " 1", kernel.panic: "true", kernel/panic: "1"}
modules: {"a b": {}, c: {options: "a\\\\"}}
host: {hostname: "a b", time-servers: ["a b"], locale: "a b", timezone: "../a"}
settings: {nosuch: 1, ssh-port: a, login-banner: a, kernel-log-level: 9}
settings: {log-forwarding: {host: a}, ssh-passwords: "yes"}
settings: {ssh-root-login: maybe, kernel-log-level: -1, journal-limits: 1G, time-servers: {a: b}}
settings: {resolver: {domain: a}, hosts: a}
settings: {kernel-log-level: 3}
host: {hostname: a, locale: deutsch, timezone: A/B, keymap: nosuch}
sysctl: {vm.swappiness: 300}
services: {x: {command: "/bin/x %i {{ facts.id }}", instances: [a], health: {within: 1s}, environment: {A: $HOME}}}
services: {x: {command: /bin/x, remain: true, schedule: "*-*-* 03:00 Aa/Bb", health: {http: a}}}
services: {x: {command: /bin/x, schedule: {every: 1h, persistent: true}}}
units: {a@.service: {Service: {ExecStart: /bin/a}, Install: {DefaultInstance: "a/b"}}}
units: {a.service: {Service: {ExecStart: /bin/a}, Install: {DefaultInstance: a, WantedBy: b.target}}}
mounts: {/srv/a: {what: b, type: nfs, options: [noauto, ro, rw]}}
users: {x: {state: absent, shell: /bin/sh}}
files: {/run/user/1000/a: {content: a, owner: "010"}}
sysctl: {kernel.modules_disabled: 1, kernel.kexec_load_disabled: 1}
host: {hostname: 192.0.2.1}
host: {hostname: localhost}
users: {given: {uid: 61200}}
files: {/boot/grub/grub.cfg: {content: a}}
packages: docker
services: {x: {command: /bin/x, schedule: {every: 1ms}}}
services: {x: {command: /bin/x, files: {/opt/y: {content: a}}, check: /opt/y}}
boot: {console: "a b"}
boot: {mode: exclusive, allow: [nothing.service]}
""".splitlines()
LONG = "a" * 300
SEALED, COPY = (base64.b64encode(bytes(length)).decode() for length in (60, 80))
SAMPLES += [
    "sysctl: {kernel.hostname: a}\nhost: {hostname: b}",
    "sysctl: {kernel.x: 1}\nfiles: {/etc/sysctl.d/a.conf: {content: kernel.x=2}}",
    f"files: {{/etc/a: {{content: {'a' * (MAX_LENGTH + 1)}}}}}",
    f"mounts: {{/{LONG}: {{what: a}}}}",
    "services: {a: {command: /a, directories: {runtime: a}, listen: {stream: /run/a/s}}}",
    "services: {a: {command: /a, user: www, directories: {state: a}}}\nfiles: {/var/lib/a/x: {content: x}}",
    f"services: {{c: {{command: /c, on-failure: [/{LONG}]}}}}",
    f"boot: {{console: {LONG}}}",
    f"secrets: {{a: {{value: {SEALED}}}}}",
    f"secrets: {{a: {{value: {SEALED}, keys: [{', '.join(f'{n:016x}:{COPY}' for n in range(10_001))}]}}}}",
    "services: {x: {command: /bin/x, credentials: {p: {secret: nothing}}}}",
    "packages: {bind: {}, bind9: absent, grafana: {}, apache2: {}, httpd: {}, htop/unstable: {}}",
    "packages: {htop: {version: '1', hold: true}}\n---\nordain: v1\nkind: Transform\nname: t\ntier: site\n"
    "package-managers: {apt: {versioned: null, hold: null}, dnf: {versioned: null, hold: null}}",
    "packages: htop\n---\nordain: v1\nkind: Transform\nname: t\ntier: site\npackage-manager: {name: null}",
    "packages: database",
    "users: {eve: {groups: [operators]}}\n---\nordain: v1\nkind: Transform\nname: t\nusers: {operators: {sudo: false}}",
    "services: {two: {state: running}}\n---\nordain: v1\nkind: Transform\nname: t\ntier: site\n"
    "services: {two: {unit: ssh.service, units: {gone.service: true}}}",
    "sysctl: {kernel.printk: 7}\nsettings: {kernel-log-level: 3}",
    "settings: {x: 1, y: 1}\n---\nordain: v1\nkind: Transform\nname: t\ntier: site\n"
    "settings: {x: {writes: {a: {file: /etc/a, content: '{{ z }}'}}}, y: {writes: {a: {content: a}}}}",
    "services: {nginx: {nice: 5}}\n---\nordain: v1\nkind: Transform\nname: t\nservices: {nginx: {unit: [a]}}",
]


def _places() -> set[tuple[str, int]]:
    """Return file and line of each call that reports a problem."""
    places = set()
    for part in PARTS:
        for path in (Path(ordain.transforms.__file__).parent / part).glob("*.py"):
            for function in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(function, ast.FunctionDef) and function.name not in HELPERS:
                    places |= {(str(path.resolve()), call.lineno) for call in _reports(function)}
    return places


def _reports(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in REPORTS:
                yield node


class Recorder:
    """The problems that are made while it is installed, and the lines of code that were at work then."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.made: list[Problem] = []
        self.lines: set[tuple[str, int]] = set()
        make = Problem.__init__

        def record(problem: Problem, **fields: object) -> None:
            make(problem, **fields)  # type: ignore[arg-type]
            self.made.append(problem)
            frame = sys._getframe(1)
            while frame is not None:
                self.lines.add((str(Path(frame.f_code.co_filename).resolve()), frame.f_lineno))
                frame = frame.f_back  # type: ignore[assignment]

        patch.setattr(Problem, "__init__", record)


def _compiled(recorder: Recorder) -> Iterator[tuple[str, tuple[Problem, ...], list[Problem]]]:
    """Yield for each sample its name, the problems of its result, and all that were made for its items."""
    for text in filter(None, SAMPLES):
        documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
        assert not only_errors(problems), text
        for system in ("debian-12", "rhel-8"):
            recorder.made.clear()
            compiled = compile(documents, facts_for(system), INSTALLED, accounts=ACCOUNTS, shipped=shipped())
            yield text, compiled.problems, recorder.made
    for case in sorted(path.parent for path in CASES.glob("*/documents.yaml")):
        documents, _ = read("documents.yaml", (case / "documents.yaml").read_bytes())
        facts = case / "facts.yaml"
        wanted = yaml.safe_load(facts.read_text()) if facts.exists() else {}
        root = case / "root"
        machine = read_facts(root) if root.is_dir() and "os" not in wanted else facts_for(wanted.get("os", "debian-12"))
        recorder.made.clear()
        try:
            compiled = compile(documents, machine, read_installed(root) if root.is_dir() else None, shipped=shipped())
        except Refused as refused:
            yield case.name, refused.problems, recorder.made
        else:
            yield case.name, compiled.problems, recorder.made


def test_every_problem_is_in_the_result_and_every_place_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    lost = []
    for name, reported, made in _compiled(recorder):
        known = "\n".join(problem.what for problem in reported)  # one may be passed on with another code or place
        places = {problem.where for problem in reported}  # of a value whose template fails, that alone is reported
        lost += [(name, p.code, p.what) for p in made if p.item and p.what not in known and p.where not in places]

    assert lost == []
    assert sorted(_places() - recorder.lines) == []
