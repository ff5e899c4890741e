"""The choice of the generation for a boot: every fallback, and the facts that fix the choice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ordain.generator.choose import trust_record
from support.machines.generator_machine import (
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
TRUST = "etc/ordain/boot/trust"
HANDED = "run/ordain/boot/handed"


def tries(**boots: int) -> bytes:
    return b"".join(b"%s boot%d\n" % (hash.encode(), n) for hash, count in boots.items() for n in range(count))


def without(*paths: str, **_: object) -> dict[str, bytes]:
    return {path: data for path, data in GOOD.items() if path not in paths}


# The files of the machine, the kernel command line → the origin of the choice, and a part of the note, if any.
CHOICES: Mapping[str, tuple[dict[str, bytes], str, str, str]] = {
    "the trial of this boot is first": (GOOD, "", "trial", ""),
    "another boot's trial is over": (GOOD | OLD_TRIAL, "", "current", ""),
    "a trial without a boot id is ignored": (GOOD | {TRIAL: cache(1)}, "", "current", ""),
    "no trial": (without(TRIAL), "", "current", ""),
    "no current": (without(TRIAL, CURRENT), "", "fallback", ""),
    "no fallback": (without(TRIAL, CURRENT, FALLBACK), "", "baseline", ""),
    "nothing": ({}, "", "nothing", ""),
    "a damaged trial": (GOOD | {TRIAL: DAMAGED}, "", "current", "DamagedCache"),
    "a damaged current": (GOOD | OLD_TRIAL | {CURRENT: DAMAGED}, "", "fallback", "DamagedCache"),
    "an empty current": (GOOD | OLD_TRIAL | {CURRENT: b""}, "", "fallback", "the file is empty"),
    "a later format": (GOOD | OLD_TRIAL | {CURRENT: b"ordain-cache 2 "}, "", "fallback", "NewerCache"),
    "another machine's": (GOOD | OLD_TRIAL | {CURRENT: cache(2, machine_id="f" * 32)}, "", "fallback", "ForeignCache"),
    "all damaged": (dict.fromkeys(GOOD, DAMAGED), "", "nothing", "baseline: DamagedCache"),
    "two boots did not complete": (without(TRIAL) | {ATTEMPTS: tries(hash2=2)}, "", "current", ""),
    "three boots did not complete": (
        without(TRIAL) | {ATTEMPTS: tries(hash2=3)},
        "",
        "fallback",
        "3 boots with generation 2",
    ),
    "three boots with the fallback did not complete either": (
        without(TRIAL) | {ATTEMPTS: tries(hash2=3, hash3=3)},
        "",
        "baseline",
        "3 boots with generation 3",
    ),
    "three boots with each cache did not complete": (
        without(TRIAL) | {ATTEMPTS: tries(hash2=3, hash3=3, hash4=5)},
        "",
        "nothing",
        "3 boots with generation 4",
    ),
    "a fallback that equals current gets three boots of its own": (
        {CURRENT: cache(2), FALLBACK: cache(2, machine_id=MACHINE_ID), BASELINE: cache(4), ATTEMPTS: tries(hash2=5)},
        "",
        "same",
        "current: 3 boots",
    ),
    "a fallback that equals current is skipped after six boots": (
        {CURRENT: cache(2), FALLBACK: cache(2), BASELINE: cache(4), ATTEMPTS: tries(hash2=6)},
        "",
        "baseline",
        "fallback: 3 boots",
    ),
    "current is used again after a boot with nothing": (
        {CURRENT: cache(2), FALLBACK: cache(2), ATTEMPTS: tries(hash2=9)},
        "",
        "nothing",
        "fallback: 3 boots",
    ),
    "each boot counts once": (without(TRIAL) | {ATTEMPTS: b"hash2 boot\n" * 3}, "", "current", ""),
    "garbage in the attempts": (without(TRIAL) | {ATTEMPTS: bytes(range(256)) * 9}, "", "current", ""),
    "a cache that was delivered with the boot": ({HANDED: cache(5), BASELINE: cache(4)}, "", "handed", ""),
    "off": (GOOD, "ordain=off", "off", ""),
    "off and on again": (GOOD, "ordain=off ordain=on", "trial", ""),
    "the fallback is asked for": (without(TRIAL), "ordain.boot=fallback", "fallback", ""),
    "the baseline is asked for": (without(TRIAL), "ordain.boot=baseline", "baseline", ""),
    "a number is asked for": (without(TRIAL), "ordain.boot=9", "9", ""),
    "a number that does not exist": (without(TRIAL), "ordain.boot=8", "fallback", "ordain.boot=8: no such boot cache"),
    "a number that is damaged": (
        without(TRIAL) | {"etc/ordain/boot/9": DAMAGED},
        "ordain.boot=9",
        "fallback",
        "boot/9: DamagedCache",
    ),
    "an invalid word": (without(TRIAL), "ordain.boot=../../x", "fallback", "is not fallback, baseline or a number"),
    "the last word counts": (without(TRIAL), "ordain.boot=9 ordain.boot=baseline", "baseline", ""),
    "a cache that is asked for is used after any number of boots": (
        without(TRIAL) | {ATTEMPTS: tries(hash3=9)},
        "ordain.boot=fallback",
        "fallback",
        "",
    ),
    "a trial of this boot overrides the command line": (GOOD, "ordain.boot=baseline", "trial", ""),
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
def test_the_choice_is_as_expected(
    machine: Machine, files: dict[str, bytes], cmdline: str, origin: str, note: str
) -> None:
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


OPEN, REQUIRED = b"trust: open\n", b"trust: required\n"
# agent.yaml, the record of its `trust` → a word of the note if a cache that came with the boot is not placed.
UNKNOWN, SIGNED = "agent.yaml has changed, and may accept", "agent.yaml accepts only signed releases"
TRUSTS: Mapping[str, tuple[bytes | None, bytes | None, str]] = {
    "no agent.yaml": (None, None, ""),
    "no agent.yaml, and the record of one": (None, trust_record("required", REQUIRED), ""),
    "an empty agent.yaml": (b"", None, ""),
    "open": (OPEN, trust_record("open", OPEN), ""),
    "local": (OPEN, trust_record("local", OPEN), ""),
    "required": (OPEN, trust_record("required", OPEN), SIGNED),
    "an empty agent.yaml, required": (b"", trust_record("required", b""), SIGNED),
    "no record": (OPEN, None, UNKNOWN),
    "an empty record": (OPEN, b"", UNKNOWN),
    "a record that was cut": (OPEN, trust_record("open", OPEN)[:-1], UNKNOWN),
    "a record that was cut to a word": (OPEN, b"open", UNKNOWN),
    "a record twice": (OPEN, trust_record("open", OPEN) * 2, UNKNOWN),
    "two records": (OPEN, trust_record("required", OPEN) + trust_record("open", OPEN), UNKNOWN),
    "a record and more than is read": (OPEN, trust_record("open", OPEN) + b" " * 9999, UNKNOWN),
    "a record of another word": (OPEN, trust_record("anything", OPEN), UNKNOWN),
    "a record of garbage": (OPEN, bytes(range(64)), UNKNOWN),
    "agent.yaml was changed since": (REQUIRED, trust_record("open", OPEN), UNKNOWN),
    "agent.yaml was cut since": (OPEN[:-1], trust_record("open", OPEN), UNKNOWN),
    "agent.yaml is longer since": (OPEN * 2, trust_record("open", OPEN), UNKNOWN),
    "agent.yaml is larger than the agent reads": (
        OPEN + b"#" * (1 << 20),
        trust_record("open", OPEN + b"#" * (1 << 20)),
        SIGNED,
    ),
}


@pytest.mark.parametrize(("agent_yaml", "record", "note"), TRUSTS.values(), ids=TRUSTS)
def test_a_delivered_cache_is_placed_only_if_agent_yaml_is_known_to_accept_unsigned_documents(
    machine: Machine, agent_yaml: bytes | None, record: bytes | None, note: str
) -> None:
    files = {HANDED: cache(5), BASELINE: cache(4), AGENT: agent_yaml, TRUST: record}
    for path, data in files.items():
        if data is not None:
            machine.put(path, data)

    machine.run()

    assert machine.record["from"] == ("baseline" if note else "handed")
    assert note in machine.record.get("note", "")


def test_a_delivered_cache_stays_for_the_boot_in_which_it_was_placed(machine: Machine) -> None:
    for path, data in {HANDED: cache(5), AGENT: OPEN, TRUST: trust_record("open", OPEN)}.items():
        machine.put(path, data)
    machine.run()

    (machine.root / TRUST).unlink()  # the generator of an upgrade runs before the agent that makes the record
    machine.run()
    reloaded = machine.record["from"]
    machine.put(TRUST, trust_record("required", OPEN))
    machine.run()
    refused = machine.record["from"]
    (machine.root / TRUST).unlink()
    machine.run()

    assert (reloaded, refused) == ("handed", "nothing")
    assert machine.record["from"] == "nothing"


def test_the_next_boot_does_not_trust_the_choice_of_this_one(machine: Machine) -> None:
    for path, data in {HANDED: cache(5), AGENT: OPEN, TRUST: trust_record("open", OPEN)}.items():
        machine.put(path, data)
    machine.run()

    (machine.root / TRUST).unlink()
    machine.put("proc/sys/kernel/random/boot_id", "another-boot\n")
    machine.run()

    assert machine.record["from"] == "nothing"


def test_in_a_container_the_command_line_is_that_of_its_pid_1(machine: Machine) -> None:
    machine.put(CURRENT, cache(2))
    machine.put("proc/cmdline", "ordain.boot=baseline\n")
    machine.put("proc/1/cmdline", "/usr/lib/systemd/systemd\0ordain=off\0")

    machine.put("run/systemd/container", "systemd-nspawn\n")
    machine.run()

    assert machine.record["from"] == "off"


def test_a_reload_keeps_the_choice_after_its_own_boot_is_counted(machine: Machine) -> None:
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
    assert machine.record["booted"] == "hash2", "the boot counts for the generation that it began with"


def test_a_boot_that_an_administrator_chose_is_not_counted(machine: Machine) -> None:
    machine.put(CURRENT, cache(2))
    machine.put(BASELINE, cache(4))
    machine.put("proc/cmdline", "ordain.boot=baseline")
    machine.run()

    assert not (machine.root / "run/ordain/boot/booted").exists()


def test_a_boot_with_nothing_is_counted_after_all_caches_were_tried(machine: Machine) -> None:
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


SPOILS = {
    "a FIFO": (fifo, "not a regular file"),
    "a link": (link, "Too many levels of symbolic links"),
    "a directory": (folder, "not a regular file"),
    "a gigabyte": (sparse, "1073741824 bytes"),
    "written by its group": (lambda path: path.chmod(0o664), "mode 0664"),
    "written by all": (lambda path: path.chmod(0o602), "mode 0602"),
}


@pytest.mark.parametrize(("spoil", "why"), SPOILS.values(), ids=SPOILS)
def test_a_cache_that_is_not_a_safe_file_is_skipped(machine: Machine, spoil: object, why: str) -> None:
    assert callable(spoil)
    spoil(machine.put(CURRENT, cache(2)))
    machine.put(FALLBACK, cache(3))

    result = machine.run()

    assert machine.record["from"] == "fallback"
    assert why in result.stderr


@pytest.mark.parametrize("spoil", [spoil for spoil, _ in SPOILS.values()], ids=SPOILS)
def test_a_record_of_trust_that_is_not_a_safe_file_is_ignored(machine: Machine, spoil: object) -> None:
    assert callable(spoil)
    machine.put(HANDED, cache(5))
    machine.put(AGENT, OPEN)
    spoil(machine.put(TRUST, trust_record("open", OPEN)))

    machine.run()

    assert machine.record["from"] == "nothing"


@pytest.mark.parametrize("spoil", [fifo, folder, sparse])
def test_an_unreadable_agent_yaml_counts_as_requiring_signatures(machine: Machine, spoil: object) -> None:
    assert callable(spoil)
    machine.put(HANDED, cache(5))
    machine.put(TRUST, trust_record("open", OPEN))
    spoil(machine.put(AGENT, OPEN))

    machine.run()

    assert machine.record["from"] == "nothing"
    assert SIGNED in machine.record["note"]


def test_agent_yaml_may_be_a_link(machine: Machine) -> None:
    machine.put(HANDED, cache(5))
    machine.put(TRUST, trust_record("open", OPEN))
    link(machine.put(AGENT, OPEN))

    machine.run()

    assert machine.record["from"] == "handed"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_cache_of_another_user_is_skipped(machine: Machine) -> None:
    os.chown(machine.put(CURRENT, cache(2)), 1234, 0)

    result = machine.run()

    assert result.returncode == 1
    assert "owner 1234" in result.stderr
    assert machine.names() == []
