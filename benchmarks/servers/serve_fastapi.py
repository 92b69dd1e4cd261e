"""The pipeline behind FastAPI and uvicorn: one worker, the model called inline or in batches.

Arguments: port, largest batch (1: none), seconds a batch waits to fill.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException

from app.logic import pipeline


class Batcher:
    """Predicts together for the requests that come within a few milliseconds."""

    def __init__(self, model: Any, size: int, wait: float) -> None:
        self._model = model
        self._size = size
        self._wait = wait
        self._queue: asyncio.Queue[tuple[Any, asyncio.Future[Any]]] = asyncio.Queue()

    async def predict(self, data: Any) -> Any:
        """Return the prediction for one request."""
        future = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((data, future))
        return await future

    async def run(self) -> None:
        """Predict for batch after batch, in a thread, so that requests come in meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._queue.get()]
            if self._queue.qsize() < self._size - 1:
                await asyncio.sleep(self._wait)
            while len(batch) < self._size and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            inputs = [data for data, _ in batch]
            results = await loop.run_in_executor(None, pipeline.predict_batch, self._model, inputs)
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def create_app(batch_size: int, wait: float) -> FastAPI:
    """Return the application."""
    model = pipeline.load_model()
    batcher = Batcher(model, batch_size, wait)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(batcher.run())
        yield
        task.cancel()

    app = FastAPI(lifespan=lifespan)

    def prepared(json_data: dict[str, Any]) -> Any:
        try:
            verified = pipeline.verify_input(json_data)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return pipeline.process(model, verified)

    async def predict(json_data: dict[str, Any]) -> dict[str, Any]:
        return dict(pipeline.predict(model, prepared(json_data)))

    async def predict_in_batches(json_data: dict[str, Any]) -> dict[str, Any]:
        return dict(await batcher.predict(prepared(json_data)))

    app.post("/predict")(predict if batch_size == 1 else predict_in_batches)
    return app


if __name__ == "__main__":
    port, size, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    uvicorn.run(create_app(size, seconds), port=port, log_level="warning", backlog=4096)
