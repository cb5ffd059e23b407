"""What an expression gives, and that an error never passes for a truth."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.evaluator import ExpressionError
from engine.language import Expressions
from engine.language.expressions import MAX_LENGTH, check, evaluate, parse, render, template_parts

DOCUMENT = yaml.safe_load(Path(__file__).with_name("conformance.yaml").read_text("utf-8"))
ENV = DOCUMENT["env"]
EXPRESSIONS = Expressions()


def _named(case: dict[str, Any]) -> str:
    return str(case.get("cel", case.get("template")))[:60]


@pytest.mark.parametrize("case", DOCUMENT["cases"], ids=_named)
def test_conformance(case: dict[str, Any]) -> None:
    template = "${" + case["cel"] + "}" if "cel" in case else case["template"]
    if case.get("refused"):
        with pytest.raises(ExpressionError):
            parse(case["cel"]) if "cel" in case else template_parts(case["template"])
        return
    if case.get("fails"):
        with pytest.raises(ExpressionError):
            EXPRESSIONS.value(template, ENV)
        return
    value = EXPRESSIONS.value(template, ENV)
    assert value == case["gives"]
    assert type(value) is type(case["gives"])


def test_the_conformance_file_is_large_enough_to_swap_the_evaluator_by() -> None:
    assert len(DOCUMENT["cases"]) >= 130


@pytest.mark.parametrize(
    "cel",
    [
        "inputs.count",
        "inputs.release",
        "'true'",
        "inputs.none",
        "inputs.nothing",
        "inputs.nothing == 1",
        "1",
        "[true]",
        "inputs.tags",
    ],
)
def test_only_a_real_boolean_is_a_truth(cel: str) -> None:
    with pytest.raises(ExpressionError):
        EXPRESSIONS.truth(cel, ENV)


def test_a_truth_is_a_truth() -> None:
    assert EXPRESSIONS.truth("inputs.flag", ENV) is True
    assert EXPRESSIONS.truth(" inputs.count > 5 ", ENV) is False


def test_length_is_capped() -> None:
    parse("1" + "+1" * 30)
    with pytest.raises(ExpressionError, match="more than 512"):
        parse("1" + " " * MAX_LENGTH)


def test_macros_nest_two_deep_and_may_follow_each_other() -> None:
    parse("inputs.tags.map(a, inputs.tags.map(b, a + b)).filter(c, c.exists(d, d == 'x'))")
    with pytest.raises(ExpressionError, match="nest 3 deep"):
        parse("inputs.a.all(x, x.all(y, y.exists(z, z)))")


def test_a_long_list_stops_at_the_iteration_budget_and_not_never() -> None:
    env = {"inputs": {"many": list(range(20_000))}}
    with pytest.raises(ExpressionError):
        EXPRESSIONS.truth("inputs.many.all(x, x >= 0)", env)


def test_only_what_an_expression_reads_is_handed_over() -> None:
    class Counted(dict[str, Any]):
        read: list[str] = []

        def __getitem__(self, name: str) -> Any:
            self.read.append(name)
            return super().__getitem__(name)

    env = Counted(inputs=Counted(rate=0.5, robots=object()), run={"id": "run-1"})
    assert EXPRESSIONS.value("${inputs.rate * 2.0}", env) == 1.0
    assert "robots" not in env.read and "run" not in env.read


def test_lazy_mappings_and_tuples_are_values_too() -> None:
    class Lazy(Mapping[str, Any]):
        def __getitem__(self, name: str) -> Any:
            if name == "steps":
                return {"a": {"output": ("x", "y")}}
            raise KeyError(name)

        def __iter__(self) -> Iterator[str]:
            return iter(["steps"])

        def __len__(self) -> int:
            return 1

    assert EXPRESSIONS.truth("'y' in steps.a.output && !has(steps.b)", Lazy()) is True
    assert EXPRESSIONS.value("${steps.map(name, name)}", {"steps": Lazy()}) == ["steps"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), 2**70, b"raw", "\ud800"])
def test_what_is_no_json_is_an_error_and_no_crash(value: Any) -> None:
    env = {"inputs": {"x": value}}
    with pytest.raises(ExpressionError):
        EXPRESSIONS.value("${[inputs.x, inputs.x]}", env)


def test_text_with_apostrophes_around_templates() -> None:
    assert EXPRESSIONS.value("Don't stop ${inputs.region}: it's fine", ENV) == "Don't stop eu: it's fine"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", "a"),
        (1, "1"),
        (1.0, "1"),
        (0.25, "0.25"),
        (True, "true"),
        (None, "null"),
        ({"a": [1]}, '{"a":[1]}'),
        (1e300, "1e300"),
    ],
)
def test_how_values_stand_in_text(value: Any, shown: str) -> None:
    assert render(value) == shown


NAMES = {
    "inputs": "any",
    "inputs.rate": "number",
    "inputs.count": "integer",
    "inputs.release": "string",
    "steps": "any",
}


@pytest.mark.parametrize(
    ("cel", "kind"),
    [
        ("inputs.rate", "number"),
        ("inputs.rate > 0", "boolean"),
        ("inputs.rate > 0 && inputs.count > 0.5", "boolean"),
        ("inputs.count + 1", "integer"),
        ("inputs.release + 'x'", "string"),
        ("has(inputs.release)", "boolean"),
        ("has(steps.a) ? steps.a.output : null", "any"),
        ("[inputs.rate]", "array"),
        ("{'a': 1}", "object"),
        ("steps.a.output", "any"),
        ("duration('1h')", "duration"),
        ("inputs.release == null", "boolean"),
    ],
)
def test_static_types(cel: str, kind: str) -> None:
    assert check(cel, NAMES) == kind


@pytest.mark.parametrize(
    "cel", ["2 * inputs.rate", "inputs.release > 1", "inputs.count && true", "nobody == 1", "inputs.release.nope()"]
)
def test_static_errors(cel: str) -> None:
    with pytest.raises(ExpressionError):
        check(cel, NAMES)


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="ab.()[]{}'\"\\+-<>=!&|?:, 01has map\n", max_size=60))
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    for run in (
        lambda: evaluate(parse(text), ENV),
        lambda: EXPRESSIONS.value(text, ENV),
        lambda: EXPRESSIONS.truth(text, ENV),
    ):
        try:
            run()
        except ExpressionError:
            continue


NULLS: list[tuple[str, dict[str, Any]]] = [
    ("${has(s.x) ? s.x : null}", {"s": {}}),
    ("${true ? s : 0}", {"s": None}),
    ("${[s, null, 1]}", {"s": None}),
    ("${has(s.x) ? s.x : {}}", {"s": {"x": {"a": None, "b": [None, {"c": None}], "d": 1}}}),
    ("${s.map(x, x)}", {"s": [None, 1, None]}),
    ("${s == null}", {"s": None}),
    ("${s.exists(x, x == null)}", {"s": [None, {"a": None}]}),
    ("${s.size() + 1}", {"s": [None, None]}),
    ("${s.y + 1}", {"s": {"y": None}}),
    ("${[null, s.a / 0.0]}", {"s": {"a": 1.0}}),
]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None lives for ever from Python 3.12 on")
@pytest.mark.parametrize(("template", "env"), NULLS)
def test_null_costs_no_reference_of_none(template: str, env: dict[str, Any]) -> None:
    """The evaluator takes one for each null it hands out; without the cure the process aborts after a while."""
    evaluator = Expressions()

    def evaluate_once() -> None:
        with contextlib.suppress(ExpressionError):
            evaluator.value(template, env)

    evaluate_once()
    gc.collect()
    before = sys.getrefcount(None)
    for _ in range(500):
        evaluate_once()
    gc.collect()
    assert abs(sys.getrefcount(None) - before) < 250, "one reference of None is lost or kept with every evaluation"
