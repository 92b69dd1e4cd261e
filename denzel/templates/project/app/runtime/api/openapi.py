"""``GET /openapi.json``: the API's own description, as OpenAPI 3.1 has it (spec.openapis.org).

What all deployments have in common stands in ``openapi.json``, beside this file; here it gets what
is this deployment's own: its name, its pipeline's schemas, whether it asks for API keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi

from app.runtime.pipeline.json_codec import dump, loads
from app.runtime.pipeline.loading import Pipeline
from app.runtime.pipeline.raw_requests import FORM
from app.runtime.pipeline.schemas import DENZELS_OWN
from app.runtime.pipeline.trial import usable_example
from app.runtime.settings import Settings

BASE_DOCUMENT = Path(__file__).with_name("openapi.json")
REQUEST, PREDICTION = "PredictionRequest", "Prediction"
"""The components that the pipeline's REQUEST and RESPONSE become."""
DEFINITIONS = ("$defs", "definitions")
VERBATIM = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords of JSON Schema whose values are data, and no schemas."""
CALLBACK_URI = {
    "type": "string",
    "format": "uri",
    "description": "Where the prediction is sent if the request is answered asynchronously",
}
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
"""What the names of an OpenAPI document's components may not hold."""


class OpenapiResource:
    """``GET /openapi.json``; ``read_info`` returns the bytes of info.txt, or raises OSError."""

    def __init__(self, document: dict[str, Any], read_info: Callable[[], bytes]) -> None:
        self._document = document
        self._read_info = read_info

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer the description; its text is that of ``/info``, read afresh."""
        info = dict(self._document["info"])
        with suppress(OSError):
            info["description"] = self._read_info().decode(errors="replace")
        resp.content_type = falcon.MEDIA_JSON
        servers = {"servers": [{"url": req.root_path}]} if req.root_path else {}
        resp.data = dump({**self._document, "info": info, **servers})

    on_head = on_get


def describe_api(settings: Settings, pipeline: Pipeline | None) -> dict[str, Any]:
    """Return the OpenAPI document of a deployment.

    A ``pipeline`` that cannot be imported, None, says nothing of requests and answers.
    """
    document: dict[str, Any] = json.loads(BASE_DOCUMENT.read_text(encoding="utf-8"))
    document["info"]["title"] = settings.project_name
    schemas = document["components"]["schemas"]
    for name, schema in (
        (REQUEST, pipeline.request if pipeline else None),
        (PREDICTION, pipeline.response if pipeline else None),
    ):
        _add_schema(schemas, name, schema.document if schema else {"type": "object"})
    _allow_callback(schemas[REQUEST])
    if pipeline is not None:
        _describe_bodies(document["paths"], pipeline)
    _describe_keys(document, settings)
    return document


def _describe_bodies(paths: dict[str, Any], pipeline: Pipeline) -> None:
    """Say what the bodies of requests and answers may be besides JSON."""
    predict = paths["/predict"]["post"]
    content = predict["requestBody"]["content"]
    if (example := usable_example(pipeline)) is not None:
        content["application/json"]["example"] = loads(example)
    if pipeline.parse_request is not None:
        content[FORM] = {"schema": {"type": "object"}}
        content["*/*"] = {}  # a file of any kind, as it is
    if pipeline.streams:
        events = {"schema": {"type": "string", "description": "Server-sent events"}}
        predict["responses"]["200"]["content"]["text/event-stream"] = events
    if pipeline.response_type:
        (callback,) = predict["callbacks"]["prediction"].values()
        result = paths["/status/{task_id}/result"]["get"]
        for described in (
            predict["responses"]["200"], result["responses"]["200"], callback["post"]["requestBody"]
        ):  # fmt: skip
            described["content"][pipeline.response_type] = {}


def _describe_keys(document: dict[str, Any], settings: Settings) -> None:
    """Say which operations want an API key: all that do not say otherwise, where there are keys."""
    components = document["components"]
    if not settings.metrics_key:
        del document["paths"]["/metrics"], components["securitySchemes"]["metricsKey"]
    if not settings.api_keys:
        del components["securitySchemes"]["bearer"], components["securitySchemes"]["header"]
        if not settings.metrics_key:
            del components["securitySchemes"], components["responses"]["Unauthorized"]
        return
    document["security"] = [{"bearer": []}, {"header": []}]
    for path in document["paths"].values():
        for operation in path.values():
            if "security" not in operation:
                operation["responses"]["401"] = {"$ref": "#/components/responses/Unauthorized"}


def _add_schema(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    """Put a schema among the document's, and what it defines beside it.

    Its references are rewritten, since they mean the root of the document they stand in.
    """
    renamed = {}
    for keyword in DEFINITIONS:
        for defined, content in schema.get(keyword, {}).items():
            new = NOT_IN_NAMES.sub("_", defined)
            taken = schemas.get(new)
            if taken is not None and taken != content:
                new = f"{name}.{new}"
            renamed[f"#/{keyword}/{_escaped(defined)}"] = f"#/components/schemas/{new}"
    own = f"#/components/schemas/{name}"
    for keyword in DEFINITIONS:
        for defined, content in schema.get(keyword, {}).items():
            target = renamed[f"#/{keyword}/{_escaped(defined)}"].rpartition("/")[2]
            schemas[target] = _rewritten(content, renamed, own)
    rest = {key: value for key, value in schema.items() if key not in DEFINITIONS}
    schemas[name] = _rewritten(rest, renamed, own)


def _rewritten(value: Any, renamed: Mapping[str, str], own: str) -> Any:
    """Return a copy of a schema whose references lead to where things stand now."""
    if isinstance(value, list):
        return [_rewritten(item, renamed, own) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {
        key: item if key in VERBATIM else _rewritten(item, renamed, own)
        for key, item in value.items()
    }
    reference = copy.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        copy["$ref"] = _new_reference(reference, renamed, own)
    return copy


def _new_reference(reference: str, renamed: Mapping[str, str], own: str) -> str:
    for old, new in renamed.items():
        if reference == old or reference.startswith(f"{old}/"):
            return new + reference.removeprefix(old)
    return own + reference.removeprefix("#")


def _escaped(name: str) -> str:
    """Return a name as a JSON Pointer has it (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def _allow_callback(schema: dict[str, Any]) -> None:
    """Name the one field of a request that is denzel's, where the pipeline's schema does not."""
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        schema["properties"] = {
            **properties,
            DENZELS_OWN: properties.get(DENZELS_OWN, CALLBACK_URI),
        }
