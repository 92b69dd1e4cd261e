"""Train a LightGBM classifier of scikit-learn's digits; write the model, a request, its answer.

Argument: the directory to write to.
"""

import json
import sys
from pathlib import Path

import lightgbm
from sklearn.datasets import load_digits

ROUNDS = 200

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    images, labels = load_digits(return_X_y=True)
    options = {"objective": "multiclass", "num_class": 10, "verbosity": -1, "seed": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(images, labels), ROUNDS)
    booster.save_model(directory / "model")
    answer = {"digit": int(booster.predict(images[:1]).argmax())}
    (directory / "request.json").write_text(json.dumps({"pixels": images[0].tolist()}))
    (directory / "answer.json").write_text(json.dumps(answer))
