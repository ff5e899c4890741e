"""A restricted jinja2 for ``{template: TEXT}``: a template reaches only its variables, and its cost is bounded.

jinja2's own sandbox only guards attributes: ``{{ 'a' * 10**9 }}``, ``'a'|center(10**9)``, nested loops and recursive
macros can use all memory of a machine, or hours of its time. A limit by a clock or a signal would not do, because then
a template could fail only on a busy machine, and the same input would not give the same output. Instead:

* Only the names in the lists below exist. The lists of statements, filters, tests, functions and methods are closed. A
  name after a dot is the key of a map or a method of the list, never an attribute of an object.
* Before it works, every filter, test, operator, call, pass of a loop and printed value takes steps from one `budget`,
  by the size of its operands. No text or list grows beyond `budget.MAX_LENGTH`, and no number beyond 64 bits.
* Only texts, numbers and booleans are printed, because the way in which Python prints a list or a function may change
  or hold an address. Random functions (``random``, ``lipsum``) do not exist.
"""

from __future__ import annotations

import contextlib
import functools
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment
from jinja2.tests import TESTS

from ordain.transforms.errors import did_you_mean
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.template.budget import (
    MAX_LENGTH,
    BudgetExceeded,
    charge,
    charge_size,
    charged,
    charged_each,
    full_budget,
    metered,
    within_limits,
)

MAX_TOKENS = 10_000
"""The most tokens of a template; jinja2 spends most of its time on reading them."""
MAX_KEYS = 1000
"""The most names among which a similar one is looked for."""
_WIDTH = 256
_CHARGE_EACH, _CHARGE = "charge each pass", "charge the operand"
"""Filters that only `_Charges` can name: a template cannot write a name with a blank."""

_NODES = frozenset(
    """
    Add And Assign Call Compare Concat CondExpr Const Dict Div Filter FloorDiv For Getattr Getitem If Keyword List Mod
    Mul Name Neg Not Operand Or Output Pair Pos Pow Slice Sub Template TemplateData Test Tuple With
    """.split()
)
_FILTERS = """
    abs capitalize count d default dictsort first float int items last length list lower map max min reject rejectattr
    reverse select selectattr sort title trim unique upper
    """.split()
_TESTS = """
    != < <= == > >= boolean defined divisibleby eq even false float ge gt in integer le lower lt mapping ne none number
    odd sequence string true undefined upper
    """.split()
_LOOP = frozenset(("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem"))


class NoResult(Exception):
    """A template cannot be expanded; the argument says why."""


def expand_text(text: str, names: Mapping[str, object], longest: int = MAX_LENGTH) -> str:
    """Return the text of a template with the variables ``names``: texts, numbers, booleans, maps, lists, functions.

    It has at most ``longest`` characters. Raises `NoResult`.
    """
    try:
        with full_budget():
            return "".join(_chunks(text, names, longest))
    except jinja2.TemplateSyntaxError as error:
        raise NoResult(f"line {error.lineno} of the template: {error.message}") from None
    except (RecursionError, MemoryError, SyntaxError):
        raise NoResult("the template is nested too deep") from None
    except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise NoResult(str(error.args[0]) if error.args else type(error).__name__) from None


def _chunks(text: str, names: Mapping[str, object], longest: int) -> Iterator[str]:
    """Yield the pieces of the result. Raises `BudgetExceeded` if they are too many or too long."""
    if len(text) > MAX_LENGTH:
        raise BudgetExceeded(f"it has {len(text):,} characters; at most {MAX_LENGTH:,} are allowed")
    length = 0
    for chunk in _compiled(text).generate(names):
        charge(1 + len(chunk) // 256)
        length += len(chunk)
        if length > longest:
            raise BudgetExceeded(f"its result has more than {longest:,} characters")
        if not chunk.isascii() and any("\ud800" <= char <= "\udfff" for char in chunk):
            raise BudgetExceeded("its result holds half of a surrogate pair, which is not a character")
        yield chunk


@functools.lru_cache(maxsize=256)
def _compiled(text: str) -> jinja2.Template:
    return _environment().from_string(text)


@functools.cache
def _environment() -> _SandboxedJinja:
    return _SandboxedJinja(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, optimized=False, finalize=_printed
    )


@jinja2.pass_context  # a finalizer that needs the context is not run at compile time
def _printed(_: Context, value: object) -> str:
    return _text(value)


def _text(value: object) -> str:
    """Return the text of a value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | jinja2.Undefined):
        return str(value)  # raises UndefinedError for an undefined name
    raise TypeError(_HINTS.get(type(value), "a function is not a text; for a key of that name, write MAP['NAME']"))


_HINTS: Mapping[type, str] = {
    **dict.fromkeys((dict, tuple, list, range), "a map or a list is not a text; use the filter join"),
    type(None): "null is not a text; use the filter default",
}


def _join(values: Iterable[Any], between: str = "", attribute: str | int | None = None) -> str:
    pieces: list[str] = []
    length = 0
    for value in charged_each(values):
        pieces.append(_text(value if attribute is None else _environment().getitem(value, attribute)))
        length += len(pieces[-1]) + len(between)
        if length > 2 * MAX_LENGTH:
            raise BudgetExceeded(f"a value is longer than {MAX_LENGTH:,}")
    return between.join(pieces)


def _replace(text: str, old: str, new: str) -> str:
    text = _text(text)
    if len(text) + (len(text) + 1) * len(new) > MAX_LENGTH and len(text) + text.count(old) * len(new) > MAX_LENGTH:
        raise BudgetExceeded(f"a value is longer than {MAX_LENGTH:,}")
    return text.replace(old, new)


_CONVERSION = lazy_pattern(r"%(?:%|[-+ #0]{0,5}([0-9]{0,3})(?:\.([0-9]{0,3}))?[sdioxXeEfFgG])")


def _format(text: str, *values: Any) -> str:
    """Format as printf does, with widths up to `_WIDTH`."""
    if "%" in _CONVERSION.sub("", text) or any(
        int(n or 0) > _WIDTH for pair in _CONVERSION.findall(text) for n in pair
    ):
        raise BudgetExceeded(f"a format may only hold %s, %d, %x, %f and similar, with widths up to {_WIDTH}")
    return text % tuple(value if isinstance(value, int | float) else _text(value) for value in values)


def _indent(text: str, width: int = 4, first: bool = False) -> str:
    if not 0 <= width <= _WIDTH:
        raise BudgetExceeded(f"an indent must be 0 to {_WIDTH}")
    lines = text.split("\n")
    if len(text) + len(lines) * width > MAX_LENGTH:
        raise BudgetExceeded(f"a value is longer than {MAX_LENGTH:,}")
    blank = " " * width
    return "\n".join(blank + line if line and (at or first) else line for at, line in enumerate(lines))


def _round(value: float, precision: int = 0) -> float:
    return round(value, max(-15, min(precision, 15)))


def _sum(values: Iterable[Any]) -> Any:
    return functools.reduce(_arithmetic("+"), values, 0)


def _to_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _range(*bounds: int) -> range:
    if len(numbers := range(*bounds)) > MAX_LENGTH:
        raise BudgetExceeded(f"a range is longer than {MAX_LENGTH:,}")
    return numbers


_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}


def _arithmetic(sign: str) -> Callable[[Any, Any], Any]:
    def work(left: Any, right: Any) -> Any:
        if sign == "%" and isinstance(left, str):
            return _format(left, *(right if isinstance(right, tuple) else (right,)))
        within_limits(left), within_limits(right)
        if sign == "*" and not (isinstance(left, int | float) and isinstance(right, int | float)):
            text, times = (left, right) if isinstance(left, str) else (right, left)
            if not (isinstance(text, str) and isinstance(times, int)):
                raise TypeError("* needs two numbers, or a text and a number")
            if len(text) * times > MAX_LENGTH:
                raise BudgetExceeded(f"a value is longer than {MAX_LENGTH:,}")
        if sign == "**" and abs(right) > 64:
            raise BudgetExceeded("a number needs more than 64 bits")
        return _OPERATORS[sign](left, right)

    return metered(work)


_METHODS: Mapping[type, Mapping[str, Callable[..., Any]]] = {
    str: {
        **{
            name: metered(getattr(str, name))
            for name in """
            capitalize casefold count endswith find isalnum isalpha isascii isdecimal isdigit islower isspace isupper
            lower lstrip partition removeprefix removesuffix rfind rpartition rsplit rstrip split splitlines startswith
            strip swapcase title upper
            """.split()
        },
        "join": metered(lambda between, values: _join(values, between)),
        "replace": metered(_replace),
    },
    dict: {
        "get": metered(dict.get),
        "items": metered(dict.items),
        "keys": metered(dict.keys),
        "values": metered(dict.values),
    },
}


class _SandboxedJinja(SandboxedEnvironment):
    intercepted_binops = frozenset(_OPERATORS)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        own: dict[str, Callable[..., Any]] = {
            "format": _format,
            "indent": _indent,
            "join": _join,
            "replace": _replace,
            "round": _round,
        }
        own |= {"string": _text, "sum": _sum, "tojson": _to_json}
        known: Mapping[str, Any] = {name: FILTERS[name] for name in _FILTERS} | own
        self.filters = {name: metered(function) for name, function in known.items()}
        self.filters |= {_CHARGE_EACH: charged_each, _CHARGE: charged}
        tests: Mapping[str, Any] = TESTS
        self.tests = {name: metered(tests[name]) for name in _TESTS}
        self.globals = {"range": _range}
        self.binop_table = {sign: _arithmetic(sign) for sign in _OPERATORS}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Return the syntax tree without nodes that are not listed, and with charges where jinja2 would not call us."""
        for count, (line, _, _) in enumerate(self.lexer.tokeniter(source, name, filename)):
            if count > MAX_TOKENS:
                raise jinja2.TemplateSyntaxError(f"it has more than {MAX_TOKENS:,} tokens", line)
        tree = super()._parse(source, name, filename)
        for node in tree.find_all(nodes.Node):
            kind = type(node).__name__
            if kind not in _NODES or (isinstance(node, nodes.For) and node.recursive):
                word = "recursive loop" if isinstance(node, nodes.For) else f"{kind} statement"
                raise jinja2.TemplateSyntaxError(f"a {word} is not allowed", node.lineno)
            if isinstance(node, nodes.Const) and isinstance(node.value, str) and "\0" in node.value:
                raise jinja2.TemplateSyntaxError("a text cannot hold a NUL byte", node.lineno)
        charging_tree: nodes.Template = _Charges().visit(tree)
        return charging_tree

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return ``obj.attribute``: a method of the list, else a key of a map, as everywhere in jinja2."""
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        for kind, methods in _METHODS.items():
            if isinstance(obj, kind) and attribute in methods:
                return functools.partial(methods[attribute], obj)
        return self.getitem(obj, attribute) if isinstance(obj, dict) else self._missing(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return ``obj[argument]``: a key of a map, or a place in a list or text."""
        charge_size(argument)
        if isinstance(obj, dict | tuple | list | str):
            with contextlib.suppress(LookupError, TypeError):
                return within_limits(obj[argument])
        return self._missing(obj, argument)

    def _missing(self, obj: Any, name: Any) -> jinja2.Undefined:
        if isinstance(obj, jinja2.Undefined):
            str(obj)  # raises UndefinedError, which names the first missing step
        if isinstance(obj, dict):
            known = did_you_mean(str(name), map(str, obj)) if len(obj) <= MAX_KEYS else ""
            return self.undefined(f"the map has no {name!r}{'; ' if known else ''}{known}")
        return self.undefined(obj=obj, name=name)

    def is_safe_callable(self, obj: Any) -> bool:
        """Return true: a template only reaches functions that it may call."""
        return True


class _Charges(jinja2.visitor.NodeTransformer):
    """A transformer that charges the operands of loops and comparisons through filters, and makes ``~`` a join."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        """Charge each pass."""
        self.generic_visit(node)
        node.iter = _through(_CHARGE_EACH, node.iter)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        """Charge both sides."""
        self.generic_visit(node)
        node.expr = _through(_CHARGE, node.expr)
        for operand in node.ops:
            operand.expr = _through(_CHARGE, operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:
        """Charge the text or list that a slice is taken of: jinja2 does that without asking `getitem`."""
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _through(_CHARGE, node.node)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        """Join the parts as the filter does."""
        self.generic_visit(node)
        return _through("join", nodes.Tuple(node.nodes, "load", lineno=node.lineno))


def _through(name: str, value: Any) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=value.lineno)
