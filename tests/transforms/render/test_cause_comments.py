"""Comments that name the documents' places are read back as they were written."""

from __future__ import annotations

import pytest

from ordain.transforms.errors import Where
from ordain.transforms.model import Leaf
from ordain.transforms.render.cause_comments import Cause, cause, comment, default, read_cause, read_default


@pytest.mark.parametrize(
    ("path", "layer", "pointer"),
    [
        ("web.yaml", "web", "services/web/user"),
        ("common/layer/base-web", "", "files/~1etc~1my file/content"),
        ("/etc/ordain/documents/10:two words.yaml", "site-a", "services/a b/command"),
    ],
)
def test_a_comment_about_a_place_is_read_back(path: str, layer: str, pointer: str) -> None:
    leaf = Leaf(value=1, where=Where(path=path, line=12, column=3, pointer=pointer), layer=layer)

    found = read_cause(comment(cause(leaf)))

    assert found == Cause(path=path, line=12, layer=layer, pointer=pointer)


def test_a_comment_about_a_default_is_read_back() -> None:
    line = comment(default("every service is hardened"))

    assert read_default(line) == "every service is hardened"
    assert read_cause(line) is None


@pytest.mark.parametrize("line", ["# anything else", "# see web.yaml", "User=a", ""])
def test_other_lines_name_no_place(line: str) -> None:
    assert read_cause(line) is None
    assert read_default(line) == ""
