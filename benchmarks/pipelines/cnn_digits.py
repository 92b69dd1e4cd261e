"""A small convolutional network on digits of 8 × 8 pixels, seen at 64 × 64."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

PIXELS = 64
SIDE = 64


def network() -> nn.Sequential:
    """Return the network, untrained."""
    return nn.Sequential(
        nn.Upsample(size=(SIDE, SIDE)),
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request without an image."""
    if not isinstance(json_data, dict) or len(json_data.get("pixels", ())) != PIXELS:
        raise ValueError(f"pixels must be {PIXELS} numbers")
    return json_data


def load_model() -> Any:
    """Load the weights."""
    model = network()
    model.load_state_dict(torch.load(Path("app") / "assets" / "model", weights_only=True))
    return model.eval()


def process(model: Any, json_data: dict[str, Any]) -> Any:
    """Return the image as a tensor."""
    return torch.tensor(json_data["pixels"]).reshape(1, 8, 8)


def predict(model: Any, data: Any) -> dict[str, int]:
    """Return the digit."""
    return predict_batch(model, [data])[0]


def predict_batch(model: Any, batch: list[Any]) -> list[dict[str, int]]:
    """Return each image's digit."""
    with torch.inference_mode():
        return [{"digit": int(row.argmax())} for row in model(torch.stack(batch))]
