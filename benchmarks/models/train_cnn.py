"""Write a convolutional network with random weights, a request, and the network's answer to it.

Speed does not depend on what the weights are.  Argument: the directory to write to.
"""

import json
import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits

from benchmarks.pipelines import cnn_digits

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    torch.manual_seed(1)
    network = cnn_digits.network().eval()
    torch.save(network.state_dict(), directory / "model")
    request = {"pixels": load_digits().data[0].tolist()}
    answer = cnn_digits.predict(network, cnn_digits.process(network, request))
    (directory / "request.json").write_text(json.dumps(request))
    (directory / "answer.json").write_text(json.dumps(answer))
