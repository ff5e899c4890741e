"""Templates make texts, reach only their variables, and stay within their budget."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest

from ordain.transforms.template import jinja_sandbox
from ordain.transforms.template.budget import MAX_LENGTH
from ordain.transforms.template.jinja_sandbox import NoResult, expand_text

NAMES: Mapping[str, object] = {
    "values": {"name": "web", "ports": [80, 443], "rooms": ["a", "b"], "map": {"k": "v", "j": "w"}, "on": True},
    "facts": {"id": "debian", "os": ("debian",)},
    "path": lambda name: f"/usr/bin/{name}",
}

TEXTS = {
    "plain": "plain",
    "a\n": "a\n",
    "{{ values.name }}": "web",
    "{{ values['name']|upper }}": "WEB",
    "{{ values.ports|join(',') }}": "80,443",
    "{{ values.ports[0] + 1 }}": "81",
    "{{ values.name ~ 1 ~ values.on }}": "web1true",
    "{{ values.gone|default('d') }}": "d",
    "{{ path('python') }}": "/usr/bin/python",
    "{{ '%s-%03d' % (values.name, 7) }}": "web-007",
    "{{ '%5.1f'|format(2.25) }}": "  2.2",
    "{{ values.map|dictsort|map('join', '=')|join(' ') }}": "j=w k=v",
    "{% for k, v in values.map.items() %}{{ k }}{% endfor %}": "kj",
    "{% for p in values.ports %}{{ loop.index }}:{{ p }}{{ '' if loop.last else ' ' }}{% endfor %}": "1:80 2:443",
    "{% set n = values.ports|length %}{{ n * 2 }}": "4",
    "{% if 'debian' in facts.os and values.ports|sum > 500 %}yes{% else %}no{% endif %}": "yes",
    "{{ values.name.replace('w', 'ww').split('b')[0] }}": "wwe",
    "{{ values.map|tojson }}": '{"j": "w", "k": "v"}',
    "{{ ('x' * 3)|indent(2, true) }}": "  xxx",
    "{{ range(3)|map('string')|join }}": "012",
    "{{ values.gone is defined }}": "false",
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_template_is_expanded_to_a_text(text: str) -> None:
    assert expand_text(text, NAMES) == TEXTS[text]


REFUSED_NAMES = {
    "{{ ''.__class__.__mro__ }}": "no attribute '__class__'",
    "{{ values.__class__ }}": "the map has no '__class__'",
    "{{ path.__globals__ }}": "no attribute '__globals__'",
    "{{ values.ports.append(1) }}": "no attribute 'append'",
    "{{ values.map.update(a=1) }}": "the map has no 'update'",
    "{{ '{0.__class__}'.format(1) }}": "no attribute 'format'",
    "{{ values.ports|map(attribute='__class__')|join }}": "no attribute '__class__'",
    "{{ values.ports|attr('__class__') }}": "No filter named 'attr'",
    "{{ self.__init__ }}": "no attribute '__init__'",
    "{{ lipsum() }}": "'lipsum' is undefined",
    "{{ cycler('a').next() }}": "'cycler' is undefined",
    "{{ values.ports|random }}": "No filter named 'random'",
    "{% include '/etc/passwd' %}": "Include statement is not allowed",
    "{% import 'x' as x %}": "Import statement is not allowed",
    "{% extends 'x' %}": "Extends statement is not allowed",
    "{{ path }}": "a function is not a text",
    "{{ ''.join }}": "a function is not a text",
    "{{ values.map }}": "a map or a list is not a text; use the filter join",
    "{{ 'a' ~ values.ports }}": "a map or a list is not a text; use the filter join",
    "{{ [values.map]|join }}": "a map or a list is not a text; use the filter join",
    "{{ none }}": "null is not a text; use the filter default",
    "{{ values.nam }}": "the map has no 'nam'",
    "{{ gone }}": "'gone' is undefined",
    "{{ '\\x00i\\x00' }}": "a text cannot hold a NUL byte",
    "{{ '\\ud800' }}": "half of a surrogate pair",
    "{{ 1 / 0 }}": "division by zero",
    "{{ 5|dictsort }}": "'int' object has no attribute 'items'",
    "{{ values.name() }}": "not callable",
    "{% if %}": "line 1 of the template",
}

REFUSED_COSTS = {
    "{{ 'a' * 10**9 }}": "longer than",
    "{{ [0] * 10**9 }}": "* needs two numbers",
    "{{ 'a'|center(10**9) }}": "No filter named 'center'",
    "{{ 'a'|indent(10**9) }}": "an indent must be 0 to 256",
    "{{ 'a'.ljust(10**9) }}": "no attribute 'ljust'",
    "{{ '%999999999d' % 1 }}": "widths up to 256",
    "{{ '%*d' % (999999999, 1) }}": "widths up to 256",
    "{{ 10**10**10 }}": "64 bits",
    "{{ 2**64 }}": "64 bits",
    "{{ '1e308'|int }}": "64 bits",
    "{{ '9' * 9000 }}{{ ('9' * 9000)|int }}": "cannot convert",
    "{{ range(10**9)|list }}": "longer than",
    "{{ ('a' * 60000)|replace('a', 'b' * 60000) }}": "longer than",
    "{{ ('a' * 60000).replace('', 'b' * 60000) }}": "longer than",
    "{{ (['a' * 60000] + ['a' * 60000])|join }}": "longer than",
    "{% set a = 'x' * 99 %}" + "{% set a = a ~ a %}" * 50 + "{{ a }}": "longer than",
    "{% set a = [1] %}" + "{% set a = [a, a] %}" * 50 + "{{ a|tojson }}": "too many steps",
    "{% set a = [1] %}{% set b = [1] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 50 + "{{ a == b }}": "too many",
    "{% for i in range(60000) %}{% for j in range(60000) %}{% endfor %}{% endfor %}": "too many steps",
    "{% for i in range(60000) %}{{ ('a' * 60000)|upper|length }}{% endfor %}": "too many steps",
    "{% for i in range(60000) %}" + "x" * 60000 + "{% endfor %}": "more than 65,536 characters",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}": "Macro statement is not allowed",
    "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}": "a recursive loop is not allowed",
    "{% set x %}{% for i in range(9) %}x{% endfor %}{% endset %}{{ x }}": "AssignBlock statement is not allowed",
    "x" * (MAX_LENGTH + 1): "characters; at most 65,536 are allowed",
    "{{ " + "1+" * 30000 + "1 }}": "tokens",
    "{{ x" + ".x" * 4000 + " }}": "nested too deep",
    "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}": "nested too deep",
    "{% if 1 %}" * 400 + "{% endif %}" * 400: "nested too deep",
}


@pytest.mark.parametrize("text", [*REFUSED_NAMES, *REFUSED_COSTS], ids=lambda text: text[:60])
def test_a_template_that_reaches_or_takes_too_much_is_refused(text: str) -> None:
    with pytest.raises(NoResult) as caught:
        expand_text(text, NAMES)
    assert {**REFUSED_NAMES, **REFUSED_COSTS}[text] in str(caught.value)


@pytest.mark.thorough
def test_a_cached_template_has_the_same_budget_as_a_new_one() -> None:
    text = "{% for i in range(60) %}{% for j in range(TURNS) %}{% endfor %}{% endfor %}"
    texts = [text.replace("TURNS", str(turns)) for turns in range(3250, 3350, 10)]
    jinja_sandbox._compiled.cache_clear()
    new = [_fits(text) for text in texts]
    assert len(set(new)) == 2, "the limit is between them"
    assert [_fits(text) for text in texts] == new


def _fits(text: str) -> bool:
    try:
        expand_text(text, {})
    except NoResult:
        return False
    return True


def test_a_compile_without_templates_does_not_load_jinja2() -> None:
    code = "import sys, ordain.agent.compile.compiler; sys.exit('jinja2' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
