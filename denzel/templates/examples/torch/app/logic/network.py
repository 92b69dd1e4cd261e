"""The network, for train.py and the worker.

pipeline.py imports it inside the functions that run in the worker, because the API imports
pipeline.py, too, and would need a second and 200 MB more for torch.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

DIGITS = 10
BRIGHTEST = 16


class DigitNetwork(nn.Module):
    """A convolutional network: from images of 8 × 8 pixels to a score for each digit."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.2),
            nn.Flatten(),
            nn.Linear(16 * 4 * 4, DIGITS),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, 10) scores for (N, 1, 8, 8) images."""
        return self.layers(images)


def images_tensor(images: Sequence[Any]) -> Tensor:
    """Return (N, 1, 8, 8), from 0 to 1, for N images of 8 × 8 pixels from 0 to 16."""
    return torch.as_tensor(images, dtype=torch.float32).unsqueeze(1) / BRIGHTEST
