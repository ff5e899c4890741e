"""The program of ordain-secrets.service, the only one that has the key which opens secrets.

    generation of this boot ──▶ sealed secrets ──Unsealer──▶ files of root in /run/ordain/secrets, which units load
    secrets that the agent asks about ──▶ the reasons why they cannot be opened

It runs once at boot, if the generation has sealed secrets, and again whenever the agent applies others. It has no
network, no bus and no arguments, and prints no value.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ordain.agent.secrets import exchange
from ordain.agent.secrets.unsealing import Unsealer
from ordain.generator.cache import CacheError
from ordain.generator.choose import choose
from ordain.generator.files import FilePlacement, read, replace_synced
from ordain.generator.phases import REPORTS
from ordain.transforms.artifacts import PlacedFile
from ordain.transforms.forbidden_paths import SECRETS
from ordain.transforms.sealed_secret import parse, secret_digest

PHASE = "secrets"


def main(root: Path = Path("/")) -> int:
    """Open and place the secrets of the generation, and try those that were asked about.

    Return 1 if one of the generation cannot be placed.
    """
    unsealer = Unsealer(root, given=os.environ.get("CREDENTIALS_DIRECTORY", ""))
    try:
        if sealed := exchange.asked(root):
            exchange.answer(root, {secret_digest(text): unsealer.fault(text.partition(":")[2]) for text in sealed})
        problems = _place(root, unsealer)
    except (CacheError, OSError) as error:
        print(f"ordain-secrets: {error}", file=sys.stderr)
        return 1
    for path, what in problems.items():
        print(f"{path}: {what}", file=sys.stderr)
    return 1 if problems else 0


def _place(root: Path, unsealer: Unsealer) -> dict[str, str]:
    choice = choose("" if str(root) == "/" else str(root))
    if choice.cache is None:
        return {}
    wanted: list[PlacedFile] = [file for file in read(choice.cache.files) if file.phase == PHASE]
    (root / SECRETS.strip("/")).mkdir(mode=0o700, parents=True, exist_ok=True)
    report = FilePlacement(root, PHASE, partial(_open_or_keep, root, unsealer)).run(wanted)
    report.hash = choice.cache.hash
    replace_synced(root / REPORTS[PHASE], json.dumps(asdict(report)).encode())
    return report.problems


def _open_or_keep(root: Path, unsealer: Unsealer, text: str) -> bytes:
    """Return the value of a secret; if it does not open any more, what is open already. Raises ValueError.

    The key may be lost or changed while services run. Only root can have written the file, and a new value has another.
    """
    try:
        return unsealer.open(text)
    except ValueError:
        path = root / parse(text).path.lstrip("/")
        if path.is_file():
            return path.read_bytes()
        raise


if __name__ == "__main__":
    sys.exit(main())
