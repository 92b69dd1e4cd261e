"""A transformer as large as DistilBERT on 128 tokens; on the GPU if there is one.

The weights are random, always the same: what is measured does not depend on them.
"""

from typing import Any

import torch
from torch import nn

TOKENS = 128
VOCABULARY = 30522
WIDTH, HEADS, INNER, LAYERS = 768, 12, 3072, 6
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Classifier(nn.Module):
    """Tells two kinds of texts apart."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Parameter(torch.randn(TOKENS, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return each text's two scores."""
        return self.head(self.encoder(self.words(tokens) + self.places).mean(dim=1))


def verify_input(json_data: Any) -> dict[str, Any]:
    """Refuse a request without so many tokens."""
    if not isinstance(json_data, dict) or len(json_data.get("tokens", ())) != TOKENS:
        raise ValueError(f"tokens must be {TOKENS} numbers")
    return json_data


def load_model() -> Any:
    """Make the network, in half precision."""
    torch.set_num_threads(1)  # the processor only prepares; idle threads would spin
    torch.manual_seed(1)
    return Classifier().eval().to(DEVICE, torch.bfloat16)


def process(model: Any, json_data: dict[str, Any]) -> Any:
    """Return the tokens, in main memory."""
    return torch.tensor(json_data["tokens"])


def predict(model: Any, data: Any) -> dict[str, int]:
    """Return the kind."""
    return predict_batch(model, [data])[0]


def predict_batch(model: Any, batch: list[Any]) -> list[dict[str, int]]:
    """Return each text's kind."""
    with torch.inference_mode():
        kinds = model(torch.stack(batch).to(DEVICE)).argmax(dim=1)
        return [{"kind": each} for each in kinds.tolist()]
