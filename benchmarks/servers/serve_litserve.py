"""The pipeline behind LitServe: one model process, with or without batches.

Arguments: port, largest batch (1: none), seconds a batch waits to fill; then, if at all, where the
model runs (cpu), how many processes have it there (1), and ``fast`` for LitServe's fast queue.
"""

import sys
from typing import Any

import litserve

from app.logic import pipeline


class PipelineApi(litserve.LitAPI):
    """The pipeline's functions where LitServe expects them."""

    def setup(self, device: str) -> None:
        """Load the model in the model process."""
        self.model = pipeline.load_model()

    def decode_request(self, request) -> Any:  # type: ignore[no-untyped-def]
        """Verify one request and prepare it for the model; an annotation would be obeyed."""
        return pipeline.process(self.model, pipeline.verify_input(request))

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Leave a batch the list it is."""
        return inputs

    def predict(self, data: Any) -> Any:
        """Predict for one request, or for a list of them when batches are on."""
        if self.max_batch_size > 1:
            return pipeline.predict_batch(self.model, data)
        return pipeline.predict(self.model, data)

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Leave the results the list they are."""
        return output

    def encode_response(self, output: Any) -> Any:
        """Answer what predict returned."""
        return output


if __name__ == "__main__":
    api = PipelineApi(max_batch_size=int(sys.argv[2]), batch_timeout=float(sys.argv[3]))
    accelerator, workers, *rest = sys.argv[4:] or ["cpu", "1"]
    server = litserve.LitServer(
        api, accelerator=accelerator, workers_per_device=int(workers), fast_queue="fast" in rest
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False
    )
