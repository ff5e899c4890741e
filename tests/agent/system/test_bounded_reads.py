"""The mounts whose reads are bounded in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.system import bounded_reads

MOUNTINFO = """\
25 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw
26 25 0:30 / /run rw - tmpfs tmpfs rw
27 25 0:31 / /srv/with\\040blank rw - nfs4 host:/ rw
28 25 0:32 / /media/ann/a{end}b rw - fuse.x x rw
"""


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0b", "\r"])
def test_a_mount_with_a_line_end_of_unicode_in_its_name_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    (tmp_path / "mountinfo").write_bytes(MOUNTINFO.format(end=end).encode())
    monkeypatch.setattr(bounded_reads, "MOUNTS", tmp_path / "mountinfo")

    assert bounded_reads.mount_points() == ("/srv/with blank", f"/media/ann/a{end}b")
