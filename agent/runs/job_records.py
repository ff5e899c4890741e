"""The records of submitted jobs, which tell the later commands the system, the run and the output of an id.

They are JSON files below ``$XDG_STATE_HOME/ordain/runs`` (default: ``~/.local/state``), one for each job, and belong to
the user (docs/design/file-formats.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

FORMAT = 2
_OLD_FORMAT = 1
"""In it, the index 0 is that of a job without an index."""
MOST = 5000
"""The most records that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as it was submitted. ``submitted`` is a time in UTC, ``output`` a file name with ``{job}`` and ``{index}``.

    ``index`` is the index of an element that is a job of its own, else None; ``elements`` is the size of an array.
    """

    id: str
    run: str
    system: str
    submitted: str
    output: str = ""
    directory: str = ""
    script: str = ""
    index: int | None = None
    elements: int = 1

    def output_path(self, index: int) -> Path | None:
        """Return the file of the output of the element ``index``, None if the scheduler keeps it."""
        if not self.output:
            return None
        number = self.id.partition(".")[0].partition("[")[0]
        own = index if self.index is None else self.index
        names = {"job": self.id, "index": str(own), "run": self.run, "number": number}
        text = self.output
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
        return Path(self.directory) / text.replace("{{", "{").replace("}}", "}")


def directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of the user's records."""
    state = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "/")) / ".local/state")
    return Path(state) / "ordain" / "runs"


def save(record: JobRecord, home: Path) -> None:
    """Write ``record`` in one step."""
    home.mkdir(parents=True, exist_ok=True)
    path = _path(record, home)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps({"format": FORMAT, **asdict(record)}, indent=1), encoding="utf-8")
    temporary.rename(path)


def prune(home: Path) -> None:
    """Delete the records beyond the latest `MOST`, with their scripts."""
    for record in list(records(home))[MOST:]:
        _path(record, home).unlink(missing_ok=True)
        if record.script:
            Path(record.script).unlink(missing_ok=True)


def _path(record: JobRecord, home: Path) -> Path:
    return home / f"{quote(record.system, safe='')}+{quote(record.id, safe='')}.json"


def records(home: Path) -> Iterator[JobRecord]:
    """Yield all records, the latest first; a damaged file is passed over."""
    read_records: list[JobRecord] = []
    for path in home.glob("*.json") if home.is_dir() else ():
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            form = data.pop("format")
            if form == _OLD_FORMAT:
                data["index"] = data["index"] or None
            if form in (_OLD_FORMAT, FORMAT):
                read_records.append(JobRecord(**data))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    yield from sorted(read_records, key=lambda record: (record.submitted, record.id), reverse=True)
