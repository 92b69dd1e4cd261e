"""The pipeline of a network that reads digits: from 8 × 8 pixels to a digit, for many images.

torch is imported where it is needed, in the functions that run in the worker: the API imports this
file, too, and stays small without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from app.logic.network import DigitNetwork

SIDE = 8
BRIGHTEST = 16

EXAMPLE = {
    "data": {
        "a123": [
            [0, 0, 9, 16, 13, 1, 0, 0],
            [0, 8, 16, 8, 11, 8, 0, 0],
            [0, 11, 10, 0, 8, 10, 0, 0],
            [0, 1, 5, 0, 11, 11, 0, 0],
            [0, 0, 0, 0, 13, 9, 0, 0],
            [0, 0, 0, 4, 16, 2, 0, 0],
            [0, 0, 4, 14, 15, 7, 4, 1],
            [0, 0, 8, 16, 16, 16, 16, 12],
        ],
        "b456": [
            [0, 0, 0, 12, 14, 1, 0, 0],
            [0, 0, 5, 16, 12, 0, 0, 0],
            [0, 0, 10, 15, 1, 0, 0, 0],
            [0, 0, 14, 15, 9, 2, 0, 0],
            [0, 1, 16, 15, 16, 15, 2, 0],
            [0, 0, 15, 7, 1, 12, 10, 0],
            [0, 0, 10, 14, 4, 15, 12, 0],
            [0, 0, 0, 11, 16, 15, 5, 0],
        ],
    }
}
"""Each worker process predicts it before it is UP; ``denzel check`` and ``predict`` use it, too."""


# -------- Runs in the API --------
def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request unless each image is 8 rows of 8 numbers from 0 to 16."""
    if not isinstance(json_data, dict) or not json_data.get("data"):
        raise ValueError("no data to predict for!")
    images = json_data["data"]
    if not isinstance(images, dict):
        raise ValueError('json_data["data"] must be a mapping between unique id and image')
    for unique_id, image in images.items():
        _verify_image(f'json_data["data"]["{unique_id}"]', image)
    return json_data


def _verify_image(place: str, image: Any) -> None:
    rows = image if isinstance(image, list) else []
    if len(rows) != SIDE or any(not isinstance(row, list) or len(row) != SIDE for row in rows):
        raise ValueError(f"{place} must be {SIDE} rows of {SIDE} pixels")
    for pixel in (pixel for row in rows for pixel in row):
        if type(pixel) not in (int, float) or not 0 <= pixel <= BRIGHTEST:
            raise ValueError(f"{place} must hold numbers from 0 to {BRIGHTEST} alone")


# -------- Run in the worker --------
def load_model() -> DigitNetwork:
    """Return the network with the weights that train.py saved, on the GPU if there is one."""
    import torch

    from app.logic.network import DigitNetwork

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = DigitNetwork()
    weights = torch.load("app/assets/digit_network.pt", map_location=device, weights_only=True)
    network.load_state_dict(weights)
    return network.to(device).eval()


def process(model: DigitNetwork, json_data: dict[str, Any]) -> tuple[list[str], Tensor]:
    """Return the images' ids, and the images as a tensor of the shape the network takes."""
    from app.logic.network import images_tensor

    images = json_data["data"]
    return list(images), images_tensor(list(images.values()))


def predict(model: DigitNetwork, data: tuple[list[str], Tensor]) -> dict[str, Any]:
    """Return each image's digit and the probability of it, by the image's id."""
    return predict_batch(model, [data])[0]


def predict_batch(
    model: DigitNetwork, batch: list[tuple[list[str], Tensor]]
) -> list[dict[str, Any]]:
    """Return what ``predict`` would for each request, with one call of the network for all."""
    import torch

    device = next(model.parameters()).device
    with torch.inference_mode():
        images = torch.cat([images for _, images in batch]).to(device)
        probabilities, digits = model(images).softmax(dim=1).max(dim=1)
    answers = map(_answer, digits.tolist(), probabilities.tolist())
    return [{unique_id: next(answers) for unique_id in ids} for ids, _ in batch]


def _answer(digit: int, probability: float) -> dict[str, Any]:
    return {"digit": digit, "probability": probability}
