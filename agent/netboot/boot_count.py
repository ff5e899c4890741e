"""Boots that complete, and boots that do not: a machine whose new image does not boot gets its last good one.

    request ─count_boot▶ record, script to hand out      report of the machine ─completed▶ record

A machine reports that a boot is good as soon as it would also record that for its own generations (contract, rule 7).
A machine that has never reported anything is never rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ordain.agent.netboot.machine_records import NetbootRecord, NetbootStep, with_step
from ordain.transforms.document.formats.netboot_formats import ONCE
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.netboot import ipxe_script
from ordain.transforms.netboot.boot_image import RELEASE

MAX_BOOTS = 3
"""The number of incomplete boots after which an image is given up, as for a generation on a disk."""

STEPS: Mapping[str, NetbootStep] = {
    "begun": NetbootStep.INSTALLING,
    "installed": NetbootStep.INSTALLED,
    "refused": NetbootStep.NOT_INSTALLED,
}
"""The states that a machine reports of an installation (packaging/initrd/netboot)."""
MAX_REASON = 2000
_RELEASE = lazy_pattern(rf" {RELEASE}=\S+")
_IDENTITY = lazy_pattern(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationReport:
    """The state of an installation, one of `STEPS`, and its identity or the reason why it was not made."""

    state: str
    text: str


def installation_report(state: str, text: str) -> InstallationReport | None:
    """Return the report of a machine, None if it has another form."""
    words = "".join(character if character.isprintable() else "?" for character in text[:MAX_REASON])
    if state not in STEPS or (state == "installed" and not _IDENTITY.fullmatch(words)):
        return None
    return InstallationReport(state=state, text=words)


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
    given = {record.script: record.image, record.good_script: record.good_image}
    image = next((image for script, image in given.items() if f" ordain.root.sha256={root} " in script), "")
    record = with_step(replace(record, reported=now), NetbootStep.COMPLETED, image, now)
    if f" ordain.root.sha256={root} " not in record.script:
        return record
    return replace(record, good_script=record.script, good_image=record.image, boots=0)


def starts_from_disk(record: NetbootRecord, script: str) -> bool:
    """Return whether the machine has the installation that ``script`` makes, and starts from its disk.

    A disk whose boots nobody reports may be gone, or broken: then the machine looks at it again. That changes nothing
    on a disk with a complete installation.
    """
    wanted = ipxe_script.installation_of(script)
    if wanted is None or not record.installed or (record.boots > MAX_BOOTS and not rolls_back(record)):
        return False
    policy, identity = wanted
    return policy == ONCE or record.installed == identity


def installation_said(record: NetbootRecord, said: InstallationReport, now: float) -> NetbootRecord:
    """Return the record of a machine that reported the state of an installation."""
    step = STEPS[said.state]
    record = with_step(record, step, record.image, now)
    if step is NetbootStep.NOT_INSTALLED:
        return replace(_without_installation(record), not_installed=said.text)
    if step is NetbootStep.INSTALLING:
        return _without_installation(record)
    wanted = ipxe_script.installation_of(record.script)
    return replace(
        record,
        installed=said.text,
        not_installed="",
        installed_image=_installed_image(record, said.text),
        installed_at=now,
        boots=0 if wanted and said.text == wanted[1] else record.boots,
    )


def _without_installation(record: NetbootRecord) -> NetbootRecord:
    return replace(record, installed="", installed_image="", installed_at=0.0, not_installed="")


def _installed_image(record: NetbootRecord, identity: str) -> str:
    """Return the image of an installation that the machine was told to make, "" if that is not known any more."""
    for script, image in ((record.script, record.image), (record.good_script, record.good_image)):
        if (wanted := ipxe_script.installation_of(script)) and wanted[1] == identity:
            return image
    return ""


def _commands(script: str) -> list[str]:
    """Return what iPXE runs, without the comments and the release, which change with every line of the documents."""
    return [_RELEASE.sub("", line) for line in script.splitlines() if not line.startswith("#")]
