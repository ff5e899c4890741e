"""The audit of packaging sources confirms what recipes name, and finds a unit that another package has."""

from __future__ import annotations

from pathlib import Path

import pytest
from audit.packaging import audited, seen
from audit.recipes import Tree, read_tree

from ordain.transforms.catalog.audit_results import READ

SPEC = """\
%global conf %{_sysconfdir}/%{name}
Name: web
Version: 1
Requires: %{name}-common = 1
%description
# web-comment.service is in a comment
%package -n webtool
Requires: other
%package common
%post -n webtool
%systemd_post web.service
%files
%{_unitdir}/web*.timer
%config(noreplace) %{conf}/conf.d/
%files common
%{_unitdir}/web.service
%files -n webtool
%{_unitdir}/tool.service
%changelog
* added web-old.service, and %{_sysconfdir}/web/old.d/
"""
EBUILD = """\
EAPI=8
MY=web
src_install() {
    systemd_newunit "${FILESDIR}"/x.service ${PN}d.service
    keepdir /etc/${MY}/conf.d
}
"""
PKGBUILD = """\
pkgbase=web
pkgname=(archweb 'archtool')
package_archweb() { install -Dm644 web.service "$pkgdir/usr/lib/systemd/system/${pkgbase}.service"; }
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    files = {
        "web/web.spec": SPEC,
        "web/main.conf": "; include /etc/web/comment.d/*\n# /etc/web/other.d\ninclude /etc/web/named.d/*.conf\n",
        "www/servers/web/web-1.ebuild": EBUILD,
        "www/servers/web/files/web-beside.service": "[Unit]\n",
        "arch/PKGBUILD": PKGBUILD,
        "ORIGIN": "specs of nobody\n2026-01-02\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return read_tree(tmp_path)


@pytest.mark.parametrize(
    ("package", "key", "value", "confirmed"),
    [
        ("web", "unit", "web.service", True),  # in a package that it needs
        ("web", "unit", "web-daily.timer", True),  # by a pattern
        ("web", "unit", "web-comment.service", False),
        ("web", "unit", "web-old.service", False),  # the changelog names it
        ("web-common", "unit", "web.service", True),
        ("webtool", "unit", "web.service", False),  # only a script names it
        ("web", "config", "/etc/web/conf.d/", True),
        ("web", "config", "/etc/web/conf/", False),
        ("web", "config", "/etc/web/old.d/", False),
        ("web", "config", "/etc/web/named.d/", True),
        ("web", "config", "/etc/web/comment.d/", False),
        ("web", "config", "/etc/web/other.d/", False),
        ("servers/web", "unit", "webd.service", True),
        ("servers/web", "unit", "web-beside.service", True),
        ("servers/web", "config", "/etc/web/conf.d/", True),
        ("archtool", "package", "archtool", True),
        ("archweb", "unit", "web.service", True),
        ("none", "package", "none", False),
    ],
)
def test_a_recipe_confirms_what_an_active_line_names(
    tree: Tree, package: str, key: str, value: str, confirmed: bool
) -> None:
    found, _ = seen(tree, {"package": package, key: value})

    assert (found.get(key) == value) is confirmed


def test_a_unit_of_another_package_makes_a_row_false(tree: Tree) -> None:
    claims = {"services/a": {"package": "web", "unit": "tool.service"}, "services/b": {"unit": "vendor.service"}}

    rows, false = audited("fedora-43", tree, claims)

    assert seen(tree, claims["services/a"])[1] == ["web/web.spec gives tool.service to webtool, not to web"]
    assert (set(rows), false) == ({READ, "services/a"}, 1)
    assert rows["services/a"]["source"] == "web/web.spec"
    assert rows[READ] == {"how": "packaging source", "of": "specs of nobody", "when": "2026-01-02"}


def test_sources_without_their_origin_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ORIGIN").write_text("only what they are\n")

    with pytest.raises(OSError, match="two lines"):
        read_tree(tmp_path)
