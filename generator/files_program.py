"""The program ordain-files: a phase of files, which ends at once if it has nothing to do.

    argv ─▶ choose ─▶ nothing to do, or `files.place`

Three units run it at each boot, and most machines have no files of documents. The modules that place files take five
times as long to load as all others, so they are loaded only when they are needed.
"""

from __future__ import annotations

from ordain.generator.choose import choose
from ordain.generator.phases import has_traces


def main(argv: list[str]) -> int:
    """Place the files of a phase; ``argv`` is ``PHASE [ROOT]``. Return 1 if a file is not as the documents want it."""
    phase, root = argv[1], argv[2] if len(argv) > 2 else "/"
    choice = choose("" if root == "/" else root)
    if choice.cache is None:
        return 0  # without a generation, nothing is removed
    if not choice.cache.files and not has_traces(root, phase):
        return 0
    from ordain.generator import files

    return files.place(root, phase, choice.cache)
