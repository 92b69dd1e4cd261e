"""A small convolutional network of PyTorch, loaded from a state_dict."""

import os
from typing import Any

import torch
from torch import nn

PATH = "app/assets/model.pt"


def network() -> Any:
    """Return the untrained network."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 8 * 8, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip


def make() -> None:
    """Save the network."""
    torch.save(network().state_dict(), PATH)


def verify_input(json_data: Any) -> Any:
    """Accept."""
    return json_data


def load_model() -> Any:
    """Load the model, and predict once if told to."""
    model = network().eval()
    model.load_state_dict(torch.load(PATH))
    if "TEST_WARM_UP" in os.environ:
        with torch.inference_mode():
            model(torch.zeros(8, 3, 32, 32))
    return model


def process(model: Any, json_data: Any) -> Any:
    """Return an image."""
    return torch.full((1, 3, 32, 32), json_data["x"][0])


def predict(model: Any, data: Any) -> Any:
    """Predict, and say by whom."""
    with torch.inference_mode():
        return {"y": model(data)[0].numpy(), "pid": os.getpid()}
