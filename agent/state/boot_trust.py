"""The `trust` of agent.yaml, recorded for the generator, which reads no YAML (`generator.choose`)."""

from __future__ import annotations

import logging
from pathlib import Path

from ordain.agent.system import atomic_files
from ordain.generator.choose import TRUST, trust_record

log = logging.getLogger(__name__)


def record_trust(root: Path, trust: str, agent_yaml: bytes | None) -> bool:
    """Record that the file with the content ``agent_yaml`` below ``root`` means ``trust``. Return whether that is new.

    Without a file the generator knows the default. A failure is logged: at the next boot the generator has the file
    read by a program of its own, and takes no unsigned cache if that fails.
    """
    path = root / TRUST.lstrip("/")
    data = trust_record(trust, agent_yaml) if agent_yaml else b""
    try:
        if not data:
            path.unlink(missing_ok=True)
            return False
        if path.is_file() and atomic_files.read(path) == data:
            return False
        atomic_files.make_folder(path.parent, 0o700)
        atomic_files.replace(path, data)
    except OSError as error:
        log.warning("%s; the next boot has to read agent.yaml itself", atomic_files.describe_error(error, path))
        return False
    return True
