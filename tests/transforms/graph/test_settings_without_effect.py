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
            "mounts: {/srv/a: {what: UUID=1, type: ext4, options: [x-systemd.requires=b.service]}}",
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
