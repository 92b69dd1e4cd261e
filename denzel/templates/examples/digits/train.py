"""Train the classifier of digits and save it where ``load_model`` looks for it.

Run it in a virtual environment of your own, in the project's directory:

    pip install -r requirements.txt
    python train.py

The data set comes with scikit-learn; the same versions always make the same model.
"""

import pickle
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

MODEL_PATH = Path(__file__).parent / "app" / "assets" / "digits.pkl"
SEED = 1
BRIGHTEST = 16
PICKLE_PROTOCOL = 5  # read by every Python since 3.8


def main() -> None:
    """Train on four fifths of the digits, print the score on the rest, save the model."""
    digits = load_digits()
    train_pixels, test_pixels, train_labels, test_labels = train_test_split(
        digits.data / BRIGHTEST,
        digits.target,
        test_size=0.2,
        random_state=SEED,
        stratify=digits.target,
    )
    model = LogisticRegression(max_iter=1000)
    model.fit(train_pixels, train_labels)
    print(model.score(test_pixels, test_labels))
    MODEL_PATH.write_bytes(pickle.dumps(model, protocol=PICKLE_PROTOCOL))


if __name__ == "__main__":
    main()
