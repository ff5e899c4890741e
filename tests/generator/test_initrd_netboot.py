"""The script with which an initrd fetches the root of a machine in RAM, run by the shells that initrds have."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from support.machines.initrd_programs import programs_without_busybox
from support.stores.http_server import QuietHandler, serving

FOLDER = Path(__file__).parents[2] / "packaging/initrd"
TOOLS = ("curl", "zstd", "tar", "sha256sum", "mkfifo")
ABSENT = [tool for tool in TOOLS if shutil.which(tool) is None]
PIECE = 100_000
Answer = Callable[[int, int, bytes], bytes]
"""From the number of the request, its first byte, and the right bytes, to the bytes that are sent."""

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not FOLDER.exists(), reason="needs the source tree"),
    pytest.mark.skipif(bool(ABSENT), reason=f"needs {', '.join(ABSENT)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: tar gives files their owners"),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return an archive that takes several pieces."""
    top = tmp_path_factory.mktemp("tree")
    (top / "sbin").mkdir()
    (top / "sbin/init").write_bytes(b"init")
    (top / "big").write_bytes(os.urandom(350_000))
    command = f"tar --create --directory {top} --numeric-owner . | zstd -q -c"
    return subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout


@contextmanager
def served(data: bytes, answer: Answer = lambda number, first, right: right, *, ranges: bool = True) -> Iterator[str]:
    """Serve ``data`` at the URL; a connection that sends fewer bytes than it announces breaks off."""
    count = 0

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            nonlocal count
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
            assert match is not None
            first, last = int(match[1]), min(int(match[2]), len(data) - 1)
            right = data[first : last + 1] if ranges else data
            sent = answer(count, first, right)
            count += 1
            self.send_response(206 if ranges else 200)
            self.send_header("Content-Length", str(len(right)))
            self.end_headers()
            self.wfile.write(sent)

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/root"


def run(
    shell: list[str],
    home: Path,
    url: str,
    data: bytes,
    *,
    words: str = "",
    free_kb: int = 1 << 20,
    tries: str = "",
    path: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run ordain_root for an archive ``data`` at ``url``; ``home/root`` is the root."""
    digest = hashlib.sha256(data).hexdigest()
    arguments = f"ordain.root={url} ordain.root.sha256={digest} ordain.root.size={len(data)} ordain.root.memory=500000"
    (home / "cmdline").write_text(f"quiet {arguments} {words}\n")
    (home / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {free_kb} kB\n")
    ours = f"ordain_run={home}/run ordain_cmdline={home}/cmdline ordain_meminfo={home}/meminfo"
    code = f"""
set -u
{ours} ORDAIN_PIECE={PIECE} ORDAIN_STALL=0
. {FOLDER}/handover
. {FOLDER}/netboot
ordain_say() {{ echo "said: $*" >&2; }}
ordain_error() {{ echo "error: $*" >&2; }}
ordain_network() {{ echo network; }}
ordain_tmpfs() {{ mkdir -p "$1"; echo try; }}
umount() {{ rm -rf "$1"; }}
sleep() {{ :; }}
{tries}
ordain_root {home}/root && echo mounted
"""
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    command = [shutil.which(shell[0]) or shell[0], *shell[1:], "-c", code]
    return subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_root_is_unpacked_and_its_digest_is_right(shell: list[str], tmp_path: Path, archive: bytes) -> None:
    with served(archive) as url:
        done = run(shell, tmp_path, url, archive)

    assert done.stdout.splitlines() == ["network", f"said: fetching 1 MB from {url}", "try", "mounted"]
    assert (tmp_path / "root/sbin/init").read_bytes() == b"init"
    assert (tmp_path / "root/big").stat().st_size == 350_000
    assert list((tmp_path / "run").iterdir()) == [], "the pieces take no memory of the machine"


def test_an_initrd_without_busybox_has_the_programs(shell: list[str], tmp_path: Path, archive: bytes) -> None:
    def answer(number: int, first: int, right: bytes) -> bytes:
        return right[:40_000] if number == 1 else right

    with served(archive, answer) as url:
        path = programs_without_busybox(tmp_path)
        done = run(shell, tmp_path, url, archive, tries="ORDAIN_STALL=60", path=path)

    assert "not found" not in done.stdout
    assert "mounted" in done.stdout, done.stdout
    assert (tmp_path / "root/sbin/init").read_bytes() == b"init"


def test_a_download_that_breaks_off_goes_on_where_it_stopped(shell: list[str], tmp_path: Path, archive: bytes) -> None:
    firsts: list[int] = []

    def answer(number: int, first: int, right: bytes) -> bytes:
        firsts.append(first)
        return right[:40_000] if number == 1 else right

    with served(archive, answer) as url:
        done = run(shell, tmp_path, url, archive, tries="ORDAIN_STALL=60")

    assert "mounted" in done.stdout, done.stdout
    assert firsts[:4] == [0, PIECE, PIECE + 40_000, 2 * PIECE]
    assert f"broken off after {PIECE + 40_000} of {len(archive)} bytes" in done.stdout


def test_a_damaged_archive_is_never_started(shell: list[str], tmp_path: Path, archive: bytes) -> None:
    other = subprocess.run(["zstd", "-q", "-c"], input=bytes(len(archive) * 9), capture_output=True, check=True).stdout
    with served(other + bytes(len(archive) - len(other))) as url:
        done = run(shell, tmp_path, url, archive)

    assert done.stdout.count("try\n") == 3
    assert "mounted" not in done.stdout
    assert f"error: {url}: it could not be" in done.stdout
    assert not (tmp_path / "root").exists(), "nothing of it is left"


def test_another_archive_than_the_named_one_is_never_started(shell: list[str], tmp_path: Path, archive: bytes) -> None:
    with served(archive) as url:
        done = run(shell, tmp_path, url, archive, words=f"ordain.root.sha256={'0' * 64}")

    assert "mounted" not in done.stdout
    assert f"its digest is {hashlib.sha256(archive).hexdigest()}, and should be {'0' * 64}" in done.stdout


def hostile(outside: Path) -> bytes:
    """Return an archive whose members lead out of the directory that it is unpacked into, each in another way."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:

        def add(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> None:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, target, 0o4755
            member.size = 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"evil") if member.size else None)

        up = "/".join([".."] * 20)
        add(f"{up}{outside}/parent")
        add(f"{outside}/absolute")
        for name, target in (("link", f"{outside}"), ("relative", f"{up}{outside}")):
            add(name, tarfile.SYMTYPE, target)
            add(f"{name}/through")
        add("here", tarfile.SYMTYPE, ".")
        add("here/above", tarfile.SYMTYPE, "..")
        add("here/above/above-through")
        for name, target in (("hard", f"{outside}/victim"), ("hard-up", f"{up}{outside}/victim"), ("both", "link")):
            add(name, tarfile.LNKTYPE, target)
            add(name)
        add("victim", tarfile.SYMTYPE, f"{outside}/victim")
        add("victim")
        add("link", tarfile.DIRTYPE)  # its mode and owner are set at the end
    return subprocess.run(["zstd", "-q", "-c"], input=data.getvalue(), capture_output=True, check=True).stdout


def test_an_archive_of_somebody_else_changes_nothing_outside_the_root(shell: list[str], tmp_path: Path) -> None:
    """It is unpacked before its digest is known."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "victim").write_text("of the initrd")
    data = hostile(outside)
    with served(data) as url:
        done = run(shell, tmp_path, url, data, words=f"ordain.root.sha256={'0' * 64}")

    assert "mounted" not in done.stdout
    assert done.stdout.count("try\n") == 3
    assert [path.name for path in outside.iterdir()] == ["victim"], done.stdout
    status = (outside / "victim").stat()
    assert ((outside / "victim").read_text(), status.st_mode & 0o7777, status.st_nlink) == ("of the initrd", 0o644, 1)
    assert outside.stat().st_mode & 0o7777 == 0o700
    assert not (tmp_path / "above-through").exists()


def test_a_damaged_download_is_fetched_again(shell: list[str], tmp_path: Path, archive: bytes) -> None:
    def answer(number: int, first: int, right: bytes) -> bytes:
        return bytes(len(right)) if number == 1 else right

    with served(archive, answer) as url:
        done = run(shell, tmp_path, url, archive)

    assert done.stdout.count("try\n") == 2
    assert done.stdout.endswith("mounted\n"), done.stdout
    assert (tmp_path / "root/sbin/init").exists()


def test_too_little_memory_is_said_with_both_figures(shell: list[str], tmp_path: Path, archive: bytes) -> None:
    done = run(shell, tmp_path, "http://127.0.0.1:1/root", archive, free_kb=100 << 10)

    wanted = "error: this image needs 129 MB of free memory, and this machine has only 100 MB: add memory"
    assert done.stdout.startswith(wanted)
    assert "network" not in done.stdout


def test_a_server_that_stays_away_is_named_in_the_end(shell: list[str], tmp_path: Path, archive: bytes) -> None:
    done = run(shell, tmp_path, "http://127.0.0.1:1/root", archive)

    assert "error: http://127.0.0.1:1/root: nothing came for 0 s: curl: (7)" in done.stdout
    assert "error: http://127.0.0.1:1/root: it could not be fetched" in done.stdout
    assert "mounted" not in done.stdout


def test_a_server_without_ranges_is_named(shell: list[str], tmp_path: Path, archive: bytes) -> None:
    with served(archive, ranges=False) as url:
        done = run(shell, tmp_path, url, archive)

    assert "the server does not send parts of a file" in done.stdout
    assert "mounted" not in done.stdout


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("ordain.root=ftp://x/y", "ordain.root=ftp://x/y: not an http:// or https:// URL"),
        ("ordain.root.sha256=12", "ordain.root needs ordain.root.sha256"),
        (f"ordain.root.sha256={'G' * 64}", "ordain.root needs ordain.root.sha256"),
        ("ordain.root.size=-1", "ordain.root needs ordain.root.sha256"),
        ("ordain.root.memory", "ordain.root needs ordain.root.sha256"),
    ],
)
def test_wrong_arguments_of_the_kernel_are_named(
    shell: list[str], tmp_path: Path, archive: bytes, words: str, what: str
) -> None:
    done = run(shell, tmp_path, "http://127.0.0.1:1/root", archive, words=words)

    assert done.stdout.startswith(f"error: {what}")
    assert "mounted" not in done.stdout


def test_a_root_over_https_without_a_trusted_certificate_is_refused(
    shell: list[str], tmp_path: Path, archive: bytes
) -> None:
    with served(archive) as url:
        done = run(shell, tmp_path, url.replace("http:", "https:"), archive)

    assert "nothing came for 0 s: curl: (" in done.stdout
    assert "mounted" not in done.stdout


def test_the_name_servers_of_dhcp_are_used(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "net-ens2.conf").write_text(
        "DEVICE='ens2'\nIPV4ADDR='10.0.2.15'\nIPV4DNS0='10.0.2.3'\nIPV4DNS1='0.0.0.0'\nHOSTNAME=''\n"
    )
    code = f". {FOLDER}/netboot\nordain_name_servers {tmp_path}/net-*.conf"

    done = subprocess.run([*shell, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "nameserver 10.0.2.3\n"


def run_install(
    shell: list[str], home: Path, outcome: str, *, kernel: bytes = b"kernel", site: str = ""
) -> tuple[list[str], list[dict[str, str]]]:
    """Install an unpacked root whose program leaves ``outcome``; return the output, and the reports to the server."""
    reports: list[dict[str, str]] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            assert self.path.startswith(f"{site}/files/images/proof/1/")
            data = {"kernel": kernel, "initrd": b"initrd"}[self.path.rpartition("/")[2]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            assert self.path == f"{site}/installed"
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            reports.append({name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()})
            self.send_response(204)
            self.end_headers()

    digests = {"kernel": hashlib.sha256(b"kernel").hexdigest(), "initrd": hashlib.sha256(b"initrd").hexdigest()}
    words = " ".join(f"ordain.install.{name}={digest}" for name, digest in digests.items())
    (home / "cmdline").write_text(f"ordain.install=once {words}\n")
    with serving(Handler) as port:
        code = f"""
ordain_run={home}/run ordain_cmdline={home}/cmdline
. {FOLDER}/handover
. {FOLDER}/netboot
ordain_say() {{ echo "said: $*"; }}
ordain_error() {{ echo "error: $*"; }}
ordain_macs() {{ echo 52:54:00:12:34:56; }}
ordain_root() {{ ordain_url='http://127.0.0.1:{port}{site}/files/images/proof/1/root'; }}
ordain_reboot() {{ echo reboot; exit; }}
sleep() {{ :; }}
sync() {{ :; }}
mount() {{ :; }}
chroot() {{ mkdir -p {home}/run/install; {outcome}; }}
ordain_start {home}/root
echo started
"""
        done = subprocess.run([*shell, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.splitlines(), reports


def test_an_unpacked_root_installs_itself_and_the_server_knows(shell: list[str], tmp_path: Path) -> None:
    said, reports = run_install(shell, tmp_path, f"printf 'installed\\n9f\\n' >{tmp_path}/run/install/outcome")

    assert said == ["said: installed; this machine boots again now", "reboot"]
    assert reports == [
        {"mac": "52:54:00:12:34:56,", "state": "begun", "text": ""},
        {"mac": "52:54:00:12:34:56,", "state": "installed", "text": "9f"},
    ]
    release = os.uname().release
    assert (tmp_path / f"root/boot/vmlinuz-{release}").read_bytes() == b"kernel"
    assert (tmp_path / f"root/boot/initrd.img-{release}").read_bytes() == b"initrd"


def test_an_address_with_brackets_is_taken_as_it_is(shell: list[str], tmp_path: Path) -> None:
    """The patterns of curl would ask for several files, or none."""
    outcome = f"printf 'installed\\n9f\\n' >{tmp_path}/run/install/outcome"
    said, reports = run_install(shell, tmp_path, outcome, site="/{a,b}[1-2]")

    assert said == ["said: installed; this machine boots again now", "reboot"]
    assert [report["state"] for report in reports] == ["begun", "installed"]


@pytest.mark.parametrize(
    ("outcome", "kernel", "reason"),
    [
        ("printf 'refused\\nthe disk & = is full\\n' >{home}/run/install/outcome", b"kernel", "the disk & = is full"),
        ("echo Traceback; false", b"kernel", "Traceback"),
        ("false", b"other", f"should be {hashlib.sha256(b'kernel').hexdigest()}: it was damaged or replaced"),
    ],
)
def test_a_machine_that_does_not_install_says_why_and_boots_again(
    shell: list[str], tmp_path: Path, outcome: str, kernel: bytes, reason: str
) -> None:
    said, reports = run_install(shell, tmp_path, outcome.format(home=tmp_path), kernel=kernel)

    assert said[0].startswith("error: not installed: ")
    assert reason in said[0]
    assert said[-1] == "reboot"
    assert [report["state"] for report in reports] == ["begun", "refused"]
    assert reason in reports[1]["text"]
