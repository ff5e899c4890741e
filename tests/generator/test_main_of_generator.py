"""The generator, run as systemd runs it: placement, record, log, and robustness."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.generator.cache import Cache, pack
from support.machines.generator_machine import (
    BOOT_ID,
    CURRENT,
    DAMAGED,
    FALLBACK,
    STUB,
    TREE,
    Machine,
    cache,
    dump,
    install,
)

pytestmark = pytest.mark.skipif(not STUB.exists(), reason="needs the source tree: this is a copy of tests/")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("generator"))


@pytest.fixture
def machine(generator: Path, tmp_path: Path) -> Machine:
    return Machine(generator, tmp_path)


def test_the_executable_loads_the_modules_of_its_own_version() -> None:
    version = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["version"]

    assert f'"/usr/lib/ordain/{version}"' in STUB.read_text()


def test_everything_is_placed_where_systemd_looks(machine: Machine) -> None:
    machine.put(CURRENT, cache(1))

    result = machine.run()

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert dump(*machine.directories) == (
        "=== normal/multi-user.target.wants/web.service -> ../web.service\n"
        "=== normal/ssh.service.d/00-ordain.conf 0600\n[Service]\nNice=5\n"
        "=== normal/web.service 0644\n[Service]\nExecStart=/bin/echo 1\n"
        "=== early/multi-user.target.wants/cron.service -> /dev/null\n"
        "=== late/gap.target 0644\n[Unit]\n"
    )
    assert {p.stat().st_mode & 0o7777 for p in machine.out.rglob("*.wants")} == {0o755}


def test_one_directory_replaces_all_three(machine: Machine) -> None:
    machine.put(CURRENT, cache(1))

    assert machine.run(machine.out / "normal").returncode == 0
    assert machine.names() == [
        "normal/gap.target",
        "normal/multi-user.target.wants/cron.service",
        "normal/multi-user.target.wants/web.service",
        "normal/ssh.service.d/00-ordain.conf",
        "normal/web.service",
    ]


def test_directories_may_be_relative_and_missing(machine: Machine) -> None:
    machine.put(CURRENT, cache(1))

    result = machine.run("normal", "early", "elsewhere", cwd=machine.out)

    assert result.returncode == 0
    assert (machine.out / "elsewhere/gap.target").exists()


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "b", "c", "d"], ["--help"], [""], ["a", "-b", "c"]])
def test_other_than_one_or_three_directories_print_the_usage(machine: Machine, arguments: list[str]) -> None:
    result = subprocess.run([machine.generator, *arguments], capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr.startswith("usage: ordain-generator")


def test_the_record_names_the_placed_generation_and_its_origin(machine: Machine) -> None:
    machine.put(CURRENT, cache(4))
    machine.run()

    record = machine.record

    assert int(record.pop("usec")) == int(record.pop("boot_usec")) > 0
    assert record == {
        "boot_id": BOOT_ID.replace("-", ""),
        "tried": "",
        "booted": "hash4",
        "from": "current",
        "number": "4",
        "hash": "hash4",
        "entries": "5",
    }
    assert (machine.root / "run/ordain/boot/booted").read_text() == f"hash4 {BOOT_ID.replace('-', '')}\n"


def test_a_manual_run_does_not_change_the_record_of_the_machine(machine: Machine, tmp_path: Path) -> None:
    before = Path("/run/ordain/boot/choice").exists()
    result = subprocess.run([machine.generator, tmp_path / "units"], env={}, check=False, capture_output=True)

    assert Path("/run/ordain/boot/choice").exists() == before
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("environment", [{"SYSTEMD_IN_INITRD": "1"}, {"SYSTEMD_SCOPE": "user"}])
def test_it_does_nothing_in_the_initrd_and_for_users(machine: Machine, environment: dict[str, str]) -> None:
    machine.put(CURRENT, cache(1))

    assert machine.run(env=environment).returncode == 0
    assert machine.names() == []


def test_an_entry_that_cannot_be_placed_affects_no_other(machine: Machine) -> None:
    machine.put(CURRENT, cache(1))
    (machine.out / "normal/web.service/sub").mkdir(parents=True)
    (machine.out / "normal/ssh.service.d").write_text("a file where a directory should be")

    result = machine.run()

    assert result.returncode == 1
    assert "normal/web.service: Is a directory" in result.stderr
    assert "normal/ssh.service.d/00-ordain.conf: Not a directory" in machine.record["problem"]
    assert machine.names() == [
        "early/multi-user.target.wants/cron.service",
        "late/gap.target",
        "normal/multi-user.target.wants/web.service",
        "normal/ssh.service.d",
    ]


def test_no_link_leads_out_of_the_directories(machine: Machine, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    links = [
        ("normal/x", 0o777, None, str(outside).encode()),
        ("normal/x/link", 0o777, None, b"target"),
    ]
    (machine.out / "normal/y.d").symlink_to(outside)
    files = [("normal/y.d/00-ordain.conf", 0o644, b"[Unit]\n", None)]
    machine.put(CURRENT, pack(Cache(entries=[*links, *files])))

    result = machine.run()

    assert result.returncode == 1
    assert "normal/x/link: Not a directory" in result.stderr
    assert "normal/y.d/00-ordain.conf: Not a directory" in result.stderr
    assert list(outside.iterdir()) == []


def test_a_second_run_has_the_same_result(machine: Machine) -> None:
    machine.put(CURRENT, cache(1))
    machine.run()
    first = dump(*machine.directories)
    (machine.out / "early/multi-user.target.wants/cron.service").unlink()
    (machine.out / "early/multi-user.target.wants/cron.service").symlink_to("elsewhere")

    assert machine.run().returncode == 0
    assert dump(*machine.directories) == first


def many(units: int = 400) -> bytes:
    """Return a cache whose files all end with the same line, so that an incomplete file is recognizable."""
    files = [(f"normal/u{i}.service", 0o644, b"[Unit]\n" + b"#\n" * 2000 + b"# end\n", None) for i in range(units)]
    links = [(f"normal/x.target.wants/u{i}.service", 0o777, None, b"../u%d.service" % i) for i in range(units)]
    return pack(Cache(number=1, hash="h", entries=[*files, *links]))


def torn(machine: Machine) -> list[str]:
    """Return the incomplete files that systemd would read, and links with a wrong target."""
    bad = []
    for path in (machine.out / "normal").rglob("*.service"):
        if not path.name.startswith(".") and (not path.exists() or not path.read_bytes().endswith(b"# end\n")):
            bad.append(path.name)
    return bad


@pytest.fixture
def full(machine: Machine) -> Iterator[Path]:
    """Mount a file system of 256 kB as the normal directory."""
    target = machine.out / "normal"
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(target)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield target
    subprocess.run(["umount", target], check=True)


def test_files_are_complete_on_a_full_file_system(machine: Machine, full: Path) -> None:
    machine.put(CURRENT, many())

    result = machine.run()

    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert len(result.stderr.splitlines()) < 12
    files = [p for p in full.iterdir() if p.is_file()]
    assert files
    assert all(p.read_bytes().endswith(b"# end\n") for p in files)


def test_a_read_only_file_system_is_reported(machine: Machine, full: Path) -> None:
    machine.put(CURRENT, cache(1))
    subprocess.run(["mount", "-o", "remount,ro", full], check=True)

    result = machine.run()

    assert result.returncode == 1
    assert "normal/web.service: Read-only file system" in result.stderr
    assert machine.names() == ["early/multi-user.target.wants/cron.service", "late/gap.target"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGALRM])
@pytest.mark.thorough
def test_a_kill_at_any_moment_leaves_only_complete_files(machine: Machine, number: signal.Signals) -> None:
    machine.put(CURRENT, many())
    random.seed(number)
    start = time.monotonic()
    machine.run()
    whole = time.monotonic() - start
    counts = set()
    ends = set()
    for _ in range(15):
        subprocess.run(["rm", "-rf", machine.out], check=True)
        for directory in machine.directories:
            directory.mkdir(parents=True)
        with subprocess.Popen(machine.command(), stderr=subprocess.PIPE, text=True) as process:
            time.sleep(random.uniform(0.2, 1.0) * whole)
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
        assert "Traceback" not in errors
        assert torn(machine) == []
        counts.add(len(machine.names()))
        ends.add((process.returncode, errors))

    assert len(counts) > 2, "no run was caught in the middle"
    if number is signal.SIGALRM:  # its own: it ends in order, and says what is missing
        assert (1, "ordain-generator: not finished after 5 s; the other units are not placed\n") in ends


def test_two_runs_at_once_do_not_disturb_each_other(machine: Machine) -> None:
    machine.put(CURRENT, many(100))
    runs = [subprocess.Popen(machine.command(), stderr=subprocess.PIPE) for _ in range(2)]
    results = [(run.communicate()[1], run.returncode) for run in runs]

    assert results == [(b"", 0)] * 2
    assert len(machine.names()) == 200
    assert torn(machine) == []


def test_leftovers_of_a_killed_run_do_no_harm(machine: Machine) -> None:
    machine.put(CURRENT, cache(1))
    # The number of a process comes again: its hidden file may be there.
    leave = "open(f'{sys.argv[-3]}/.ordain-{os.getpid()}', 'w').close(); os.execv(sys.argv[1], sys.argv[1:])"

    result = subprocess.run(
        ["/usr/bin/python3", "-c", f"import os, sys; {leave}", *machine.command()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert machine.placed() == "1"


def test_closed_standard_streams_do_no_harm(machine: Machine) -> None:
    machine.put(CURRENT, DAMAGED)
    machine.put(FALLBACK, cache(3))
    shell = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *machine.command()]

    result = subprocess.run(shell, check=False)

    assert result.returncode == 0
    assert "DamagedCache" in machine.record["note"]
    assert (machine.out / "normal/web.service").read_text() == "[Service]\nExecStart=/bin/echo 3\n"


def test_a_closed_pipe_does_no_harm(machine: Machine) -> None:
    machine.put(CURRENT, DAMAGED)
    machine.put(FALLBACK, cache(3))
    reader, writer = os.pipe()
    os.close(reader)

    result = machine.run(capture_output=False, stderr=writer)
    os.close(writer)

    assert result.returncode == 0


def test_no_code_is_loaded_from_the_environment_or_the_current_directory(machine: Machine, tmp_path: Path) -> None:
    machine.put(CURRENT, cache(1))
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    for name in ("os", "zlib", "posix", "sitecustomize", "usercustomize", "ordain"):
        (hostile / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    environment = {
        "PYTHONPATH": str(hostile),
        "PYTHONHOME": str(hostile),
        "PYTHONSTARTUP": str(hostile / "os.py"),
        "PYTHONWARNINGS": "error",
        "LANG": "de_DE.ISO-8859-1",
        "LC_ALL": "xx_YY.KOI8",
        "PATH": "",
    }

    result = machine.run(env=environment, cwd=hostile)

    assert (result.returncode, result.stderr) == (0, "")
    assert machine.placed() == "1"
    assert not (tmp_path / "ran").exists()


def test_the_umask_of_the_caller_has_no_effect(machine: Machine) -> None:
    machine.put(CURRENT, cache(1))

    machine.run(umask=0o077)

    assert (machine.out / "normal/web.service").stat().st_mode & 0o777 == 0o644


def test_few_file_descriptors_are_enough(machine: Machine) -> None:
    machine.put(CURRENT, many())

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))

    assert machine.run(preexec_fn=limit).returncode == 0


def test_a_hostile_name_on_the_command_line_is_one_line_of_the_log(machine: Machine) -> None:
    machine.put("run/systemd/container", "lxc")
    machine.put("proc/1/cmdline", b"init\0ordain.boot=\x1b[31m\n\xff<0>boom" + b"x" * 5000 + b"\0")

    result = machine.run()

    assert len(result.stderr.splitlines()) == 3
    assert "\x1b" not in result.stderr
    assert len(machine.record) == 10


def test_it_imports_only_built_in_modules(machine: Machine) -> None:
    machine.put(CURRENT, cache(1))
    result = subprocess.run(
        ["/usr/bin/python3", "-BISX", "importtime", *machine.command()], capture_output=True, text=True, check=False
    )

    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}

    assert "ordain.generator.place" in imported
    assert imported & {"os", "re", "json", "typing", "enum", "signal", "stat", "contextlib", "pathlib"} == set()


IN_THE_MANAGER = """\
mount --bind "$1" /dev/kmsg && mount -t tmpfs tmpfs /run && mkdir -p /run/ordain/boot || exit 9
cp "$2" /run/ordain/boot/current
exec env SYSTEMD_SCOPE=system "$3" "$4"
"""


def test_under_systemd_each_line_is_one_record_in_the_kernel_log(machine: Machine, tmp_path: Path) -> None:
    log, broken = tmp_path / "kmsg", tmp_path / "broken"
    os.mkfifo(log)
    records = os.open(log, os.O_RDWR | os.O_NONBLOCK)
    broken.write_bytes(pack(Cache(number=1, machine_id="f" * 5000, entries=[])))
    arguments = [str(log), str(broken), str(machine.generator), str(machine.out)]
    shell = ["unshare", "--mount", "sh", "-c", IN_THE_MANAGER, "sh", *arguments]
    result = subprocess.run(shell, capture_output=True, text=True, check=False)
    if result.returncode == 9 or "unshare" in result.stderr:
        pytest.skip(f"cannot mount here: {result.stderr}")

    lines = os.read(records, 1 << 16).split(b"\n")
    os.close(records)

    assert (result.stderr, len(lines)) == ("", 3)
    assert all(line.startswith((b"<3>ordain-generator[", b"<5>ordain-generator[")) for line in lines[:2])
    assert b"]: /run/ordain/boot/current: ForeignCache: made for another machine (ffff" in lines[0]
    assert 900 < len(lines[0]) < 1000
