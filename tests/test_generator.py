"""The generator as systemd runs it: the real executable, on machines that are directories."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ordain.generator.cache import Cache, pack

TREE = Path(__file__).parents[1]
SOURCES = TREE / "generator"
STUB = SOURCES / "ordain-generator"
BOOT_ID = "3c8d0cbb-5d32-4b3c-8a3a-1f1fb54cf5d4"
MACHINE_ID = "0123456789abcdef0123456789abcdef"

TRIAL = "run/ordain/boot/current"
CURRENT = "etc/ordain/boot/current"
FALLBACK = "etc/ordain/boot/fallback"
BASELINE = "usr/lib/ordain/boot/baseline"

pytestmark = pytest.mark.skipif(not STUB.exists(), reason="needs the source tree: this is a copy of tests/")


def cache(number: int, *, machine_id: str = "", boot_id: str = "") -> bytes:
    """Generation ``number``: a service, its link, a drop-in, an early mask, and a late unit."""
    text = f"[Service]\nExecStart=/bin/echo {number}\n".encode()
    return pack(
        Cache(
            number=number,
            hash=f"hash{number}",
            machine_id=machine_id,
            boot_id=boot_id,
            entries=[
                ("normal/web.service", 0o644, text, None),
                ("normal/multi-user.target.wants/web.service", 0o777, None, b"../web.service"),
                ("normal/ssh.service.d/00-ordain.conf", 0o600, b"[Service]\nNice=5\n", None),
                ("early/multi-user.target.wants/cron.service", 0o777, None, b"/dev/null"),
                ("late/gap.target", 0o644, b"[Unit]\n", None),
            ],
        )
    )


def dump(*directories: Path) -> str:
    """Everything below ``directories``, as `ordainctl render` prints it."""
    lines = []
    for directory in directories:
        for path in sorted(directory.rglob("*")):
            name = f"{directory.name}/{path.relative_to(directory)}"
            if path.is_symlink():
                lines.append(f"=== {name} -> {path.readlink()}\n")
            elif path.is_file():
                lines.append(f"=== {name} {path.stat().st_mode & 0o7777:04o}\n{path.read_text()}")
    return "".join(lines)


class Machine:
    """A root directory with the generator, run as systemd would run it."""

    def __init__(self, generator: Path, folder: Path) -> None:
        self.generator = generator
        self.root = folder / "root"
        self.out = folder / "out"
        for name in ("normal", "early", "late"):
            (self.out / name).mkdir(parents=True)
        self.put("proc/sys/kernel/random/boot_id", f"{BOOT_ID}\n")
        self.put("etc/machine-id", f"{MACHINE_ID}\n")
        self.put("proc/cmdline", "root=/dev/vda1 quiet\n")

    def put(self, path: str, content: bytes | str, mode: int = 0o644) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        target.chmod(mode)
        return target

    @property
    def directories(self) -> list[Path]:
        return [self.out / name for name in ("normal", "early", "late")]

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(self.generator), f"--root={self.root}", *map(str, arguments or self.directories)]

    def run(self, *arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        result: subprocess.CompletedProcess[str] = subprocess.run(  # type: ignore[call-overload]
            self.command(*arguments),
            **{"capture_output": True, "text": True, "timeout": 30, "env": {}, "stdin": subprocess.DEVNULL} | options,
        )
        assert "Traceback" not in (result.stderr or "")
        return result

    @property
    def record(self) -> dict[str, str]:
        """The run record; notes and problems as one text each."""
        pairs: dict[str, str] = {}
        for line in (self.root / "run/ordain/boot/choice").read_text().splitlines():
            key, _, value = line.partition("=")
            pairs[key] = f"{pairs[key]}\n{value}" if key in pairs else value
        return pairs

    def placed(self) -> str:
        """Number of the generation placed, "" for none."""
        unit = self.out / "normal/web.service"
        return unit.read_text().split()[-1] if unit.exists() else ""

    def names(self) -> list[str]:
        return sorted(str(p.relative_to(self.out)) for p in self.out.rglob("*") if p.is_symlink() or p.is_file())


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The executable and its modules as the package lays them out, but for the place."""
    folder = tmp_path_factory.mktemp("generator")
    modules = folder / "lib/ordain/generator"
    modules.mkdir(parents=True)
    for source in SOURCES.glob("*.py"):
        (modules / source.name).write_bytes(source.read_bytes())
    compileall = ["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compileall, str(modules)], check=True)
    text = STUB.read_text()
    assert text.count('"/usr/lib/ordain/') == 1
    before, _, after = text.partition('"/usr/lib/ordain/')
    stub = folder / "ordain-generator"
    stub.write_text(f'{before}"{folder}/lib"{after.partition(chr(34))[2]}')
    stub.chmod(0o755)
    return stub


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


def test_one_directory_takes_all_three(machine: Machine) -> None:
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
def test_one_or_three_directories_or_usage(machine: Machine, arguments: list[str]) -> None:
    result = subprocess.run([machine.generator, *arguments], capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr.startswith("usage: ordain-generator")


def test_the_record_says_what_was_placed_from_where(machine: Machine) -> None:
    machine.put(CURRENT, cache(4))
    machine.run()

    record = machine.record

    assert int(record.pop("usec")) > 0
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


GOOD: dict[str, bytes] = {
    TRIAL: cache(1, boot_id=BOOT_ID),
    CURRENT: cache(2, machine_id=MACHINE_ID),
    FALLBACK: cache(3),
    BASELINE: cache(4),
    "etc/ordain/boot/9": cache(9),
}
OLD_TRIAL = {TRIAL: cache(1, boot_id="00" * 16)}
DAMAGED = b"ordain-cache 1 00000000\n1\0x\0\0"
ATTEMPTS = "etc/ordain/boot/attempts"


def tries(**boots: int) -> bytes:
    return b"".join(b"%s boot%d\n" % (hash.encode(), n) for hash, count in boots.items() for n in range(count))


def without(*paths: str, **_: object) -> dict[str, bytes]:
    return {path: data for path, data in GOOD.items() if path not in paths}


# What the machine holds, the kernel command line → where from, and a word of the note if there is one.
CHOICES: Mapping[str, tuple[dict[str, bytes], str, str, str]] = {
    "the trial of this boot wins": (GOOD, "", "trial", ""),
    "another boot's trial is over": (GOOD | OLD_TRIAL, "", "current", ""),
    "a trial bound to no boot is none": (GOOD | {TRIAL: cache(1)}, "", "current", ""),
    "no trial": (without(TRIAL), "", "current", ""),
    "no current": (without(TRIAL, CURRENT), "", "fallback", ""),
    "no fallback": (without(TRIAL, CURRENT, FALLBACK), "", "baseline", ""),
    "nothing": ({}, "", "nothing", ""),
    "a damaged trial": (GOOD | {TRIAL: DAMAGED}, "", "current", "DamagedCache"),
    "a damaged current": (GOOD | OLD_TRIAL | {CURRENT: DAMAGED}, "", "fallback", "DamagedCache"),
    "an empty current": (GOOD | OLD_TRIAL | {CURRENT: b""}, "", "fallback", "empty file"),
    "a later format": (GOOD | OLD_TRIAL | {CURRENT: b"ordain-cache 2 "}, "", "fallback", "NewerCache"),
    "another machine's": (GOOD | OLD_TRIAL | {CURRENT: cache(2, machine_id="f" * 32)}, "", "fallback", "ForeignCache"),
    "all damaged": (dict.fromkeys(GOOD, DAMAGED), "", "nothing", "baseline: DamagedCache"),
    "two boots did not complete": (without(TRIAL) | {ATTEMPTS: tries(hash2=2)}, "", "current", ""),
    "three did not": (without(TRIAL) | {ATTEMPTS: tries(hash2=3)}, "", "fallback", "3 boots with generation 2"),
    "nor three with the fallback": (
        without(TRIAL) | {ATTEMPTS: tries(hash2=3, hash3=3)},
        "",
        "baseline",
        "3 boots with generation 3",
    ),
    "nor with anything": (
        without(TRIAL) | {ATTEMPTS: tries(hash2=3, hash3=3, hash4=5)},
        "",
        "nothing",
        "3 boots with generation 4",
    ),
    "a fallback that is the same is no way out": (
        {CURRENT: cache(2), FALLBACK: cache(2), BASELINE: cache(4), ATTEMPTS: tries(hash2=3)},
        "",
        "baseline",
        "fallback: 3 boots",
    ),
    "a boot counts once": (without(TRIAL) | {ATTEMPTS: b"hash2 boot\n" * 3}, "", "current", ""),
    "attempts of garbage": (without(TRIAL) | {ATTEMPTS: bytes(range(256)) * 9}, "", "current", ""),
    "off": (GOOD, "ordain=off", "off", ""),
    "off and on again": (GOOD, "ordain=off ordain=on", "trial", ""),
    "the fallback is asked for": (without(TRIAL), "ordain.boot=fallback", "fallback", ""),
    "the baseline is asked for": (without(TRIAL), "ordain.boot=baseline", "baseline", ""),
    "a number is asked for": (without(TRIAL), "ordain.boot=9", "9", ""),
    "a number that is gone": (without(TRIAL), "ordain.boot=8", "fallback", "ordain.boot=8: there is none"),
    "a number that is damaged": (
        without(TRIAL) | {"etc/ordain/boot/9": DAMAGED},
        "ordain.boot=9",
        "fallback",
        "boot/9: DamagedCache",
    ),
    "a word that is none": (without(TRIAL), "ordain.boot=../../x", "fallback", "want fallback, baseline or a number"),
    "the last word counts": (without(TRIAL), "ordain.boot=9 ordain.boot=baseline", "baseline", ""),
    "who asks for it gets it, tried or not": (
        without(TRIAL) | {ATTEMPTS: tries(hash3=9)},
        "ordain.boot=fallback",
        "fallback",
        "",
    ),
    "an apply in this boot wins over the command line": (GOOD, "ordain.boot=baseline", "trial", ""),
}
NUMBERS = {"trial": "1", "current": "2", "fallback": "3", "baseline": "4", "9": "9", "nothing": "", "off": ""}


@pytest.mark.parametrize(("files", "cmdline", "origin", "note"), CHOICES.values(), ids=CHOICES)
def test_the_choice(machine: Machine, files: dict[str, bytes], cmdline: str, origin: str, note: str) -> None:
    for path, data in files.items():
        machine.put(path, data)
    machine.put("proc/cmdline", f"quiet {cmdline}\n")

    result = machine.run()

    assert machine.placed() == NUMBERS[origin]
    assert machine.record["from"] == origin
    assert note in machine.record.get("note", "")
    assert bool(note) == ("note" in machine.record)
    assert note in result.stderr
    assert result.returncode == (1 if note and origin == "nothing" else 0)


def test_in_a_container_the_command_line_is_that_of_its_pid_1(machine: Machine) -> None:
    machine.put(CURRENT, cache(2))
    machine.put("proc/cmdline", "ordain.boot=baseline\n")
    machine.put("proc/1/cmdline", "/usr/lib/systemd/systemd\0ordain=off\0")

    machine.put("run/systemd/container", "systemd-nspawn\n")
    machine.run()

    assert machine.record["from"] == "off"


def test_a_reload_does_not_change_its_mind_when_its_own_boot_is_counted(machine: Machine) -> None:
    machine.put(CURRENT, cache(2))
    machine.put(FALLBACK, cache(3))
    machine.put(ATTEMPTS, tries(hash2=2))
    machine.run()

    machine.put(ATTEMPTS, tries(hash2=3))  # what ordain-boot-attempt.service does in this boot
    machine.run()
    reloaded = machine.record["from"], machine.record["booted"]
    machine.put("proc/sys/kernel/random/boot_id", "another-boot\n")
    machine.run()

    assert reloaded == ("current", "hash2")
    assert (machine.record["from"], machine.record["booted"]) == ("fallback", "hash3")
    machine.put(ATTEMPTS, b"")
    machine.run()
    assert machine.record["from"] == "fallback", "and this boot stays with the fallback"


def test_a_new_generation_in_the_same_boot_is_placed_at_the_next_reload(machine: Machine) -> None:
    machine.put(CURRENT, cache(2))
    machine.run()

    machine.put(CURRENT, cache(5))
    machine.run()

    assert machine.placed() == "5"
    assert machine.record["booted"] == "hash2", "the boot is counted for what it began with"


def test_a_boot_of_the_admins_choice_is_not_counted(machine: Machine) -> None:
    machine.put(CURRENT, cache(2))
    machine.put(BASELINE, cache(4))
    machine.put("proc/cmdline", "ordain.boot=baseline")
    machine.run()

    assert not (machine.root / "run/ordain/boot/booted").exists()


def test_by_hand_the_record_of_this_machine_is_left_alone(machine: Machine, tmp_path: Path) -> None:
    before = Path("/run/ordain/boot/choice").exists()
    result = subprocess.run([machine.generator, tmp_path / "units"], env={}, check=False, capture_output=True)

    assert Path("/run/ordain/boot/choice").exists() == before
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("environment", [{"SYSTEMD_IN_INITRD": "1"}, {"SYSTEMD_SCOPE": "user"}])
def test_it_does_nothing_in_the_initrd_and_for_users(machine: Machine, environment: dict[str, str]) -> None:
    machine.put(CURRENT, cache(1))

    assert machine.run(env=environment).returncode == 0
    assert machine.names() == []


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def sparse(path: Path) -> None:
    os.truncate(path, 1 << 30)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (fifo, "not a regular file"),
        (link, "symbolic link"),
        (folder, "not a regular file"),
        (sparse, "1073741824 bytes"),
        (lambda path: path.chmod(0o664), "mode 0664"),
        (lambda path: path.chmod(0o602), "mode 0602"),
    ],
    ids=["a FIFO", "a link", "a directory", "a gigabyte", "written by its group", "written by all"],
)
def test_a_cache_that_is_not_a_safe_file_is_passed_over(machine: Machine, spoil: object, why: str) -> None:
    assert callable(spoil)
    spoil(machine.put(CURRENT, cache(2)))
    machine.put(FALLBACK, cache(3))
    start = time.monotonic()

    result = machine.run()

    assert time.monotonic() - start < 3
    assert machine.record["from"] == "fallback"
    assert why in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_cache_of_another_user_is_passed_over(machine: Machine) -> None:
    os.chown(machine.put(CURRENT, cache(2)), 1234, 0)

    result = machine.run()

    assert result.returncode == 1
    assert "owner 1234" in result.stderr
    assert machine.names() == []


def test_an_entry_that_cannot_be_placed_costs_only_itself(machine: Machine) -> None:
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


def test_a_second_run_leaves_the_same(machine: Machine) -> None:
    machine.put(CURRENT, cache(1))
    machine.run()
    first = dump(*machine.directories)
    (machine.out / "early/multi-user.target.wants/cron.service").unlink()
    (machine.out / "early/multi-user.target.wants/cron.service").symlink_to("elsewhere")

    assert machine.run().returncode == 0
    assert dump(*machine.directories) == first


def many(units: int = 400) -> bytes:
    """A cache whose files all end in the same line, so that a torn one shows."""
    files = [(f"normal/u{i}.service", 0o644, b"[Unit]\n" + b"#\n" * 2000 + b"# end\n", None) for i in range(units)]
    links = [(f"normal/x.target.wants/u{i}.service", 0o777, None, b"../u%d.service" % i) for i in range(units)]
    return pack(Cache(number=1, hash="h", entries=[*files, *links]))


def torn(machine: Machine) -> list[str]:
    """Files systemd would read that are not whole, and links to what is not there."""
    bad = []
    for path in (machine.out / "normal").rglob("*.service"):
        if not path.name.startswith(".") and (not path.exists() or not path.read_bytes().endswith(b"# end\n")):
            bad.append(path.name)
    return bad


@pytest.fixture
def full(machine: Machine) -> Iterator[Path]:
    """A file system of 256 kB for the normal directory."""
    target = machine.out / "normal"
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(target)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield target
    subprocess.run(["umount", target], check=True)


def test_on_a_full_file_system_what_is_there_is_whole(machine: Machine, full: Path) -> None:
    machine.put(CURRENT, many())

    result = machine.run()

    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert len(result.stderr.splitlines()) < 12
    files = [p for p in full.iterdir() if p.is_file()]
    assert files
    assert all(p.read_bytes().endswith(b"# end\n") for p in files)


def test_on_a_read_only_file_system_it_says_so(machine: Machine, full: Path) -> None:
    machine.put(CURRENT, cache(1))
    subprocess.run(["mount", "-o", "remount,ro", full], check=True)

    result = machine.run()

    assert result.returncode == 1
    assert "normal/web.service: Read-only file system" in result.stderr
    assert machine.names() == ["early/multi-user.target.wants/cron.service", "late/gap.target"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGALRM])
def test_killed_at_any_moment_it_leaves_no_torn_file(machine: Machine, number: signal.Signals) -> None:
    machine.put(CURRENT, many())
    random.seed(number)
    start = time.monotonic()
    machine.run()
    whole = time.monotonic() - start
    counts = set()
    ends = set()
    for _ in range(25):
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
        assert (1, "ordain-generator: not done after 5 s, the rest is not placed\n") in ends


def test_two_runs_at_once_do_not_disturb_each_other(machine: Machine) -> None:
    machine.put(CURRENT, many())
    runs = [subprocess.Popen(machine.command(), stderr=subprocess.PIPE) for _ in range(4)]
    results = [(run.communicate()[1], run.returncode) for run in runs]

    assert results == [(b"", 0)] * 4
    assert len(machine.names()) == 800
    assert torn(machine) == []


def test_what_a_killed_run_left_does_not_matter(machine: Machine) -> None:
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


def test_a_reader_that_went_away_does_no_harm(machine: Machine) -> None:
    machine.put(CURRENT, DAMAGED)
    machine.put(FALLBACK, cache(3))
    reader, writer = os.pipe()
    os.close(reader)

    result = machine.run(capture_output=False, stderr=writer)
    os.close(writer)

    assert result.returncode == 0


def test_the_environment_and_the_current_directory_bring_in_no_code(machine: Machine, tmp_path: Path) -> None:
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


def test_the_mask_of_the_caller_does_not_matter(machine: Machine) -> None:
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
    assert len(machine.record) == 9


def test_it_imports_nothing_that_is_not_built_in(machine: Machine) -> None:
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


def test_under_systemd_it_logs_to_the_kernel_one_record_a_line(machine: Machine, tmp_path: Path) -> None:
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
    assert all(line.startswith((b"<4>ordain-generator[", b"<5>ordain-generator[")) for line in lines[:2])
    assert b"]: /run/ordain/boot/current: ForeignCache: made for machine ffff" in lines[0]
    assert 900 < len(lines[0]) < 1000
