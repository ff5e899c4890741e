"""Placed files get the labels of a policy of SELinux: libselinux reads one of the test, the kernel keeps them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ordain.generator.safe_tree import PathState, PlacementError, write_state
from ordain.generator.selinux_label import label_of

CONTEXTS = """\
/.* system_u:object_r:default_t:s0
/etc(/.*)? system_u:object_r:etc_t:s0
/etc/web\\.conf -- system_u:object_r:httpd_config_t:s0
/etc/link -l system_u:object_r:link_t:s0
/srv/www(/.*)? system_u:object_r:httpd_sys_content_t:s0
/run/.* <<none>>
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with a policy in force, on a file system that keeps labels."""
    for path, text in {
        "sys/fs/selinux/enforce": "1",
        "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=ours\n",
        "etc/selinux/ours/contexts/files/file_contexts": CONTEXTS,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    try:
        os.setxattr(tmp_path, "security.selinux", b"system_u:object_r:default_t:s0\0")
    except OSError as error:
        pytest.skip(f"the kernel keeps no label at {tmp_path}: {error.strerror}")
    return tmp_path


def state(kind: str, data: bytes = b"") -> PathState:
    return PathState.of(kind, data, mode=0o755 if kind == "directory" else 0o644, uid=os.getuid(), gid=os.getgid())


def label(path: Path) -> str:
    value = os.getxattr(path, "security.selinux", follow_symlinks=False).rstrip(b"\0").decode()
    return value.split(":")[2]


def test_a_file_a_link_and_new_directories_get_the_labels_of_the_policy(root: Path) -> None:
    write_state(root, "/etc/web.conf", state("file", b"x"))
    write_state(root, "/etc/link", state("link", b"web.conf"))
    write_state(root, "/srv/www/pages/index.html", state("file", b"y"))
    write_state(root, "/srv/www/empty", state("directory"))

    assert label(root / "etc/web.conf") == "httpd_config_t"
    assert label(root / "etc/link") == "link_t"
    assert {label(root / f"srv/www/{name}") for name in ("pages", "pages/index.html", "empty")} == {
        "httpd_sys_content_t"
    }
    assert label(root / "srv") == "default_t"


def test_an_existing_directory_keeps_the_label_of_an_administrator(root: Path) -> None:
    (root / "srv/www").mkdir(parents=True)
    os.setxattr(root / "srv/www", "security.selinux", b"system_u:object_r:own_t:s0\0")

    write_state(root, "/srv/www", state("directory"))

    assert label(root / "srv/www") == "own_t"


def test_a_path_without_a_label_in_the_policy_keeps_that_of_the_kernel(root: Path) -> None:
    assert label_of(root, "/run/x", stat.S_IFREG) == b""


def test_nothing_is_labelled_where_no_policy_is_in_force(root: Path) -> None:
    (root / "sys/fs/selinux/enforce").unlink()

    write_state(root, "/etc/web.conf", state("file", b"x"))

    assert "security.selinux" not in os.listxattr(root / "etc/web.conf")


def test_a_policy_without_its_labels_is_an_error_with_a_remedy(root: Path) -> None:
    (root / "etc/selinux/config").write_text("SELINUXTYPE=other\n")

    with pytest.raises(PlacementError, match=r"other/contexts/files/file_contexts is missing; correct SELINUXTYPE"):
        write_state(root, "/etc/web.conf", state("file", b"x"))
