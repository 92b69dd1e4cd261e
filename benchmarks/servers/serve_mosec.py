"""The pipeline behind Mosec: one model process, with or without batches.

Arguments: port, largest batch (1: none), seconds a batch waits to fill; then, if at all, how many
processes have the model (1), how many others prepare requests for them (0), and ``raw`` for
requests that are no JSON.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from mosec import Runtime, Server, ValidationError, Worker

from app.logic import pipeline

TIMEOUT_MS = "30000"
IS_RAW = "raw" in sys.argv
CAPACITY = "8192"  # beside 1,000 connections, those of the load before that are still queued


def prepared(model: Any, request: Any) -> Any:
    """Return what predict takes for a request: parsed JSON, or bytes."""
    try:
        json_data = pipeline.parse_request("", request) if IS_RAW else request
        return pipeline.process(model, pipeline.verify_input(json_data))
    except ValueError as error:
        raise ValidationError(str(error)) from error


class PipelineWorker(Worker):
    """Calls predict for one request at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.model = pipeline.load_model()

    def deserialize(self, data: bytes) -> Any:
        """Parse and verify one request and prepare it for the model."""
        return prepared(self.model, bytes(data) if IS_RAW else super().deserialize(data))

    def forward(self, data: Any) -> Any:
        """Predict for one request."""
        return pipeline.predict(self.model, data)


class Preparer(Worker):
    """Does what comes before the model, for pipelines that do not need it there."""

    def deserialize(self, data: bytes) -> Any:
        """Parse and verify one request and prepare it for the model."""
        return prepared(None, bytes(data) if IS_RAW else super().deserialize(data))

    def forward(self, data: Any) -> Any:
        """Pass it on."""
        return data


class BatchingPipelineWorker(PipelineWorker):
    """Calls predict_batch."""

    def forward(self, data: list[Any]) -> list[Any]:
        """Predict for several requests."""
        return list(pipeline.predict_batch(self.model, data))


if __name__ == "__main__":
    port, size, wait = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    os.environ |= {
        "MOSEC_ADDRESS": "127.0.0.1",
        "MOSEC_PORT": port,
        "MOSEC_TIMEOUT": TIMEOUT_MS,
        "MOSEC_CAPACITY": CAPACITY,
        "MOSEC_LOG_LEVEL": "warning",
    }
    models, preparers = (int(each) for each in sys.argv[4:6] or ["1", "0"])
    server = Server()
    if preparers:
        server.register_runtime(
            {
                "/predict": [
                    Runtime(Preparer, num=preparers),
                    Runtime(
                        BatchingPipelineWorker, num=models, max_batch_size=size,
                        max_wait_time=round(wait * 1000),
                    ),
                ]
            }
        )  # fmt: skip
    elif size == 1:
        server.append_worker(PipelineWorker, num=models, route="/predict")
    else:
        server.append_worker(
            BatchingPipelineWorker,
            num=models,
            max_batch_size=size,
            max_wait_time=round(wait * 1000),
            route="/predict",
        )
    server.run()
