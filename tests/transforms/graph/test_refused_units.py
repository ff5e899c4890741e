"""Units that PID 1 refuses are blocked at the key that causes it, from whichever section they come."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Installed, InstalledUnit

ONESHOT = Installed(
    units={
        "tidy.service": InstalledUnit(
            name="tidy.service",
            path="/usr/lib/systemd/system/tidy.service",
            sections={"Service": (("Type", "oneshot"), ("ExecStart", "/usr/bin/tidy"))},
        ),
        "odd.service": InstalledUnit(
            name="odd.service",
            path="/usr/lib/systemd/system/odd.service",
            sections={"Service": (("Type", "oneshot"), ("Restart", "always"), ("ExecStart", "/usr/bin/odd"))},
        ),
    }
)


def found(text: str, installed: Installed | None = None) -> list[tuple[str, str, str]]:
    """Return pointer, code and severity of each problem of a document on Debian 12."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-12"), installed, shipped=shipped())
    return [(p.where.pointer, p.code, str(p.severity)) for p in compiled.problems]


SAME_MOUNTS = [
    ("/dev/shm", "dev-shm", "what: tmpfs, type: tmpfs", "Type: tmpfs, What: tmpfs", "", "Where", "Vital"),
    ("/etc", "etc", "what: tmpfs, type: tmpfs", "Type: tmpfs, What: tmpfs", "", "Where", "Vital"),
    ("/sys/fs/cgroup/x", "sys-fs-cgroup-x", "what: a", "Type: a, What: a", "", "Where", "Vital"),
    ("/srv", "srv", "what: a, timeout: infinity", "TimeoutSec: infinity, What: a", "timeout", "TimeoutSec", "Vital"),
    ("/srv", "srv", "what: 'h:/x', type: nfs, options: [bg]", "Type: nfs, What: 'h:/x', Options: 'rw,bg'",
     "options/bg", "Options", "Encode"),
    ("/srv", "srv", "what: 'h:/x', options: [bg]", "Options: 'bg,_netdev', What: 'h:/x'",
     "options/bg", "Options", "Encode"),
    ("/srv", "srv", "type: nfs", "Type: nfs", "", "", "NotLoadable"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "stem", "neutral", "raw", "key", "directive", "code"), SAME_MOUNTS)
def test_a_mount_is_blocked_alike_in_both_sections(
    path: str, stem: str, neutral: str, raw: str, key: str, directive: str, code: str
) -> None:
    below = f"mounts/{path.replace('/', '~1')}"
    assert found(f"mounts: {{{path}: {{{neutral}}}}}") == [(f"{below}/{key}" if key else below, code, "blocked")]

    below = f"units/{stem}.mount"
    place = f"{below}/Mount/{directive}" if directive else below
    units = f"units: {{{stem}.mount: {{Mount: {{Where: {path}, {raw}}}}}}}"
    assert found(units) == [(place, code, "blocked")]


def test_doubtful_options_of_a_tmpfs_are_warned_of_in_both_sections() -> None:
    neutral = found("mounts: {/a: {what: tmpfs, type: tmpfs, options: {size: '64', mode: '420'}}}")
    raw = found("units: {a.mount: {Mount: {What: tmpfs, Where: /a, Type: tmpfs, Options: 'size=64,mode=420'}}}")

    assert neutral == [(f"mounts/~1a/options/{key}", "Doubtful", "warning") for key in ("size", "mode")]
    assert raw == [("units/a.mount/Mount/Options", "Doubtful", "warning")] * 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("units: {srv-x.mount: {Mount: {What: a, Where: /srv/y}}}", "units/srv-x.mount/Mount/Where NotLoadable"),
        ("units: {usr.automount: {Automount: {Where: /usr}}}", "units/usr.automount/Automount/Where Vital"),
        ("units: {foo.mount: {Mount: {What: a}}}", "units/foo.mount Doubtful"),
        ("units: {proc.mount: {Mount: {What: a}}}", "units/proc.mount Vital"),
        ("units: {srv.mount.d: {Mount: {Options: bg, Type: nfs}}}", "units/srv.mount.d/Mount/Options Encode"),
        ("units: {a.socket: {Socket: {Accept: 'yes', ListenFIFO: /a}}}", "units/a.socket/Socket/Accept NotLoadable"),
        ("units: {a.timer: {Timer: {Persistent: 'yes'}}}", "units/a.timer NotLoadable"),
        ("units: {a.path: {Path: {Unit: b.service}}}", "units/a.path NotLoadable"),
        ("units: {a@.service: {Service: {Nice: '5'}}}", "units/a@.service NotLoadable"),
        ("services: {a: {command: b, type: oneshot, restart: always}}", "services/a/restart NotLoadable"),
        ("services: {a: {command: b, type: dbus}}", "services/a/type NotLoadable"),
        ("services: {a: {command: b, systemd: {Service: {PAMName: x, KillMode: process}}}}",
         "services/a/systemd/Service/KillMode NotLoadable"),
        ("services: {a: {command: b, listen: {datagram: '9', accept: true}}}", "services/a/listen/accept NotLoadable"),
        ("services: {a: {command: b, instances: {x: {systemd: {Service: {Type: dbus}}}}}}", "services/a NotLoadable"),
    ],
)  # fmt: skip
def test_a_refused_unit_is_named_at_the_key_that_causes_it(text: str, problem: str) -> None:
    ((pointer, code, _),) = found(text)

    assert f"{pointer} {code}" == problem


@pytest.mark.parametrize(
    ("text", "installed", "problems"),
    [
        ("units: {tidy.service.d: {Service: {Restart: always}}}", ONESHOT, ["units/tidy.service.d/Service/Restart"]),
        ("services: {tidy: {unit: tidy.service, restart: always}}", ONESHOT, ["services/tidy/restart"]),
        ("units: {tidy.service.d: {Service: {Restart: always}}}", None, []),
        ("units: {odd.service.d: {Service: {Nice: '5'}}}", ONESHOT, []),
        ("units: {tidy.service.d: {Service: {ExecStart: ['', /bin/a, /bin/b]}}}", ONESHOT, []),
        ("units: {tidy.service.d: {Service: {ExecStart: ''}}}", ONESHOT, ["units/tidy.service.d/Service/ExecStart"]),
    ],
)
def test_a_drop_in_is_judged_together_with_its_unit(
    text: str, installed: Installed | None, problems: list[str]
) -> None:
    assert [pointer for pointer, code, _ in found(text, installed) if code == "NotLoadable"] == problems


HIDDEN = [
    ("command: /home/alice/run.sh, sandbox: strict", "services/q/command"),
    ("command: /home/alice/run.sh, sandbox: standard", "services/q/command"),
    ("command: /root/x, systemd: {Service: {ProtectHome: tmpfs}}", "services/q/command"),
    ("command: /tmp/x, sandbox: standard", "services/q/command"),
    ("command: /bin/x, working-directory: /home/alice, sandbox: standard", "services/q/working-directory"),
    ("command: /bin/x, working-directory: /var/tmp/q, sandbox: standard", "services/q/working-directory"),
    ("command: /opt/q/x, systemd: {Service: {InaccessiblePaths: -/opt/q}}", "services/q/command"),
    ("command: /opt/q/x, systemd: {Service: {TemporaryFileSystem: '/opt:ro'}}", "services/q/command"),
]


@pytest.mark.parametrize(("keys", "pointer"), HIDDEN)
def test_a_path_that_the_sandbox_of_its_service_hides_is_warned_of(keys: str, pointer: str) -> None:
    assert found(f"services: {{q: {{{keys}}}}}") == [(pointer, "Doubtful", "warning")]


@pytest.mark.parametrize(
    "keys",
    [
        "command: /srv/x, sandbox: strict",
        "command: /home/alice/run.sh",
        "command: /home/alice/run.sh, systemd: {Service: {ProtectHome: read-only}}",
        "command: /home/alice/x, systemd: {Service: {ProtectHome: tmpfs, BindReadOnlyPaths: /home/alice}}",
        "command: /bin/x, working-directory: /tmp, sandbox: standard",
        "command: /tmp/x, before-start: [/bin/cp /srv/x /tmp/x], sandbox: standard",
        "command: /bin/x, environment-files: [/home/alice/env], sandbox: standard",
        "command: /homestead/x, sandbox: standard",
    ],
)
def test_a_path_that_the_sandbox_leaves_visible_is_not_warned_of(keys: str) -> None:
    assert found(f"services: {{q: {{{keys}}}}}") == []


@pytest.mark.parametrize(
    ("lines", "problems"),
    [
        ((("ExecStart", ""), ("ExecStart", "/usr/bin/sleep 5d")), []),
        ((("ExecStart", "/usr/bin/sleep 5d"),), ["services/web/command"]),
        ((("Type", "oneshot"), ("ExecStart", "/usr/bin/sleep 5d")), []),
    ],
)
def test_a_drop_in_of_an_administrator_is_read_after_a_unit_of_the_documents(
    lines: tuple[tuple[str, str], ...], problems: list[str]
) -> None:
    drop_in = InstalledUnit(name="web.service", path="", sections={"Service": lines}, drop_ins=("/etc/x.conf",))

    pointers = found("services: {web: {command: sleep 1d}}", Installed(units={"web.service": drop_in}))

    assert [pointer for pointer, code, _ in pointers if code == "NotLoadable"] == problems
