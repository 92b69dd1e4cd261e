"""An ONNX file in ONNX Runtime, whose threads no environment variable governs."""

import os
from typing import Any

import numpy as np
import onnxruntime

PATH = "app/assets/model.onnx"


def make() -> None:
    """Write a model: a matrix product."""
    import onnx
    from onnx import TensorProto, helper

    weights = np.random.RandomState(0).rand(20, 20).astype("float32")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 20])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 20])],
        [helper.make_tensor("w", TensorProto.FLOAT, [20, 20], weights.ravel())],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), PATH)


def verify_input(json_data: Any) -> Any:
    """Accept."""
    return json_data


def load_model() -> Any:
    """Load the model, and predict once if told to."""
    session = onnxruntime.InferenceSession(PATH)
    if "TEST_WARM_UP" in os.environ:
        session.run(None, {"x": np.zeros((2000, 20), dtype="float32")})
    return session


def process(model: Any, json_data: Any) -> Any:
    """Return an array."""
    return np.array([json_data["x"]], dtype="float32")


def predict(model: Any, data: Any) -> Any:
    """Predict, and say by whom."""
    return {"y": model.run(None, {"x": data})[0][0], "pid": os.getpid()}
