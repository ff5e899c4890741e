"""One decision about `trust`: the agent makes it and records it, and the generator never accepts more.

Each odd agent.yaml is read by the agent; then the generator gets a boot cache without a signature.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ordain.agent.settings import Trust, read_settings
from ordain.agent.state.boot_trust import record_trust
from support.machines.generator_machine import STUB, Machine, cache, install

pytestmark = pytest.mark.skipif(not STUB.exists(), reason="needs the source tree: this is a copy of tests/")

YAML = "etc/ordain/agent.yaml"
HANDED = "run/ordain/boot/handed"
REQUIRED = b"trust: required\n"
TEXTS: dict[str, tuple[bytes, Trust]] = {
    "required": (REQUIRED, Trust.REQUIRED),
    "open": (b"trust: open\n", Trust.OPEN),
    "no trust": (b"labels: {a: b}\n", Trust.LOCAL),
    "cut in a word": (b"trust: requ", Trust.REQUIRED),
    "cut in a map": (b"source: {type: directory, path: /etc/ordain/documents\n", Trust.REQUIRED),
    "cut in a quoted word": (b'trust: "open', Trust.REQUIRED),
    "doubled": (REQUIRED * 2, Trust.REQUIRED),
    "open, then required": (b"trust: open\n" + REQUIRED, Trust.REQUIRED),
    "two documents": (b"trust: open\n---\ntrust: required\n", Trust.REQUIRED),
    "a list": (b"trust: [required]\n", Trust.REQUIRED),
    "a null": (b"trust:\n", Trust.LOCAL),
    "another word": (b"trust: Required\n", Trust.REQUIRED),
    "an escaped key": (b'"\\x74rust": required\n', Trust.REQUIRED),
    "a complex key": (b"? trust\n: required\n", Trust.REQUIRED),
    "an anchor": (b"trust: &a required\n", Trust.REQUIRED),
    "U+0085 as the end of a line": ("labels: {a: b}\x85trust: required\n".encode(), Trust.REQUIRED),
    "U+2028 as the end of a line": ("labels: {a: b}\u2028trust: required\n".encode(), Trust.REQUIRED),
    "a byte order mark": (b"\xef\xbb\xbf" + REQUIRED, Trust.REQUIRED),
    "UTF-16": ("trust: required\n".encode("utf-16"), Trust.REQUIRED),
    "not UTF-8": (b"trust: open # \xff\n", Trust.REQUIRED),
    "NUL": (b"trust: open\0\n", Trust.REQUIRED),
    "carriage returns": (b"labels: {a: b}\rtrust: required\r", Trust.REQUIRED),
    "behind 64 KiB": (b"# x\n" * 20000 + REQUIRED, Trust.REQUIRED),
    "larger than is read": (b"trust: open\n" + b"# x\n" * 300_000, Trust.REQUIRED),
    "a deep nesting": (b"trust: open\nlabels: " + b"[" * 10_000, Trust.REQUIRED),
    "an unknown key": (b"trust: open\nnonsense: 1\n", Trust.OPEN),
    "a key in capitals": (b"TRUST: required\n", Trust.REQUIRED),
    "a key without a blank after it": (b"{trust:required}\n", Trust.REQUIRED),
    "a key with a no-break space": ("trust\u00a0: required\n".encode(), Trust.REQUIRED),
    "a key with a line end": (b"? |\n  trust\n: required\n", Trust.REQUIRED),
    "a misspelled key": (b"turst: required\n", Trust.REQUIRED),
    "a misspelled key beside the right one": (b"trust: open\ntrusted: required\n", Trust.OPEN),
    "another misspelled key": (b"windws: []\n", Trust.LOCAL),
    "an alias": (b"labels: {a: &a required}\ntrust: *a\n", Trust.REQUIRED),
    "a merged map": (b"<<: {trust: required}\n", Trust.REQUIRED),
    "an unknown tag": (b"trust: !!binary cmVxdWlyZWQ=\n", Trust.REQUIRED),
    "a block": (b"trust: |\n  required\n", Trust.REQUIRED),
    "a directive that nobody knows": (b"%FOO\n---\ntrust: open\n", Trust.REQUIRED),
    "text after the end": (b"trust: open\n...\n}{\n", Trust.REQUIRED),
    "a byte order mark in the middle": (b"labels: {a: b}\n\xef\xbb\xbftrust: required\n", Trust.REQUIRED),
    "half a surrogate": (b'trust: open\nlabels: {a: "\\ud800"}\n', Trust.REQUIRED),
    "a control character": (b"trust: open\x1b\n", Trust.REQUIRED),
    "a number of 5,000 digits": (b"trust: open\nmax-removal: " + b"9" * 5000, Trust.OPEN),
    "a set": (b"!!set {trust, required}\n", Trust.REQUIRED),
}


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("generator"))


@pytest.fixture
def machine(generator: Path, tmp_path: Path) -> Machine:
    machine = Machine(generator, tmp_path)
    machine.put(HANDED, cache(5))
    return machine


def is_placed(machine: Machine) -> bool:
    """Return whether the generator places the cache, which nobody signed."""
    machine.run()
    return machine.record["from"] == "handed"


@pytest.mark.parametrize(("text", "trust"), TEXTS.values(), ids=TEXTS)
@pytest.mark.thorough
def test_the_generator_accepts_what_the_agent_accepts(machine: Machine, text: bytes, trust: Trust) -> None:
    machine.put(YAML, text)
    decided = read_settings(machine.root)[0].trust

    assert decided is trust
    assert not is_placed(machine)  # before the agent has decided
    record_trust(machine.root, Trust.OPEN, b"# another content of the file\ntrust: open\n")
    assert not is_placed(machine)
    record_trust(machine.root, decided, text)
    assert is_placed(machine) == (trust is not Trust.REQUIRED)


@pytest.mark.parametrize("kind", ["directory", "FIFO", "link to a FIFO", "link in a circle"])
def test_a_file_that_cannot_be_read_means_trust_required_for_agent_and_generator(machine: Machine, kind: str) -> None:
    path = machine.root / YAML
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "directory":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "link to a FIFO":
        os.mkfifo(path.with_name("pipe"))
        path.symlink_to("pipe")
    else:
        path.symlink_to(path.name)

    assert read_settings(machine.root)[0].trust is Trust.REQUIRED
    assert not is_placed(machine)
