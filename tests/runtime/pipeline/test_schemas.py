"""REQUEST and RESPONSE: JSON Schemas and pydantic models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from app.runtime.pipeline.schemas import BadSchema, Mismatch, Schema, read_schema
from documents import blocks

FLOWERS = {
    "type": "object",
    "properties": {"data": {"type": "object", "additionalProperties": {"type": "number"}}},
    "required": ["data"],
    "additionalProperties": False,
}


class Flowers(BaseModel, extra="forbid"):
    """The same for pydantic, with a field that has a default."""

    data: dict[str, float]
    count: int = Field(default=3, ge=0)


class Picky(BaseModel):
    """A model whose own code is at fault."""

    data: Any

    def __init__(self, **data: Any) -> None:
        raise KeyError("missing")

    @classmethod
    def model_validate(cls, *arguments: Any, **options: Any) -> Any:
        """Raise."""
        raise ValueError("a fault of its own")


def schema(declared: Any) -> Schema:
    read = read_schema(declared)
    assert read is not None
    return read


def test_nothing_declared_is_no_schema() -> None:
    assert read_schema(None) is None


def test_a_json_schema_lets_values_through_as_they_came() -> None:
    request = {"data": {"a": 1}}
    assert schema(FLOWERS).accept_request(request) is request


def test_a_model_gives_an_instance_with_defaults_and_conversions() -> None:
    accepted = schema(Flowers).accept_request({"data": {"a": "1.5"}})
    assert accepted == Flowers(data={"a": 1.5}, count=3)


@pytest.mark.parametrize("declared", [FLOWERS, Flowers])
@pytest.mark.parametrize(
    ("request_", "place", "pointer"),
    [
        ({"data": {"a": "x"}}, 'json_data["data"]["a"]: ', "/data/a"),
        ({"data": {"a/b~c": "x"}}, 'json_data["data"]["a/b~c"]: ', "/data/a~1b~0c"),
        ({"data": 7}, 'json_data["data"]: ', "/data"),
    ],
)
def test_what_does_not_match_is_told_with_its_place(
    declared: Any, request_: dict[str, Any], place: str, pointer: str
) -> None:
    with pytest.raises(Mismatch) as raised:
        schema(declared).accept_request(request_)
    assert str(raised.value).startswith(place)
    assert raised.value.pointer == pointer


def test_the_first_of_several_mismatches_of_a_model_is_told_with_their_number() -> None:
    with pytest.raises(Mismatch, match=r"\(and 1 more\)$"):
        schema(Flowers).accept_request({"data": {"a": "x"}, "count": -1})


@pytest.mark.parametrize("declared", [FLOWERS, Flowers])
def test_a_request_may_have_a_callback_that_its_schema_does_not_name(declared: Any) -> None:
    accepted = schema(declared).accept_request({"data": {}, "callback_uri": "http://a.example/"})
    assert accepted in ({"data": {}, "callback_uri": "http://a.example/"}, Flowers(data={}))
    with pytest.raises(Mismatch):
        schema(declared).accept_request({"data": {}, "call": "http://a.example/"})


def test_a_callback_that_the_schema_names_must_be_as_it_says() -> None:
    named = {"properties": {"callback_uri": {"pattern": "^https:"}}}
    with pytest.raises(Mismatch, match="callback_uri"):
        schema(named).accept_request({"callback_uri": "http://a.example/"})


def test_formats_are_checked() -> None:
    with pytest.raises(Mismatch, match="date"):
        schema({"properties": {"day": {"format": "date"}}}).accept_request({"day": "tomorrow"})


def test_integers_of_any_size_are_exact() -> None:
    limit = schema({"properties": {"id": {"maximum": 2**70}}})
    limit.accept_request({"id": 2**70})
    with pytest.raises(Mismatch):
        limit.accept_request({"id": 2**70 + 1})


def test_a_large_value_is_not_told_whole() -> None:
    with pytest.raises(Mismatch) as raised:
        schema(FLOWERS).accept_request({"data": {"a": "x" * 1_000_000}})
    assert len(str(raised.value)) < 500


def test_an_error_of_a_models_own_code_is_no_mismatch() -> None:
    with pytest.raises(ValueError, match="a fault of its own") as raised:
        schema(Picky).accept_request({"data": 1})
    assert not isinstance(raised.value, Mismatch)


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"type": "objekt"}, r'^\["type"\]: "objekt" is not valid'),
        ({"properties": {"a": {"pattern": "(("}}}, r'^\["properties"\]\["a"\]\["pattern"\]'),
        ({"$ref": "https://schemas.example/flower.json"}, "Retrieval is disabled"),
        ({"const": {1, 2}}, r'^it\["const"\] is a set'),
        (dict, "must be a JSON Schema as a dict, or a pydantic model, not dict"),
        ("object", "not str"),
    ],
)
def test_what_is_no_schema_is_told(declared: Any, reason: str) -> None:
    with pytest.raises(BadSchema, match=reason):
        read_schema(declared)


def test_the_schemas_of_the_documentation_refuse_as_it_shows() -> None:
    page = list(blocks(Path(__file__).parents[3] / "docs" / "pipeline.rst"))
    json_schema, model = [block.text for block in page if "REQUEST" in block.text]
    (shown,) = [json.loads(block.text) for block in page if '"path": ' in block.text]
    names: dict[str, Any] = {}
    exec(json_schema, names)
    with pytest.raises(Mismatch) as raised:
        schema(names["REQUEST"]).accept_request({"data": {"a123": "x"}})
    assert (str(raised.value), raised.value.pointer) == (shown["description"], shown["path"])
    # Its annotations are evaluated, as a pipeline's are, though those of this file are not.
    exec(compile(model, "pipeline.py", "exec", dont_inherit=True), names)
    accepted = schema(names["REQUEST"]).accept_request({"data": {"a123": {"sepal_length": "4.6"}}})
    assert accepted.data["a123"].sepal_width == 3.0
