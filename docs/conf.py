"""Sphinx's settings for `make docs`: a static site of these pages, built offline."""

from __future__ import annotations

from sphinx.application import Sphinx

project = "Ordain"
copyright = "the authors of Ordain"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
nitpicky = True
html_theme = "sphinx_rtd_theme"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
# Headings get the anchors that GitHub gives them, so one link works in both places.
myst_heading_anchors = 6

CONTENTS = {
    "Learn": ("tutorial", "tutorial-diskless", "explanation/concepts"),
    "Do": (
        "howto/install",
        "howto/troubleshooting",
        "howto/test-documents",
        "howto/install-packages",
        "howto/settings",
        "howto/services-of-systems",
        "howto/migrate",
        "howto/facts",
        "howto/other-machines",
        "howto/secrets",
        "howto/containers",
        "howto/runs",
        "howto/network-changes",
        "howto/boot-server",
        "howto/boot-from-network",
        "howto/install-to-disk",
        "howto/boot-server-page",
        "howto/fleet-on-etcd",
        "howto/relay",
        "howto/operate-a-store",
        "howto/machine-identity",
        "howto/signed-releases",
        "howto/boot-from-ram",
        "howto/exclusive-boot",
        "howto/stop-using-ordain",
    ),
    "Look up": (
        "reference/documents",
        "reference/sections/*",
        "reference/runs",
        "reference/runs/*",
        "reference/agent-yaml",
        "reference/systems",
        "reference/commands",
        "man/*",
        "reference/files",
        "reference/codes",
        "reference/json",
        "reference/dbus",
        "reference/boot-server-api",
    ),
    "Understand": (
        "explanation/boot",
        "explanation/sources",
        "explanation/performance",
        "explanation/scaling",
        "design/index",
        "design/contract",
        "design/documents",
        "design/facts",
        "design/systemd",
        "design/file-formats",
        "design/machine-identity",
        "design/relay",
        "design/sealed-secrets",
        "design/packages",
        "design/install-to-disk",
        "design/catalog",
        "design/threat-model",
        "design/decisions/index",
        "design/decisions/*",
    ),
}
"""The menu of the site. The pages themselves link to each other, so that they need no site."""


def add_menu(app: Sphinx, page: str, source: list[str]) -> None:
    """Append the menu to the index, which is plain Markdown for its other readers."""
    if page == "index":
        for caption, pages in CONTENTS.items():
            options = f":hidden:\n:glob:\n:maxdepth: 1\n:caption: {caption}\n"
            source[0] += f"\n```{{toctree}}\n{options}\n" + "\n".join(pages) + "\n```\n"


def setup(app: Sphinx) -> None:
    """Register the menu."""
    app.connect("source-read", add_menu)
