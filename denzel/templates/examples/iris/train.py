"""Train the iris classifier and save it where ``load_model`` looks for it.

Run it in a virtual environment of your own, in the project's directory:

    pip install -r requirements.txt
    python train.py

The data set comes with scikit-learn; the same versions always make the same model.
"""

import pickle
from pathlib import Path

from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

MODEL_PATH = Path(__file__).parent / "app" / "assets" / "iris_svc.pkl"
SEED = 1
PICKLE_PROTOCOL = 5  # read by every Python since 3.8


def main() -> None:
    """Train on four fifths of the flowers, print the score on the rest, save the model."""
    iris = load_iris()
    species = [f"Iris-{iris.target_names[target]}" for target in iris.target]
    train_features, test_features, train_labels, test_labels = train_test_split(
        iris.data, species, test_size=0.2, random_state=SEED
    )
    model = SVC()
    model.fit(train_features, train_labels)
    print(model.score(test_features, test_labels))
    MODEL_PATH.write_bytes(pickle.dumps(model, protocol=PICKLE_PROTOCOL))


if __name__ == "__main__":
    main()
