"""Which generation a boot gets: every step down, and what pins the choice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.generator_machine import (
    BASELINE,
    BOOT_ID,
    CURRENT,
    DAMAGED,
    FALLBACK,
    MACHINE_ID,
    STUB,
    TRIAL,
    Machine,
    cache,
    install,
)

pytestmark = pytest.mark.skipif(not STUB.exists(), reason="needs the source tree: this is a copy of tests/")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("generator"))


@pytest.fixture
def machine(generator: Path, tmp_path: Path) -> Machine:
    return Machine(generator, tmp_path)


GOOD: dict[str, bytes] = {
    TRIAL: cache(1, boot_id=BOOT_ID),
    CURRENT: cache(2, machine_id=MACHINE_ID),
    FALLBACK: cache(3),
    BASELINE: cache(4),
    "etc/ordain/boot/9": cache(9),
}
OLD_TRIAL = {TRIAL: cache(1, boot_id="00" * 16)}
ATTEMPTS = "etc/ordain/boot/attempts"
AGENT = "etc/ordain/agent.yaml"
HANDED = "run/ordain/boot/handed"


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
    "a fallback that is the same has boots of its own": (
        {CURRENT: cache(2), FALLBACK: cache(2, machine_id=MACHINE_ID), BASELINE: cache(4), ATTEMPTS: tries(hash2=5)},
        "",
        "same",
        "current: 3 boots",
    ),
    "and then is no way out": (
        {CURRENT: cache(2), FALLBACK: cache(2), BASELINE: cache(4), ATTEMPTS: tries(hash2=6)},
        "",
        "baseline",
        "fallback: 3 boots",
    ),
    "current is its own way out of nothing": (
        {CURRENT: cache(2), FALLBACK: cache(2), ATTEMPTS: tries(hash2=9)},
        "",
        "nothing",
        "fallback: 3 boots",
    ),
    "a boot counts once": (without(TRIAL) | {ATTEMPTS: b"hash2 boot\n" * 3}, "", "current", ""),
    "attempts of garbage": (without(TRIAL) | {ATTEMPTS: bytes(range(256)) * 9}, "", "current", ""),
    "it came with the boot": ({HANDED: cache(5), BASELINE: cache(4)}, "", "handed", ""),
    **{
        f"it came with the boot and agent.yaml says {text!r}": (
            {HANDED: cache(5), BASELINE: cache(4), AGENT: text},
            "",
            "baseline" if signed else "handed",
            "handed: UnsignedCache" if signed else "",
        )
        for text, signed in {
            b"trust: required\n": True,
            b'{"source": {"type": "directory"}, "trust" : "required", "labels": {}}': True,
            b"labels: {a: '#'} \ntrust:\n  required\n": True,
            b"trust: opened\n": True,
            b"{x: 'trust: open', y: '#', trust: required}": True,
            b"trust: local\r\n": False,
            b"# trust: required\nsource: {type: directory}\ntrust: open # for the lab\n": False,
            b'{"trust": "open", "max-removal": "5%"}': False,
            b"{trust: open}": False,
            b"source: {type: http, ca: /etc/pki/ca-trust/ca.pem}\nlabels: {distrust: high}\n": False,
            b"source: {ca: /etc/trust/trust}\ntrust: required": True,
            b"\xef\xbb\xbftrust: required": True,
            b"? trust\n: required\n": True,
            b"!!str trust : &a required\n": True,
            b'"tr\\u0075st": required\n': True,
        }.items()
    },
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
NUMBERS = {
    "trial": "1",
    "current": "2",
    "fallback": "3",
    "baseline": "4",
    "handed": "5",
    "9": "9",
    "nothing": "",
    "off": "",
    "same": "2",
}


@pytest.mark.parametrize(("files", "cmdline", "origin", "note"), CHOICES.values(), ids=CHOICES)
def test_the_choice(machine: Machine, files: dict[str, bytes], cmdline: str, origin: str, note: str) -> None:
    for path, data in files.items():
        machine.put(path, data)
    machine.put("proc/cmdline", f"quiet {cmdline}\n")

    result = machine.run()

    assert machine.placed() == NUMBERS[origin]
    assert machine.record["from"] == ("fallback" if origin == "same" else origin)
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


def test_a_boot_with_nothing_is_counted_as_such_once_all_were_tried(machine: Machine) -> None:
    machine.put(CURRENT, cache(2))
    machine.run()
    fresh = (machine.root / "run/ordain/boot/why").exists()
    machine.put(ATTEMPTS, tries(hash2=3))
    machine.put("proc/sys/kernel/random/boot_id", "another-boot\n")
    machine.run()

    assert not fresh
    assert (machine.root / "run/ordain/boot/booted").read_text() == "nothing anotherboot\n"
    why = (machine.root / "run/ordain/boot/why").read_text().splitlines()
    assert "3 boots with generation 2 did not complete" in why[0]
    assert why[-1] == "no generation to place"


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

    result = machine.run()

    assert machine.record["from"] == "fallback"
    assert why in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_cache_of_another_user_is_passed_over(machine: Machine) -> None:
    os.chown(machine.put(CURRENT, cache(2)), 1234, 0)

    result = machine.run()

    assert result.returncode == 1
    assert "owner 1234" in result.stderr
    assert machine.names() == []
