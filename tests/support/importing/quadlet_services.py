"""The service that an import makes of a quadlet, compared with the one that podman's generator makes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.importing.draft.document_draft import InputFile
from ordain.transforms.systemd import splitting, unit_file
from rig.oracles import quadlet_services
from support.importing.import_round_trips import round_trip

FACTS = facts_for("debian-13")
Place = tuple[str, str]
OURS = {("Unit", "IgnoreOnIsolate"), ("Unit", "SourcePath")}
"""Directives that only one of the two sets, for reasons of its own."""
FIXED = {"rescue.target", "emergency.target", "%t/containers"}
LONG = {"-d": "--detach", "-v": "--volume", "-f": "--force", "-i": "--ignore"}
FLAGS = re.compile(r"--(init|env-host|http-proxy|read-only|read-only-tmpfs|disable-dns|internal|ipv6)")
MAKES_OBJECT = re.compile(r" (network|volume) create ")
ALONE = re.compile(r"--(replace|rm|detach|rootfs|force|ignore)|.*=.*")
"""Options without a value in the next word; that of --rootfs is the last option."""


def differences(command: tuple[str, ...], directory: Path, stem: str) -> tuple[dict[Place, object], list[str]]:
    """Return the directives that differ, each with (podman's, ours), and the problems of the import.

    Everything differs if only one of the two makes a service.
    """
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    done = round_trip([InputFile(path=str(path), data=path.read_bytes()) for path in files], FACTS)
    problems = [problem.what for problem in done.draft.problems]
    theirs, ours = quadlet_services(command, directory).get(f"{stem}.service"), done.rendered().get(f"{stem}.service")
    if theirs is None or ours is None:
        return ({} if theirs is ours else {("", stem): (theirs, ours)}), problems
    was, now = _settings(theirs, stem), _settings(ours, stem)
    return {
        place: (was.get(place), now.get(place)) for place in {*was, *now} if was.get(place) != now.get(place)
    }, problems


def commands_of_objects(command: tuple[str, ...], directory: Path, stem: str) -> tuple[object, object, list[str]]:
    """Return the commands that make the objects of a container, podman's and ours, and the problems of the import."""
    files = [InputFile(path=str(path), data=path.read_bytes()) for path in sorted(directory.iterdir())]
    done = round_trip(files, FACTS)
    services = quadlet_services(command, directory)
    texts = [text for name, text in services.items() if name.endswith(("-network.service", "-volume.service"))]
    of_theirs = [value for text in texts for _, key, value in unit_file.parse(text) if key == "ExecStart"]
    of_ours = [v for _, key, v in unit_file.parse(done.rendered()[f"{stem}.service"]) if MAKES_OBJECT.search(v)]
    theirs, ours = (
        sorted(_options(splitting.split(value, unescape=True)) for value in commands)
        for commands in (of_theirs, of_ours)
    )
    return theirs, ours, [problem.what for problem in done.draft.problems]


def _settings(text: str, stem: str) -> Mapping[Place, object]:
    settings: dict[Place, list[str]] = {}
    for section, key, value in unit_file.parse(text):
        if section in {"Unit", "Service"} and (section, key) not in OURS:
            settings.setdefault((section, key), []).append(value.replace("%N", stem))
    meanings = {place: _meaning(*place, values) for place, values in settings.items()}
    return {place: meaning for place, meaning in meanings.items() if meaning}


def _meaning(section: str, key: str, values: list[str]) -> object:
    if key == "ExecStartPre":  # an object, for which podman's generator makes a service
        values = [value for value in values if not MAKES_OBJECT.search(value)]
    if key in {"ExecStop", "ExecStopPost"}:  # ours names the container, podman's a file with its id
        values = [re.sub(r"(/podman .*\brm) .*", r"\1", value) for value in values]
    if key.startswith("Exec"):
        return [_options([*splitting.split(value, unescape=True)]) for value in values]
    words = {word for value in values for word in value.split()} - FIXED
    return {word for word in words if not re.fullmatch(r".*-(network|volume)\.service", word)}


def _options(words: Iterable[str]) -> list[str]:
    """Return the sorted words of a command in one spelling."""
    joined: list[str] = []
    for word in words:
        word = LONG.get(word, word)
        if joined and joined[-1].startswith("--") and not ALONE.fullmatch(joined[-1]) and not word.startswith("--"):
            joined[-1] += f"={word}"
        elif not word.startswith("--cidfile="):
            joined.append(f"{word}=true" if FLAGS.fullmatch(word) else word)
    return sorted(word.lower() if word.startswith("--cap-") else word for word in joined)
