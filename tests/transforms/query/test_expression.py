"""The language of queries: what a text means, what it holds for, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordain.transforms.document.reader import read
from ordain.transforms.query.evaluate import Subject, holds, matching_parts
from ordain.transforms.query.expression import QueryError, field_tests, parse_expression

DOCUMENT = b"""
ordain: v1
kind: Layer
name: web
services:
  nginx:
    command: [nginx, -g, daemon off;]
    limits: {memory: 1G, tasks: 100}
    environment: {LANG: de, EMPTY: ""}
    user: web
    on-source-loss: {stop-after: 90s}
  cache: {command: memcached -m 64, state: stopped}
users:
  bob: {groups: {adm: true, sudo: null}}
sysctl: {vm.swappiness: 10}
files:
  /etc/motd: {content: "hello world"}
"""
SUBJECT = Subject(
    tree=read("web.yaml", DOCUMENT)[0][0].sections,
    attributes={"role": ("web", "db"), "state": ("degraded",), "silent": (), "behind": ("true",), "version": ("13",)},
)


@pytest.mark.parametrize(
    "text",
    [
        "services/nginx",
        "services/nginx/limits/memory",
        "services/nginx/limits/memory=1G",
        "services/nginx/limits/memory = 1024M",
        "services/nginx/limits/memory > 512M",
        "services/nginx/limits/memory>=1073741824",
        "services/nginx/limits/tasks < 1K",
        "services/nginx/on-source-loss/stop-after >= 1min",
        "services/nginx/command ~ daemon",
        'services/nginx/command = "daemon off;"',
        "services/*/state=stopped",
        "services/*/limits/memory != 2G",
        "users/bob/groups/adm",
        "users/bob/groups/adm = yes",
        "services/nginx/user=w*",
        "services/nginx/environment/LANG=de",
        "sysctl/vm.swappiness <= 10",
        "files/~1etc~1motd/content ~ 'hello w'",
        "role=web",
        "role=db",
        "role!=web",
        "behind and not silent",
        "role=mail or state=degraded",
        "(role=mail or role=web) (state=degraded)",
        "not (role=mail)",
        "not not role",
        "version >= 12",
    ],
)
def test_it_holds(text: str) -> None:
    assert holds(parse_expression(text), SUBJECT)


@pytest.mark.parametrize(
    "text",
    [
        "services/apache",
        "services/nginx/limits/memory<1G",
        "services/nginx/limits/memory != 1024M",
        "services/nginx/user > 5",
        "services/cache/limits/memory < 1G",
        "services/nginx/on-source-loss/stop-after > 1G",
        "users/bob/groups/sudo",
        "role=mail",
        "role ~ x",
        "silent",
        "unknown",
        "role=web and role=mail",
        "not behind or silent",
    ],
)
def test_it_does_not_hold(text: str) -> None:
    assert not holds(parse_expression(text), SUBJECT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a condition is missing at the end"),
        ("role=", "the value after = is missing at the end"),
        ("= web", "expected a field, found '='"),
        ("role=web)", r"unexpected '\)' \(character 9\)"),
        ("(role=web", r"`\)` is missing at the end"),
        ("(role=web or", "a condition is missing at the end"),
        ("role=(web", r"expected a value after =, found '\(' \(character 6\)"),
        ("role and", "a condition is missing at the end"),
        ("and role", "expected a field, found 'and'"),
        ("role ! web", r"cannot read '! web' \(character 5\)"),
        ('role="web', "cannot read"),
        ("(" * 100 + "a" + ")" * 100, "more than 50 brackets"),
        ("not " * 100 + "a", "more than 50 brackets or words `not`"),
        ("a " * 6000, "longer than 10,000 characters"),
    ],
)
def test_an_error_says_what_and_where(text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_expression(text)


def test_the_values_that_satisfy_a_test_are_shown_with_their_place() -> None:
    (test,) = field_tests(parse_expression("services/*/limits/* > 50"))

    values = {pointer: str(part.where) for pointer, part in matching_parts(test, SUBJECT.tree)}

    assert values == {"services/nginx/limits/memory": "web.yaml:8:22", "services/nginx/limits/tasks": "web.yaml:8:33"}


WORDS = st.sampled_from(["a", "a/b", "and", "or", "not", "(", ")", "=", "<", "~", "!=", "'x y'", '"z"', "!", "'"])


@given(st.lists(WORDS, max_size=30).map(" ".join))
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    try:
        expression = parse_expression(text)
    except QueryError:
        return
    assert list(field_tests(expression))
    assert holds(expression, SUBJECT) in (True, False)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_value_can_be_compared(value: str, wanted: str) -> None:
    if '"' in wanted or not wanted:
        return
    subject = Subject(attributes={"a": (value,)})
    for sign in ("=", "!=", "<", "<=", ">", ">=", "~"):
        holds(parse_expression(f'a {sign} "{wanted}"'), subject)
    assert holds(parse_expression(f'a ~ "{wanted}"'), Subject(attributes={"a": (wanted,)}))
