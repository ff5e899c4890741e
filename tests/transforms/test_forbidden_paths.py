"""Vital paths are recognized under each of their names, wherever a document names one, and other paths are accepted."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.forbidden_paths import real_path, why_forbidden, why_not_listened, why_not_mounted, why_not_owned


def found(text: str) -> list[str]:
    """Return pointer, code and severity of each problem of a document on Debian 13."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), shipped=shipped())
    return [f"{p.where.pointer} {p.code} {p.severity}" for p in compiled.problems]


@pytest.mark.parametrize(
    ("path", "real"),
    [
        *(("/bin/sh", "/usr/bin/sh"), ("/lib64/", "/usr/lib64"), ("//lib/./systemd", "/usr/lib/systemd")),
        *(("/var/run/systemd", "/run/systemd"), ("/var/lock", "/run/lock"), ("/var/runner", "/var/runner")),
        *(("/proc/self/root/bin/sh", "/usr/bin/sh"), ("/proc/1/cwd/etc", "/etc"), ("/proc/1/rootx", "/proc/1/rootx")),
        *(("/etc/../bin", "/usr/bin"), ("/..", "/"), ("/srv/bin", "/srv/bin")),
    ],
)  # fmt: skip
def test_a_path_has_one_real_form(path: str, real: str) -> None:
    assert real_path(path) == real


@pytest.mark.parametrize(
    "path",
    [
        *("/var/run/systemd/system/a.service", "/usr/bin/python3", "/bin/python3.13", "/usr/lib/python3.13/os.py"),
        *("/bin/mount", "/sbin/fsck.ext4", "/usr/sbin/sh", "/lib/systemd/systemd-journald", "/proc/self/root/etc/x"),
        *("/lib/ordain/a", "/etc/systemd", "/var/lib/dpkg", "/lib/systemd/system/a.service", "/var/run/ordain/a"),
    ],
)
def test_no_file_is_placed_at_another_name_of_a_vital_path(path: str) -> None:
    assert why_forbidden(path)[0]


@pytest.mark.parametrize(
    "path",
    [
        *("/usr/local/bin/python3", "/usr/bin/backup", "/usr/lib/systemd/system-sleep/a", "/var/log/journal"),
        *("/etc/systemd/journald.conf.d/a.conf", "/usr/lib/udev/rules.d/a.rules", "/run/lock/a", "/boot/config.txt"),
        *("/run/systemd/resolved.conf.d/a.conf", "/opt/bin/sh", "/srv/etc/passwd", "/var/lib/systemd/linger/a"),
    ],
)
def test_a_file_beside_a_vital_path_is_placed(path: str) -> None:
    assert why_forbidden(path) == ("", "")


@pytest.mark.parametrize(
    "path",
    "/ /usr /usr/lib /lib /bin /bin/ /lib64 /etc /etc/ordain /etc/systemd /var/run /run/systemd/x /var/lib/ordain/x"
    " /usr/share /usr/lib/x86_64-linux-gnu /proc /proc/self/root/etc /etc/../usr /var/run/udev".split(),
)
def test_nothing_is_mounted_over_a_vital_path(path: str) -> None:
    assert why_not_mounted(path)


@pytest.mark.parametrize(
    "path",
    "/var /var/lib /var/log /home /root /tmp /boot /boot/efi /usr/local /opt /srv/x /run/lock /dev/hugepages /media/a"
    " /proc/fs/nfsd /sys/kernel/config /usr/lib/modules /etc/ssh /var/lib/docker /usr/src /usr/share/data".split(),
)
def test_a_file_system_of_its_own_is_mounted(path: str) -> None:
    assert why_not_mounted(path) == ""


@pytest.mark.parametrize(
    ("path", "vital"),
    [
        *(("/run/systemd", True), ("/run/ordain/x", True), ("/var/lib/dpkg", True), ("/var/log/journal", True)),
        *(("/run/user/1000", True), ("/run/lock", True), ("/run/lock/app", False), ("/var/lib/systemd/app", False)),
        *(("/run/app", False), ("/var/lib/docker", False), ("/var/cache/nginx", False), ("/var/log/app", False)),
    ],
)
def test_a_service_has_no_directory_of_the_system(path: str, vital: bool) -> None:
    assert bool(why_not_owned(path)) is vital


@pytest.mark.parametrize(
    ("path", "vital"),
    [
        *(("/etc/passwd", True), ("/var/run/dbus/a", True), ("/dev/log", True), ("/run/systemd/x", True)),
        *(("/run/systemd/journal/syslog", False), ("/run/app.sock", False), ("/var/run/app/a.sock", False)),
    ],
)  # fmt: skip
def test_no_socket_replaces_a_vital_file(path: str, vital: bool) -> None:
    assert bool(why_not_listened(path)) is vital


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: {a: {command: /bin/a, directories: {runtime: systemd}}}", "services/a/directories/runtime Vital"),
        ("services: {a: {command: /bin/a, directories: {runtime: [b, udev]}}}",
         "services/a/directories/runtime Vital"),
        ("services: {a: {command: /bin/a, directories: {state: dpkg}}}", "services/a/directories/state Vital"),
        ("services: {a: {command: /bin/a, directories: {cache: apt/x}}}", "services/a/directories/cache Vital"),
        ("services: {a: {command: /bin/a, directories: {logs: journal}}}", "services/a/directories/logs Vital"),
        ("services: {ssh: {directories: {runtime: dbus}}}", "services/ssh/directories/runtime Vital"),
        (
            "services: {a: {command: /bin/a, systemd: {Service: {RuntimeDirectory: systemd}}}}",
            "services/a/systemd/Service/RuntimeDirectory Vital",
        ),
        ("units: {a.service: {Service: {ExecStart: /bin/a, StateDirectory: rpm}}}",
         "units/a.service/Service/StateDirectory Vital"),
        ("services: {a: {command: /bin/a, listen: {stream: /etc/passwd}}}", "services/a/listen/stream Vital"),
        ("services: {a: {command: /bin/a, listen: {fifo: /var/run/udev/x}}}", "services/a/listen/fifo Vital"),
        ("units: {a.socket: {Socket: {ListenStream: '/run/a', Symlinks: /bin/sh}}}",
         "units/a.socket/Socket/Symlinks Vital"),
        ("mounts: {/bin: {what: /dev/sdb1}}", "mounts/~1bin Vital"),
        ("mounts: {/etc/ordain: {what: /dev/sdb1, state: masked}}", "mounts/~1etc~1ordain Vital"),
        ("mounts: {/usr/lib: {what: /dev/sdb1, automount: true}}", "mounts/~1usr~1lib Vital"),
        ("mounts: {/var/run/app: {what: tmpfs, type: tmpfs}}", "mounts/~1var~1run~1app NotLoadable"),
        ("units: {lib.mount: {Mount: {What: a}}}", "units/lib.mount Vital"),
        ("files: {/var/run/a: {content: a}}", "files/~1var~1run~1a Item"),
        ("services: {a: {command: /bin/a, files: {/var/run/a: {content: a}}}}", "services/a/files/~1var~1run~1a Item"),
        ("users: {eve: {home: /var/run}}", "users/eve/home Vital"),
        ("users: {eve: {home: /var/run/eve}}", "users/eve/home Item"),
        ("users: {eve: {system: true, keys: [ssh-ed25519 a]}}", "users/eve/keys Item"),
        ("users: {eve: {system: true, home: /bin, keys: [ssh-ed25519 a]}}", "users/eve/home Vital"),
    ],
)  # fmt: skip
def test_a_vital_path_blocks_the_item_that_names_it(text: str, problem: str) -> None:
    assert f"{problem} blocked" in found(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("files: {/lib/udev/rules.d/a.rules: {content: a}}", "files/~1lib~1udev~1rules.d~1a.rules Doubtful warning"),
        ("mounts: {/lib/modules: {what: /dev/sdb1}}", "mounts/~1lib~1modules Doubtful warning"),
    ],
)
def test_a_path_through_a_link_of_most_systems_is_doubtful(text: str, problem: str) -> None:
    assert found(text) == [problem]


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {command: /bin/a, user: root, directories: {runtime: a, state: a/b, logs: a, cache: lock/a}}}",
        "services: {a: {command: /bin/a, directories: {configuration: systemd}}}",
        "services: {a: {command: /bin/a, listen: {stream: /var/run/a.sock}}}",
        "users: {eve: {system: true, home: /bin}, ann: {home: /srv/ann}, kim: {system: true}}",
    ],
)
def test_paths_of_ones_own_are_accepted(text: str) -> None:
    assert found(text) == []
