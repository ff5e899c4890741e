"""Documents baked into a root file system that does not run: for image builders; effect.

    texts, root/ ─▶ root/etc/ordain/documents/*, root/usr/lib/ordain/boot/baseline

The baseline is what the machine's first boot starts with, before any agent has compiled anything. It is bound to no
machine. The same texts over the same root are the same bytes, and what is there already is not written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from ordain.agent.compile.boot_time_facts import boot_time_facts
from ordain.agent.compile.compiler import compile_texts
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.local_files import read_folder
from ordain.agent.errors import Failure
from ordain.agent.model import Generation, RawDocument
from ordain.agent.settings import read_settings
from ordain.agent.state.store import Store
from ordain.agent.system import atomic_files
from ordain.generator.choose import BASELINE, TRUST, trust_record
from ordain.transforms.catalog.machine_catalog import read_texts
from ordain.transforms.document.node import SUFFIXES, is_document_name
from ordain.transforms.errors import Problem, Refused, errors
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.agent_yaml import PATH

GENERATOR = "usr/lib/systemd/system-generators/ordain-generator"
RUNNING = "run/systemd/system"


@dataclass(frozen=True, slots=True, kw_only=True)
class BakedImage:
    """``written`` are the paths that changed, ``unknown`` the facts that documents match on and only a boot knows."""

    generation: Generation
    documents: int
    written: tuple[str, ...]
    unknown: tuple[str, ...]
    problems: tuple[Problem, ...]


def bake(root: Path, texts: Iterable[RawDocument]) -> BakedImage:
    """Put ``texts`` among the documents below ``root``, and make the baseline of all that are there.

    Raises `Refused` and `Failure`; then nothing was written.
    """
    check_tree(root)
    settings, _ = read_settings(root)
    folder = settings.source.path
    wanted = {f"{folder}/{name}": data for name, data in _named(texts).items()}
    held = {**_there(folder, root), **wanted}
    if not held:
        raise Failure(f"there are no documents, neither named nor in {folder} of {root}")
    ordered = tuple(sorted(held.items()))
    generation, problems = compile_texts(ordered, root, Generation())
    written = [path for path, data in sorted(wanted.items()) if _put(root, path, data)]
    if _put(root, BASELINE, Store(root).baseline_of(generation)):
        written.append(BASELINE)
    agent_yaml = rootfs.read(root, PATH)
    if agent_yaml and _put(root, TRUST, trust_record(settings.trust, agent_yaml)):
        written.append(TRUST)
    documents, _ = read_texts(ordered)
    return BakedImage(
        generation=generation,
        documents=len(documents),
        written=tuple(written),
        unknown=tuple(sorted(boot_time_facts(documents))),
        problems=problems,
    )


def check_tree(root: Path) -> None:
    """Raises `Failure` if ``root`` is no tree with Ordain in it, or one that runs."""
    if not rootfs.exists(root, GENERATOR):
        raise Failure(f"{root}: Ordain is not installed there (install the package first)")
    if rootfs.exists(root, RUNNING):
        raise Failure(f"{root}: a system runs there (`ordainctl apply` is for those)")


def _there(folder: str, root: Path) -> Mapping[str, bytes]:
    real = rootfs.chase(root, folder)
    try:
        found = read_folder(real, folder) if real.is_dir() else ()
    except SourceError as failure:
        raise Failure(str(failure)) from None
    if found is None:
        raise Failure(f"{real}: somebody writes there")
    return dict(found)


def _named(texts: Iterable[RawDocument]) -> Mapping[str, bytes]:
    """By the name of the file they become. Raises `Failure`, and `Refused` for a text that is no document."""
    found: dict[str, bytes] = {}
    for path, data in texts:
        _, wrong = read_texts([(path, data)])
        if errors(wrong):  # by the name that the user gave it
            raise Refused(wrong)
        name = PurePath(path).name
        if not is_document_name(name):
            raise Failure(f"{path}: a document's file is called {' or '.join('*' + suffix for suffix in SUFFIXES)}")
        if found.setdefault(name, data) != data:
            raise Failure(f"{path}: another file is called {name}, too")
    return found


def _put(root: Path, path: str, data: bytes) -> bool:
    """Make ``path`` below ``root`` hold ``data``; whether that is news."""
    try:
        if rootfs.read(root, path, limit=len(data)) == data:
            return False
    except OSError:
        pass  # it is larger, or no file
    folder, _, name = path.rpartition("/")
    real = rootfs.chase(root, folder)
    try:
        atomic_files.make_folder(real)
        atomic_files.replace(real / name, data)
    except OSError as error:
        raise Failure(atomic_files.why(error, real / name)) from error
    return True
