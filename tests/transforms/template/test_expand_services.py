"""Templates over the row of a service: its paths, ports and user on each system."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Compiled


def compiled(system: str, template: str) -> Compiled:
    text = f"""\
ordain: v1
kind: Layer
name: x
files: {{/etc/x.conf: {{template: "{template}"}}}}
"""
    documents, problems = read("x.yaml", text.encode())
    assert problems == ()
    return compile(documents, facts_for(system), shipped=shipped())


@pytest.mark.parametrize(
    ("system", "template", "text"),
    [
        ("debian-13", "{{ service('apache').log }}", "/var/log/apache2/"),
        ("rocky-9", "{{ service('apache').log }}", "/var/log/httpd/"),
        ("opensuse-leap-16.0", "{{ service('apache').data }}", "/srv/www/htdocs/"),
        ("debian-13", "{{ service('nginx').user }} {{ service('nginx').pid }}", "www-data /run/nginx.pid"),
        ("rocky-9", "{{ service('nginx').user }}", "nginx"),
        ("arch", "{% for port in service('nginx').ports %}{{ port }},{% endfor %}", "80/tcp,443/tcp,"),
        ("debian-13", "{{ service('postgresql').unit }} {{ service('bind').package }}", "postgresql.service bind9"),
        ("debian-13", "{{ service('nfs-server').units | length }}", "2"),
        # A role has the values of its service.
        ("debian-13", "{{ service('syslog').data }}", "/var/spool/rsyslog/"),
    ],
)
def test_a_template_prints_the_values_of_a_service(system: str, template: str, text: str) -> None:
    result = compiled(system, template)

    assert result.problems == ()
    (content,) = (getattr(a, "content", "") for a in result.artifacts if a.path == "/etc/x.conf")
    assert content.splitlines()[-1] == text


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{{ service('nginks').log }}", "no transform names the service 'nginks' on debian"),
        ("{{ service('ssh').data }}", "the map has no 'data'"),
    ],
)
def test_a_value_that_no_row_has_blocks_the_item(template: str, what: str) -> None:
    (problem,) = compiled("debian-13", template).problems

    assert problem.code == "Template"
    assert what in problem.what


def test_the_row_of_the_service_counts_as_used() -> None:
    uses = {
        use.leaf.where.pointer: use.items for use in compiled("debian-13", "{{ service('nginx').log }}").catalog_uses
    }

    assert uses["services/nginx/log"] == ("files/~1etc~1x.conf",)
