"""The OpenAPI document: complete, and true to the pipeline.  tests/web/ tries it for real."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import falcon.asgi
import jsonschema_rs
import pytest
from falcon.testing import TestClient
from pydantic import BaseModel

from app.runtime.api import app, errors
from app.runtime.api.access import OPEN_PATHS
from app.runtime.api.openapi import OpenapiResource, describe_api
from app.runtime.pipeline.loading import Pipeline
from app.runtime.pipeline.schemas import read_schema
from app.runtime.settings import parse_settings

from ..template import TEMPLATE

KEY_HASH = "0" * 64
METRICS_KEY = "0123456789abcdef"


class Point(BaseModel):
    """A part of both requests and answers."""

    x: float


class Line(BaseModel):
    """A request."""

    ends: list[Point]


TREE = {
    "type": "object",
    "properties": {
        "children": {"type": "array", "items": {"$ref": "#"}},
        "root": {"$ref": "#/$defs/Point/properties/x"},
        "note": {"const": {"$ref": "#/not/a/reference"}},
    },
    "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "string"}}}},
}


def document(
    request: Any = None,
    response: Any = None,
    example: Any = None,
    parse_request: Any = None,
    response_type: str = "",
    streams: bool = False,
    **settings: str,
) -> dict[str, Any]:
    pipeline = Pipeline(
        verify_input=dict,
        load_model=dict,
        process=max,
        predict=max,
        example=example,
        request=read_schema(request),
        response=read_schema(response, of_answers=True),
        parse_request=parse_request,
        response_type=response_type,
        streams=streams,
    )
    return describe_api(parse_settings({"PROJECT_NAME": "iris", **settings}), pipeline)


def references(value: Any) -> list[str]:
    """Return every reference in a document, but those in data."""
    if isinstance(value, list):
        return [each for item in value for each in references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [
        each for key, item in value.items() if key != "const" for each in references(item)
    ]


def resolve(whole: dict[str, Any], reference: str) -> Any:
    found: Any = whole
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


@pytest.mark.parametrize("schemas", [(None, None), (Line, Point), (TREE, Line), (Line, TREE)])
def test_every_reference_leads_somewhere(schemas: tuple[Any, Any]) -> None:
    described = document(*schemas)
    for reference in references(described):
        resolve(described, reference)


def test_definitions_of_one_name_and_two_meanings_are_kept_apart() -> None:
    schemas = document(Line, TREE)["components"]["schemas"]
    x = schemas["PredictionRequest"]["properties"]["ends"]["items"]["$ref"]
    y = schemas["Prediction"]["properties"]["root"]["$ref"]
    assert resolve({"components": {"schemas": schemas}}, x)["properties"]["x"]["type"] == "number"
    assert resolve({"components": {"schemas": schemas}}, y)["type"] == "string"
    assert schemas["Prediction"]["properties"]["children"]["items"]["$ref"].endswith("/Prediction")


def test_what_looks_like_a_reference_in_data_is_left_alone() -> None:
    schemas = document(TREE)["components"]["schemas"]
    assert schemas["PredictionRequest"]["properties"]["note"]["const"] == {
        "$ref": "#/not/a/reference"
    }


def test_a_request_is_described_with_its_callback() -> None:
    for request in (None, Line):
        schemas = document(request)["components"]["schemas"]
        assert schemas["PredictionRequest"]["properties"]["callback_uri"]["format"] == "uri"


def test_the_example_is_the_requests() -> None:
    content = document(example={"a": 1})["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert content["application/json"]["example"] == {"a": 1}


def test_files_are_described_where_there_are_any() -> None:
    def contents(described: dict[str, Any]) -> list[set[str]]:
        operation = described["paths"]["/predict"]["post"]
        result = described["paths"]["/status/{task_id}/result"]["get"]
        return [
            set(operation["requestBody"]["content"]),
            set(operation["responses"]["200"]["content"]),
            set(result["responses"]["200"]["content"]),
        ]

    json = {"application/json"}
    assert contents(document()) == [json, json, json]
    assert contents(document(streams=True))[1] == json | {"text/event-stream"}
    found = contents(document(parse_request=max, response_type="image/png"))
    assert found == [
        json | {"multipart/form-data", "*/*"}, json | {"image/png"}, json | {"image/png"}
    ]  # fmt: skip


def test_integers_are_exact_at_any_size() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 2**70}}}
    resource = OpenapiResource(document(schema, example={"n": 2**69 + 1}), lambda: b"")
    application = falcon.asgi.App()
    application.add_route("/openapi.json", resource)
    text = TestClient(application).simulate_get("/openapi.json").text
    assert str(2**70) in text
    assert str(2**69 + 1) in text


def test_a_pipeline_that_cannot_be_imported_leaves_the_rest() -> None:
    described = describe_api(parse_settings({"PROJECT_NAME": "iris"}), None)
    assert described["info"]["title"] == "iris"
    assert described["components"]["schemas"]["Prediction"] == {"type": "object"}


def test_keys_are_asked_for_where_there_are_some() -> None:
    described = document(API_KEYS=f"shop:{KEY_HASH}")
    assert described["security"] == [{"bearer": []}, {"header": []}]
    for path, operations in described["paths"].items():
        for operation in operations.values():
            is_open = path in OPEN_PATHS
            assert (operation.get("security") == []) == is_open, path
            assert ("401" in operation["responses"]) != is_open, path
    own_key = document(METRICS_KEY=METRICS_KEY)
    assert own_key["paths"]["/metrics"]["get"]["security"] == [{"metricsKey": []}]
    assert list(own_key["components"]["securitySchemes"]) == ["metricsKey"]
    without = document()
    assert "security" not in without
    assert "securitySchemes" not in without["components"]


def test_its_text_is_that_of_info_whatever_version_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Services run in a copy of the project; the text is read from the project itself."""
    project = tmp_path / "project"
    (project / "app/assets").mkdir(parents=True)
    (project / "app/assets/info.txt").write_text("edited", encoding="utf-8")
    monkeypatch.chdir(TEMPLATE)
    monkeypatch.setenv("DENZEL_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("DENZEL_PROJECT", str(project))
    client = TestClient(app.create_app(parse_settings({})))
    assert client.simulate_get("/info", host="localhost").text == "edited"
    described = client.simulate_get("/openapi.json", host="localhost").json
    assert described["info"]["description"] == "edited"


def test_every_endpoint_is_described() -> None:
    source = Path(app.__file__).read_text(encoding="utf-8")
    routes = re.findall(r'add_route\("([^"]+)"', source)
    assert routes
    assert set(routes) == set(document(METRICS_KEY=METRICS_KEY)["paths"])
    assert set(document()["paths"]) == set(routes) - {"/metrics"}


def test_every_error_is_described() -> None:
    responses = document(API_KEYS=f"shop:{KEY_HASH}")["components"]["responses"]
    described = " ".join(response["description"] for response in responses.values())
    titles = [error.title for error in errors.ApiError.__subclasses__()]
    titles += [title for _, title in errors.REQUEST_ERRORS.values()]
    assert "Bad input format" in titles
    for title in titles:
        assert f"`{title}`" in described, title


def test_its_schemas_are_json_schemas() -> None:
    for schema in document(Line, Point)["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid(schema)
