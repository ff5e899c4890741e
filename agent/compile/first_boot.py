"""The program that the generator runs in a boot that has documents but no generation (`generator.first_boot`).

    documents of this machine ──compile──▶ Generation ──▶ /run/ordain/boot/handed

It compiles the documents that the agent will read, with the same code, so the agent finds its work done when it starts.
If something prevents that, the program prints one line with the reason and leaves the documents to the agent.
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
from ordain.transforms.catalog.machine_catalog import read_documents
from ordain.transforms.errors import Refused, only_errors
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.fact_readers import unknown_details
from ordain.transforms.machine.facts import read_facts
from ordain.transforms.resolve.used_facts import further_facts

WAIT = "the documents wait for the agent"


def main(argv: list[str]) -> int:
    """Compile for ``ROOT``, or with ``--trust ROOT`` only read agent.yaml. Print its `trust` for the generator.

    Return the exit status: 1 if no generation was made; the other lines give the reason.
    """
    root = Path(argv[-1])
    settings, _ = read_settings(root)
    print(f"{TRUST_LINE}{settings.trust}")
    if "--trust" in argv:
        return 0
    try:
        reason = _compile(root, settings)
    except Refused as refused:
        for problem in only_errors(refused.problems):
            print(problem)
        reason = "the documents are refused"
    except (SourceError, OSError) as failure:
        reason = f"{failure}; {WAIT}"
    if reason:
        print(reason)
    return 1 if reason else 0


def _compile(root: Path, settings: Settings) -> str:
    """Make the generation. Return the reason if that is not possible, else "".

    Raises `Refused`, `SourceError`, `OSError`.
    """
    texts = read_boot_documents(root, settings.trusted_server)
    if settings.source.type is SourceKind.DIRECTORY:
        texts = tuple(sorted((*texts, *_own(settings.source.path, root))))
    if settings.trust is Trust.REQUIRED or holds_release(texts):
        return f"only the agent can verify signatures; {WAIT}"
    documents, _ = read_documents(texts)
    if any("mac" in document.match for document in documents) and not read_facts(root).mac:
        return f"documents match on mac, and no network device has appeared yet; {WAIT}"
    if unknown := sorted(unknown_details(root, further_facts(documents))):
        return f"documents use {', '.join(unknown)}, which only the agent observes; {WAIT}"
    generation, _ = compile_texts(texts, root, Generation())
    Store(root).commit_handed(generation)
    return ""


def _own(folder: str, root: Path) -> RawDocuments:
    """Return the documents in the machine's own directory. Raises `SourceError`."""
    real = rootfs.chase(root, folder)
    # For the agent, a missing directory is a lost source. At a first boot, it is an image without documents.
    documents = read_folder(root, folder) if real.is_dir() else ()
    if documents is None:
        raise SourceError(f"{folder}: a file changed while the documents were being read")
    return documents
