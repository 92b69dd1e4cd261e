"""The pipeline behind Mosec: one model process, with or without batches.

Arguments: port, largest batch (1: none), seconds a batch waits to fill.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from mosec import Server, ValidationError, Worker

from app.logic import pipeline

TIMEOUT_MS = "30000"
CAPACITY = "8192"  # beside 1,000 connections, those of the load before that are still queued


class PipelineWorker(Worker):
    """Calls predict for one request at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.model = pipeline.load_model()

    def deserialize(self, data: bytes) -> Any:
        """Parse and verify one request and prepare it for the model."""
        json_data = super().deserialize(data)
        try:
            return pipeline.process(self.model, pipeline.verify_input(json_data))
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def forward(self, data: Any) -> Any:
        """Predict for one request."""
        return pipeline.predict(self.model, data)


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
    server = Server()
    if size == 1:
        server.append_worker(PipelineWorker, num=1, route="/predict")
    else:
        server.append_worker(
            BatchingPipelineWorker,
            num=1,
            max_batch_size=size,
            max_wait_time=round(wait * 1000),
            route="/predict",
        )
    server.run()
