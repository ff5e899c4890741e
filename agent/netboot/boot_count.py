"""Boots that complete, and boots that do not: a machine whose new image does not boot gets its last good one.

    request ─count_boot▶ record, script to hand out      report of the machine ─completed▶ record

A machine reports that a boot is good as soon as it would also record that for its own generations (contract, rule 7).
A machine that has never reported anything is never rolled back.
"""

from __future__ import annotations

from dataclasses import replace

from ordain.agent.netboot.machine_records import NetbootRecord

MAX_BOOTS = 3
"""The number of incomplete boots after which an image is given up, as for a generation on a disk."""


def count_boot(record: NetbootRecord, script: str, image: str, *, again: bool) -> tuple[NetbootRecord, str]:
    """Return the record with one more boot of ``script``, and the script to hand out.

    ``again``: iPXE could not fetch a file, and asks in the same boot once more.
    """
    boots = record.boots if _commands(script) == _commands(record.script) else 0
    boots = min(boots + (not again), MAX_BOOTS + 1)
    record = replace(record, script=script, image=image, boots=boots)
    return record, record.good_script if rolls_back(record) else script


def rolls_back(record: NetbootRecord) -> bool:
    """Return whether the machine gets its last good image instead of the one that documents name."""
    return bool(record.image and record.good_image != record.image and record.good_script and record.boots > MAX_BOOTS)


def roll_back_problem(record: NetbootRecord) -> str:
    """Return the problem of a machine that is rolled back."""
    return (
        f"{MAX_BOOTS} boots of image {record.image} did not complete; the machine gets its last good image "
        f"{record.good_image}, until its netboot changes"
    )


def completed(record: NetbootRecord, root: str, now: float) -> NetbootRecord:
    """Return the record of a machine that completed a boot of the archive with the SHA-256 ``root``."""
    record = replace(record, reported=now)
    if f" ordain.root.sha256={root} " not in record.script:
        return record
    return replace(record, good_script=record.script, good_image=record.image, boots=0)


def _commands(script: str) -> list[str]:
    """Return the lines that iPXE runs; the comments change with every line of the documents."""
    return [line for line in script.splitlines() if not line.startswith("#")]
