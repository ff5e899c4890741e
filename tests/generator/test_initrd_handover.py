"""The script with which an initrd delivers documents, run by the shells that initrds have."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.machines.initrd_programs import programs_without_busybox
from support.stores.http_server import QuietHandler, serving

HANDOVER = Path(__file__).parents[2] / "packaging/initrd/handover"
DOCUMENT = b"ordain: v1\nkind: Layer\nname: a\n"

pytestmark = pytest.mark.skipif(not HANDOVER.exists(), reason="needs the source tree")


def run(
    shell: list[str], home: Path, script: str, *, words: str = "", path: str = ""
) -> subprocess.CompletedProcess[str]:
    (home / "cmdline").write_text(f"root=/dev/vda {words}\n")
    ours = f"ordain_run={home}/run ordain_cmdline={home}/cmdline ORDAIN_WAIT=1; ordain_network() {{ :; }}\n"
    loud = 'ordain_say() { echo "said: $*"; }\n'
    code = f"set -u\n{ours}. {HANDOVER}\n{loud}{script}\n"
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    command = [shutil.which(shell[0]) or shell[0], *shell[1:], "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


def handed(home: Path) -> dict[str, bytes]:
    top = home / "run"
    return {os.fspath(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def busybox_tools(home: Path) -> str:
    """Return a directory with the programs of busybox alone."""
    if (busybox := shutil.which("busybox")) is None:
        pytest.skip("needs busybox")
    tools = home / "bin"
    tools.mkdir()
    for name in "busybox cat chmod cp head mkdir mv rm sed sleep sort timeout tr wc wget".split():
        (tools / name).symlink_to(busybox)
    return str(tools)


@contextmanager
def served(answer: bytes | None) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    asked: list[tuple[str, dict[str, str]]] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(404 if answer is None else 200)
            self.end_headers()
            self.wfile.write(answer or b"")

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}", asked


def test_the_last_value_of_a_kernel_parameter_counts(shell: list[str], tmp_path: Path) -> None:
    script = 'for n in ordain.source ordain.disk root none; do ordain_word $n && echo "$n" || echo "no $n"; done'
    done = run(shell, tmp_path, script, words="ordain.source=a xordain.disk=1 ordain.source=b=c ordain.disk")
    assert done.stdout.splitlines() == ["b=c", "ordain.source", "", "ordain.disk", "/dev/vda", "root", "", "no none"]


def test_only_documents_and_a_boot_cache_are_delivered(shell: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "with blanks"
    folder.mkdir()
    for name in ("a.yaml", "b c.json", "d.yml", "e.txt", "boot.cache"):
        (folder / name).write_bytes(DOCUMENT)
    done = run(shell, tmp_path, f"umask 0; ordain_directory '{folder}'")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert set(handed(tmp_path)) == {"documents/a.yaml", "documents/b c.json", "documents/d.yml", "boot/handed"}
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert modes == {0o600}, "documents may hold secrets, as those in /etc/ordain/documents"


@pytest.mark.thorough
def test_a_file_that_is_too_large_for_memory_is_not_taken_from_a_disk(shell: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    (folder / "good.yaml").write_bytes(DOCUMENT)
    for name in ("large.yaml", "boot.cache"):
        with (folder / name).open("wb") as file:
            file.truncate(1 << 30)  # sparse
    done = run(shell, tmp_path, f"ordain_directory '{folder}'")
    assert set(handed(tmp_path)) == {"documents/good.yaml"}
    assert done.stdout.count("more than") == 2


def test_a_boot_server_is_asked_with_the_identity_of_the_machine(shell: list[str], tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "etc/hostname").write_text("web3\n")
    with served(DOCUMENT) as (url, asked):
        done = run(
            shell, tmp_path, f"ordain_fetch {root}", words=f"ordain.source={url}/{{hostname}}/{{machine-id}}.yaml"
        )
    assert (done.returncode, done.stdout) == (0, "")
    assert handed(tmp_path) == {"documents/source.yaml": DOCUMENT}
    ((path, headers),) = asked
    assert path == "/web3/0123456789abcdef0123456789abcdef.yaml"
    assert headers["ordain-machine-id"] == "0123456789abcdef0123456789abcdef"
    assert headers["ordain-hostname"] == "web3"


def test_json_is_recognized_by_its_first_character(shell: list[str], tmp_path: Path) -> None:
    with served(b'\n {"ordain": "v1"}') as (url, _):
        run(shell, tmp_path, f"ordain_fetch {tmp_path}", words=f"ordain.source={url}/x")
    assert set(handed(tmp_path)) == {"documents/source.json"}


@pytest.mark.parametrize("words", ["ordain.source=URL/a.yaml", "ordain.disk=NONE"])
def test_an_initrd_without_busybox_has_the_programs(shell: list[str], tmp_path: Path, words: str) -> None:
    (tmp_path / "ordain").mkdir()
    (tmp_path / "ordain/web.yaml").write_bytes(b"ordain: v1\n")
    with served(b"ordain: v1\n") as (url, _):
        script = f"ordain_directory '{tmp_path}/ordain'; ordain_handover {tmp_path}"
        path = programs_without_busybox(tmp_path)
        done = run(shell, tmp_path, script, words=words.replace("URL", url), path=path)

    assert "not found" not in done.stdout + done.stderr
    assert handed(tmp_path)["documents/web.yaml"] == b"ordain: v1\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ordain.source=URL/gone.yaml", "URL/gone.yaml: "),
        ("ordain.source=http://127.0.0.1:1/x", "http://127.0.0.1:1/x: "),
        ("ordain.source=URL/{machine-id}.yaml", "URL/{machine-id}.yaml: this machine does not know so early who it is"),
        ("ordain.disk=NONE", "no disk labelled NONE after 1 s"),
    ],
)
def test_a_failed_download_is_reported_and_the_boot_continues(
    shell: list[str], tmp_path: Path, words: str, said: str
) -> None:
    with served(None) as (url, _):
        done = run(shell, tmp_path, f"ordain_handover {tmp_path}; echo on", words=words.replace("URL", url))
    assert said.replace("URL", url) in done.stdout
    assert done.stdout.splitlines()[-1] == "on"
    assert handed(tmp_path) == {}


def test_a_download_that_is_too_large_is_refused(shell: list[str], tmp_path: Path) -> None:
    with served(b"#" * (5 << 20)) as (url, _):
        done = run(shell, tmp_path, f"ordain_fetch {tmp_path}", words=f"ordain.source={url}/x")
    assert url in done.stdout
    assert handed(tmp_path) == {}


@contextmanager
def endless() -> Iterator[tuple[str, list[int]]]:
    """Serve an answer without a length and without an end; the list has the bytes that each request took."""
    taken: list[int] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            taken.append(0)
            with contextlib.suppress(OSError):
                while taken[-1] < 256 << 20:
                    taken[-1] += self.wfile.write(b"#" * (1 << 20))

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/x", taken


def test_curl_ends_a_download_without_an_end(shell: list[str], tmp_path: Path) -> None:
    with endless() as (url, taken):
        done = run(shell, tmp_path, f"ordain_fetch {tmp_path}", words=f"ordain.source={url}")
    assert 0 < max(taken) < 64 << 20
    assert url in done.stdout
    assert handed(tmp_path) == {}


def test_the_wget_of_busybox_ends_a_download_without_an_end(tmp_path: Path) -> None:
    tools = busybox_tools(tmp_path)
    words = [f"{tools}/busybox", "sh"]
    with endless() as (url, taken):
        done = run(words, tmp_path, f"ordain_fetch {tmp_path}", words=f"ordain.source={url}", path=tools)
    assert 0 < max(taken) < 64 << 20
    assert url in done.stdout
    assert handed(tmp_path) == {}


@pytest.mark.parametrize(
    "words", ["ordain=off ordain.disk=NONE", "ordain.source=/a/directory", "ordain.source=etcd+https://a:1/x"]
)
def test_nothing_is_downloaded_if_ordain_is_off_or_the_agent_has_to_do_it(
    shell: list[str], tmp_path: Path, words: str
) -> None:
    done = run(shell, tmp_path, f"ordain_handover {tmp_path}; echo on", words=words)
    assert done.stdout == "on\n"


def test_the_wget_of_busybox_works(tmp_path: Path) -> None:
    tools = busybox_tools(tmp_path)
    with served(DOCUMENT) as (url, _):
        done = run(
            [str(shutil.which("busybox")), "sh"],
            tmp_path,
            f"ordain_fetch {tmp_path}",
            words=f"ordain.source={url}/x",
            path=tools,
        )
    assert (done.stdout, done.stderr) == ("", "")
    assert handed(tmp_path) == {"documents/source.yaml": DOCUMENT}


@contextmanager
def redirecting(target: str) -> Iterator[str]:
    """Serve a redirect to ``target``."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()
            self.wfile.write(DOCUMENT)

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"


def test_curl_does_not_follow_a_redirect(shell: list[str], tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    with served(DOCUMENT) as (url, asked), redirecting(f"{url}/evil.yaml") as first:
        done = run(shell, tmp_path, f"ordain_fetch {tmp_path}", words=f"ordain.source={first}/x")
    assert "redirect" in done.stdout
    assert asked == []
    assert handed(tmp_path) == {}


def test_brackets_and_braces_of_a_url_make_one_request(shell: list[str], tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    with served(DOCUMENT) as (url, asked):
        run(shell, tmp_path, f"ordain_fetch {tmp_path}", words=f"ordain.source={url}/[1-3]/{{a,b}}.yaml")
    assert [path for path, _ in asked] == ["/[1-3]/{a,b}.yaml"]


def test_https_without_curl_is_refused(tmp_path: Path) -> None:
    """busybox wget fetches https without any check of the certificate."""
    tools = busybox_tools(tmp_path)
    busybox = str(shutil.which("busybox"))
    done = run(
        [busybox, "sh"],
        tmp_path,
        f"ordain_fetch {tmp_path}",
        words="ordain.source=https://127.0.0.1:1/x",
        path=tools,
    )
    assert "https needs curl in this initrd" in done.stdout
    assert handed(tmp_path) == {}


@pytest.mark.parametrize(
    "hostname", ["{hostname}", "a{machine-id}", "web\r\nOrdain-Mac: 00:00:00:00:00:00", "a b", "a/../b"]
)
@pytest.mark.thorough
def test_a_host_name_that_is_not_one_is_not_sent(shell: list[str], tmp_path: Path, hostname: str) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hostname").write_bytes(f"{hostname}\n".encode())
    with served(DOCUMENT) as (url, asked):
        done = run(
            shell,
            tmp_path,
            f"ordain_fetch {root}; echo on",
            words=f"ordain.source={url}/{{hostname}}.yaml",
        )
        run(shell, tmp_path, f"ordain_fetch {root}", words=f"ordain.source={url}/all.yaml")
    assert "this machine does not know so early who it is" in done.stdout
    assert done.stdout.splitlines()[-1] == "on"
    ((path, headers),) = asked
    assert (path, headers.get("ordain-hostname", "")) == ("/all.yaml", "")
    assert "ordain-mac" not in headers or "00:00:00:00:00:00" not in headers["ordain-mac"]


def test_credentials_are_handed_over_for_root_alone(shell: list[str], tmp_path: Path) -> None:
    for name in ("credstore/ordain.machine-key", "credstore.encrypted/db-password"):
        (tmp_path / "ordain" / name).parent.mkdir(parents=True)
        (tmp_path / "ordain" / name).write_bytes(name.encode())
    (tmp_path / "ordain/credstore/directory").mkdir()

    done = run(shell, tmp_path, f"ordain_directory {tmp_path}/ordain")

    assert done.stdout + done.stderr == ""
    for name in ("credstore/ordain.machine-key", "credstore.encrypted/db-password"):
        assert (tmp_path / name).read_bytes() == name.encode()
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / name).parent.stat().st_mode & 0o777 == 0o700
    assert handed(tmp_path) == {}
