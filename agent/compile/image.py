"""Bakes documents into the root file system of an image, for image builders.

    texts, root/ ──bake──▶ root/etc/ordain/documents/*, root/usr/lib/ordain/boot/baseline

A machine of the image starts its first boot with the baseline, before its agent has compiled anything. The baseline is
not bound to a machine. The same texts and the same root give the same bytes, and a file that has them already is not
written again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from ordain.agent.compile.compiler import compile_texts
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.local_files import read_folder
from ordain.agent.errors import Failure
from ordain.agent.model import Generation, RawDocument
from ordain.agent.settings import read_settings
from ordain.agent.state.store import Store
from ordain.agent.system import atomic_files
from ordain.generator.choose import BASELINE, TRUST, trust_record
from ordain.transforms.catalog.machine_catalog import read_documents
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.text.node import SUFFIXES, is_document_name
from ordain.transforms.errors import Problem, Refused, only_errors
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.agent_yaml import PATH
from ordain.transforms.resolve.used_facts import boot_time_facts

GENERATOR = "usr/lib/systemd/system-generators/ordain-generator"
BOOTED = "run/systemd/system"
"""Exists where systemd runs (sd_booted(3))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BakedImage:
    """The result of `bake`: ``written`` are the paths that changed.

    ``unknown`` are the facts that the documents depend on and that only a boot of the machine tells.
    """

    generation: Generation
    documents: int
    written: tuple[str, ...]
    unknown: tuple[str, ...]
    problems: tuple[Problem, ...]


def bake(root: Path, texts: Iterable[RawDocument]) -> BakedImage:
    """Add ``texts`` to the documents below ``root``, and make the baseline from all documents there.

    Raises `Refused` or `Failure`, before anything is written.
    """
    check_tree(root)
    settings, _ = read_settings(root)
    folder = settings.source.path
    added = {f"{folder}/{name}": data for name, data in _by_file_name(texts).items()}
    documents = {**_documents_in(folder, root), **added}
    if not documents:
        raise Failure(f"no documents: none was named, and {folder} below {root} holds none")
    ordered = tuple(sorted(documents.items()))
    generation, problems = compile_texts(ordered, root, Generation(), in_image=True)
    written = [path for path, data in sorted(added.items()) if _put(root, path, data)]
    if _put(root, BASELINE, Store(root).baseline_of(generation)):
        written.append(BASELINE)
    agent_yaml = rootfs.read(root, PATH)
    if agent_yaml and _put(root, TRUST, trust_record(settings.trust, agent_yaml)):
        written.append(TRUST)
    read, _ = read_documents(ordered)
    return BakedImage(
        generation=generation,
        documents=len(read),
        written=tuple(written),
        unknown=tuple(sorted(boot_time_facts(read, shipped()))),
        problems=problems,
    )


def has_documents(root: Path) -> bool:
    """Return whether there are documents below ``root`` to bake. Raises `Failure`."""
    settings, _ = read_settings(root)
    return bool(_documents_in(settings.source.path, root))


def check_tree(root: Path) -> None:
    """Raise `Failure` unless Ordain is installed below ``root``, and no system runs there."""
    if not rootfs.exists(root, GENERATOR):
        raise Failure(f"{root}: Ordain is not installed there; install the package first")
    if rootfs.exists(root, BOOTED):
        raise Failure(f"{root}: a system runs there; use `ordainctl apply` instead")


def _documents_in(folder: str, root: Path) -> Mapping[str, bytes]:
    real = rootfs.chase(root, folder)
    try:
        documents = read_folder(root, folder) if real.is_dir() else ()
    except SourceError as failure:
        raise Failure(str(failure)) from None
    if documents is None:
        raise Failure(f"{real}: a file changed while the documents were being read; try again")
    return dict(documents)


def _by_file_name(texts: Iterable[RawDocument]) -> Mapping[str, bytes]:
    """Return the texts by the name of their file in the image.

    Raises `Failure`, and `Refused` for a text that is not a valid document.
    """
    named: dict[str, bytes] = {}
    for path, data in texts:
        _, wrong = read_documents([(path, data)])
        if only_errors(wrong):  # read one by one, so that the error names the path that the user gave
            raise Refused(wrong)
        name = PurePath(path).name
        if not is_document_name(name):
            suffixes = " or ".join(SUFFIXES)
            raise Failure(f"{path}: the name of a document must end in {suffixes}, and must not begin with a dot")
        if named.setdefault(name, data) != data:
            raise Failure(f"{path}: another file with different content is also called {name}")
    return named


def _put(root: Path, path: str, data: bytes) -> bool:
    """Make ``path`` below ``root`` hold ``data``; return whether it had to be written."""
    with contextlib.suppress(OSError):  # a file that is larger, or something that is not a file, is replaced
        if rootfs.read(root, path, limit=len(data)) == data:
            return False
    folder, _, name = path.rpartition("/")
    real = rootfs.chase(root, folder)
    try:
        atomic_files.make_folder(real)
        atomic_files.replace(real / name, data)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, real / name)) from error
    return True
