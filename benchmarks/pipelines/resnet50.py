"""ResNet-50 on images of 224 × 224 pixels, bytes or base64 in JSON; on the GPU if there is one.

The weights are random, always the same: what is measured does not depend on them.
"""

import base64
from typing import Any

import torch
from torchvision.models import resnet50

SIDE = 224
BYTES = SIDE * SIDE * 3
"""Red, green and blue of each pixel, row by row."""
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MEAN, DEVIATION = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)


def parse_request(content_type: str, body: bytes) -> dict[str, Any]:
    """Take the body for the image."""
    return {"image": body}


def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request without an image."""
    if not isinstance(json_data, dict) or not isinstance(json_data.get("image"), (str, bytes)):
        raise ValueError("image must be bytes, or their base64")
    return json_data


def load_model() -> Any:
    """Make the network, in half precision."""
    torch.set_num_threads(1)  # the processor only prepares; idle threads would spin
    torch.manual_seed(1)
    network = resnet50(weights=None).eval()
    return network.to(DEVICE, torch.bfloat16, memory_format=torch.channels_last)


def process(model: Any, json_data: dict[str, Any]) -> Any:
    """Return the pixels, in main memory."""
    image = json_data["image"]
    pixels = bytearray(base64.b64decode(image) if isinstance(image, str) else image)
    if len(pixels) != BYTES:
        raise ValueError(f"an image has {BYTES} bytes")
    return torch.frombuffer(pixels, dtype=torch.uint8).reshape(SIDE, SIDE, 3)


def predict(model: Any, data: Any) -> dict[str, int]:
    """Return the class."""
    return predict_batch(model, [data])[0]


def predict_batch(model: Any, batch: list[Any]) -> list[dict[str, int]]:
    """Return each image's class."""
    with torch.inference_mode():
        images = torch.stack(batch).to(DEVICE).permute(0, 3, 1, 2).to(torch.bfloat16)
        mean, deviation = (
            torch.tensor(each, device=DEVICE, dtype=torch.bfloat16).reshape(1, 3, 1, 1)
            for each in (MEAN, DEVIATION)
        )
        classes = model((images - mean) / deviation).argmax(dim=1)
        return [{"class": each} for each in classes.tolist()]
