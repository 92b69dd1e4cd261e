"""What the pipeline says of its requests and answers: ``REQUEST`` and ``RESPONSE``.

Each is a JSON Schema (a dict; draft 2020-12 unless its ``$schema`` says otherwise) or a pydantic
model.  pydantic is the project's own requirement, so it is not imported here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from app.runtime.contract import text_of
from app.runtime.pipeline.json_codec import dump, loads

DENZELS_OWN = "callback_uri"
"""The one field of a request that is denzel's.  A schema need not name it."""
MAX_MESSAGE = 300
"""Most characters of what a library says, which may show a value of megabytes."""


class BadSchema(Exception):
    """REQUEST or RESPONSE is neither a JSON Schema nor a pydantic model; the text says why."""


class Mismatch(ValueError):
    """A value is not as its schema says; ``pointer`` is where, as a JSON Pointer (RFC 6901)."""

    def __init__(self, root: str, path: Sequence[str | int], message: str) -> None:
        place = root + "".join(f"[{_quoted(key)}]" for key in path)
        super().__init__(f"{place}: {_shortened(message)}")
        self.pointer = "".join(f"/{_escaped(key)}" for key in path)


class Schema(ABC):
    """What a request or an answer looks like; ``document`` is the JSON Schema of it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    @abstractmethod
    def accept(self, value: Any, root: str) -> Any:
        """Return what the pipeline gets for ``value``; raises Mismatch, naming it ``root``."""

    def accept_request(self, json_data: dict[str, Any]) -> Any:
        """Return what verify_input gets for a request; raises Mismatch.

        A schema that forbids what it does not name still lets a request have a callback.
        """
        shown = json_data
        if DENZELS_OWN in json_data and DENZELS_OWN not in self.document.get("properties", ()):
            shown = {name: value for name, value in json_data.items() if name != DENZELS_OWN}
        accepted = self.accept(shown, "json_data")
        return json_data if accepted is shown else accepted


class JsonSchema(Schema):
    """A JSON Schema as a dict.  Its values reach the pipeline as they came."""

    def __init__(self, document: dict[str, Any]) -> None:
        # Imported by those that have a schema alone: it takes 8 MB of memory.
        import jsonschema_rs

        self._error = jsonschema_rs.ValidationError
        try:
            document = loads(dump(document))
        except (TypeError, ValueError) as error:
            raise BadSchema(text_of(error).replace("result", "it", 1)) from error
        super().__init__(document)
        try:
            # A schema that is elsewhere would be fetched when the API starts, or not at all.
            validator = jsonschema_rs.validator_for(document, offline=True, validate_formats=True)
        except jsonschema_rs.ValidationError as error:
            place = "".join(f"[{_quoted(key)}]" for key in error.instance_path)
            raise BadSchema(f"{place}: {_shortened(error.message)}".lstrip(": ")) from error
        except (ValueError, jsonschema_rs.ReferencingError) as error:  # keys that are no texts, …
            raise BadSchema(_shortened(text_of(error))) from error
        self._validate = validator.validate

    def accept(self, value: Any, root: str) -> Any:
        """Return ``value`` itself; raises Mismatch."""
        try:
            self._validate(value)
        except self._error as error:
            raise Mismatch(root, error.instance_path, _explained(error)) from error
        return value


class PydanticModel(Schema):
    """A pydantic model.  The pipeline gets an instance of it, defaults and conversions included."""

    def __init__(self, model: Any, mode: str) -> None:
        try:
            document = model.model_json_schema(mode=mode)
        except Exception as error:
            raise BadSchema(f"it has no JSON Schema: {text_of(error)}") from error
        super().__init__(document)
        self._model = model

    def accept(self, value: Any, root: str) -> Any:
        """Return an instance of the model; raises Mismatch, or what the model's own code raises."""
        try:
            return self._model.model_validate(value)
        except ValueError as error:
            if not hasattr(error, "errors"):
                raise
            found = error.errors(include_url=False, include_context=False, include_input=False)
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise Mismatch(root, found[0]["loc"], found[0]["msg"] + more) from error


def read_schema(declared: Any, *, of_answers: bool = False) -> Schema | None:
    """Return what a pipeline declared as REQUEST or RESPONSE; None for nothing.

    Raises BadSchema for what is neither a JSON Schema nor a pydantic model.
    """
    if declared is None:
        return None
    if isinstance(declared, dict):
        return JsonSchema(declared)
    if isinstance(declared, type) and hasattr(declared, "model_json_schema"):
        return PydanticModel(declared, "serialization" if of_answers else "validation")
    shown = declared.__name__ if isinstance(declared, type) else type(declared).__name__
    raise BadSchema(f"it must be a JSON Schema as a dict, or a pydantic model, not {shown}")


def _explained(error: Any) -> str:
    """Return what a validator says, in words that do not speak of schemas."""
    return "this is not allowed here" if error.kind.name == "falseSchema" else str(error.message)


def _shortened(message: str) -> str:
    if len(message) <= MAX_MESSAGE:
        return message
    half = MAX_MESSAGE // 2
    return f"{message[:half]} … {message[-half:]}"


def _quoted(key: str | int) -> str:
    return f'"{_shortened(key)}"' if isinstance(key, str) else str(key)


def _escaped(key: str | int) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
