"""Train the wine classifier and save it where ``load_model`` looks for it.

Run it in a virtual environment of your own, in the project's directory:

    pip install -r requirements.txt scikit-learn==1.9.1
    python train.py

The data set comes with scikit-learn.
"""

from pathlib import Path

import lightgbm
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

MODEL_PATH = Path(__file__).parent / "app" / "assets" / "wine.txt"
SEED = 1
ROUNDS = 30
PARAMETERS = {
    "objective": "multiclass",
    "num_class": 3,
    "num_leaves": 4,
    "learning_rate": 0.2,
    "min_data_in_leaf": 5,
    "seed": SEED,
    "deterministic": True,
    "verbosity": -1,
}


def main() -> None:
    """Train on four fifths of the wines, print the score on the rest, save the model."""
    wine = load_wine()
    train_features, test_features, train_labels, test_labels = train_test_split(
        wine.data, wine.target, test_size=0.2, random_state=SEED, stratify=wine.target
    )
    data = lightgbm.Dataset(train_features, train_labels, feature_name=wine.feature_names)
    model = lightgbm.train(PARAMETERS, data, ROUNDS)
    print(np.mean(model.predict(test_features).argmax(axis=1) == test_labels))
    model.save_model(MODEL_PATH)


if __name__ == "__main__":
    main()
