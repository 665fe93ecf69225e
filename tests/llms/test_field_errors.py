"""Faults of validated values in plain words: field, what was expected, what came."""

from datetime import date
from typing import Annotated, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from llms.field_errors import describe_errors


class _Shop(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="x", min_length=1)
    answers: dict[str, str] = {}
    price: float = Field(default=1, ge=0, allow_inf_nan=False)
    kind: Literal["big", "small"] = "big"
    opened: date | None = None
    seen: AwareDatetime | None = None
    input: str | list[str] = ""
    rows: list[Annotated[int, Field(gt=0)]] = []

    @field_validator("name")
    @classmethod
    def _no_stars(cls, name):
        if "*" in name:
            msg = "stars are not for names"
            raise ValueError(msg)
        return name


def _words(values, **options):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(_Shop).validate_python(values)
    return describe_errors(caught.value, **options)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"answers": {1: "x"}}, "answers: the name 1 must be a text, got a number"),
        ({"answers": {"open": True}}, "answers.open: must be a text, got true or false"),
        ({"answers": {"a": None}}, "answers.a: must be a text, got nothing (null)"),
        ({"answers": []}, "answers: must map names to values, got a list"),
        ({"name": ""}, "name: is empty; fill it in"),
        ({"name": "*"}, "name: stars are not for names"),
        ({"nme": "x"}, "nme: is not known here; check the spelling, or remove it"),
        ({"price": "19,99"}, "price: must be a number with a point, such as 19.90, and without currency, got a text"),
        ({"price": -1}, "price: must be at least 0.0"),
        ({"kind": "medium"}, "kind: must be 'big' or 'small'"),
        ({"opened": "05.01.2026"}, "opened: must be a date such as 2026-03-02, got a text"),
        ({"seen": "2026-03-02T09:30:00"}, "seen: must be a time with a zone, such as 2026-03-02T09:30:00+01:00"),
        ({"input": 5}, "input: must be a text, got a number"),
        ({"rows": [1, 0]}, "rows.1: must be greater than 0"),
        ([], "must map names to values, got a list"),
    ],
)
def test_a_fault_names_field_expectation_and_kind(values, words):
    assert _words(values) == words


def test_values_are_shown_where_they_may_be_and_faults_are_counted():
    assert _words({"price": "19,99"}, show_values=True).endswith("and without currency, got '19,99'")
    assert (
        _words({"rows": [0, 0, 0]}, most=2)
        == "rows.0: must be greater than 0; rows.1: must be greater than 0; and 1 more"
    )


@pytest.mark.parametrize(
    "values", [{"name": 3}, {"input": 5}, {"opened": {}}, {"seen": []}, {"rows": "x"}, {"rows": [1.5]}, None, 7]
)
def test_no_word_of_the_library_reaches_the_reader(values):
    words = _words(values, most=5)
    assert not any(inner in words for inner in ("Input should", "Value error", "[key]", "list[str]", "input.str"))
