"""A pipeline that says what its requests and answers look like, and predicts without a model."""

from typing import Any

NUMBER = {"type": "number", "minimum": 0, "maximum": 100}

REQUEST = {
    "type": "object",
    "properties": {
        "data": {
            "type": "object",
            "description": "The flowers, by an id of your own",
            "minProperties": 1,
            "additionalProperties": {"$ref": "#/$defs/Flower"},
        },
    },
    "required": ["data"],
    "additionalProperties": False,
    "$defs": {
        "Flower": {
            "type": "object",
            "properties": {"petal-length": NUMBER, "petal-width": NUMBER},
            "required": ["petal-length", "petal-width"],
            "additionalProperties": False,
        },
    },
}
RESPONSE = {"type": "object", "additionalProperties": {"enum": ["Iris-setosa", "Iris-virginica"]}}
EXAMPLE = {"data": {"a123": {"petal-length": 1.0, "petal-width": 0.2}}}


def verify_input(json_data: Any) -> Any:
    """Take what is as REQUEST says."""
    return json_data


def load_model() -> float:
    """Return the length that tells one kind from the other."""
    return 2.5


def process(model: float, json_data: Any) -> Any:
    """Return the flowers."""
    return json_data["data"]


def predict(model: float, data: Any) -> dict[str, str]:
    """Return the kind of each flower."""
    return {
        name: "Iris-setosa" if flower["petal-length"] < model else "Iris-virginica"
        for name, flower in data.items()
    }
