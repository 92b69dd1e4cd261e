"""Train the network on scikit-learn's digits and save its weights where ``load_model`` looks.

Run it in a virtual environment of your own, in the project's directory:

    pip install -r requirements.txt scikit-learn==1.9.1
    python train.py

The data set comes with scikit-learn.
"""

from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from app.logic.network import DigitNetwork, images_tensor

MODEL_PATH = Path(__file__).parent / "app" / "assets" / "digit_network.pt"
SEED = 1
EPOCHS = 12
BATCH_SIZE = 32


def main() -> None:
    """Train on four fifths of the digits, print the score on the rest, save the weights."""
    torch.manual_seed(SEED)
    digits = load_digits()
    train_images, test_images, train_labels, test_labels = train_test_split(
        images_tensor(digits.images),
        torch.tensor(digits.target),
        test_size=0.2,
        random_state=SEED,
        stratify=digits.target,
    )
    network = DigitNetwork()
    fit(network, train_images, train_labels)
    network.eval()
    with torch.inference_mode():
        found = network(test_images).argmax(dim=1)
    print((found == test_labels).double().mean().item())
    torch.save(network.state_dict(), MODEL_PATH)


def fit(network: DigitNetwork, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Train the network, going through all images EPOCHS times."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss_of(network(images[chosen]), labels[chosen]).backward()
            optimizer.step()


if __name__ == "__main__":
    main()
