"""The program that the generator runs in a boot that has documents and no generation (`generator.first_boot`); effect.

    documents of this machine ─compile▶ Generation ─▶ run/ordain/boot/handed

It compiles what the agent will compile once it comes, with the same code, so the agent finds its work done. Whatever
keeps it from that is said in a line, and is the agent's to deal with.
"""

from __future__ import annotations

from pathlib import Path

from ordain.agent.compile.compiler import compile_texts
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.bundle import holds_release
from ordain.agent.delivery.source.local_files import read_boot_documents, read_folder
from ordain.agent.model import Generation, RawDocuments
from ordain.agent.settings import Settings, Trust, read_settings
from ordain.agent.source_settings import SourceKind
from ordain.agent.state.store import Store
from ordain.generator.first_boot import TRUST_LINE
from ordain.transforms.catalog.machine_catalog import read_texts
from ordain.transforms.errors import Refused, errors
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.facts import read_facts

WAIT = "the documents wait for the agent"


def main(argv: list[str]) -> int:
    """Compile for ``ROOT``, or with ``--trust ROOT`` only read agent.yaml. Print its `trust` for the generator.

    The exit status is 1 if nothing was made; the other lines say why.
    """
    root = Path(argv[-1])
    settings, _ = read_settings(root)
    print(f"{TRUST_LINE}{settings.trust}")
    if "--trust" in argv:
        return 0
    try:
        reason = _compile(root, settings)
    except Refused as refused:
        for problem in errors(refused.problems):
            print(problem)
        reason = "the documents are refused"
    except (SourceError, OSError) as failure:
        reason = f"{failure}; {WAIT}"
    if reason:
        print(reason)
    return 1 if reason else 0


def _compile(root: Path, settings: Settings) -> str:
    """Make the generation. Return why not, "" if it is made. Raises `Refused`, `SourceError`, `OSError`."""
    texts = read_boot_documents(root, settings.server)
    if settings.source.type is SourceKind.DIRECTORY:
        texts = tuple(sorted((*texts, *_own(settings.source.path, root))))
    if settings.trust is Trust.REQUIRED or holds_release(texts):
        return f"signatures are verified by the agent; {WAIT}"
    documents, _ = read_texts(texts)
    if any("mac" in document.match for document in documents) and not read_facts(root).mac:
        return f"documents match on mac, and no network device is known so early; {WAIT}"
    generation, _ = compile_texts(texts, root, Generation())
    Store(root).commit_handed(generation)
    return ""


def _own(folder: str, root: Path) -> RawDocuments:
    """The documents of this machine. Raises `SourceError`."""
    real = rootfs.chase(root, folder)
    # Later, a directory that is missing is a loss, and what was applied stays; here it is an image that has none.
    found = read_folder(real, folder) if real.is_dir() else ()
    if found is None:
        raise SourceError(f"{folder}: somebody writes there")
    return found
