"""denzel's own clients against a real deployment."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from denzel.client import AsyncClient, Client, PredictionError, PredictionPending

from .deployment import Deployment


def test_requests_are_predicted_waited_for_and_cancelled(lab: Deployment) -> None:
    with Client(lab.url, timeout=20) as client:
        assert client.predict({"value": 1}) == {"echo": 1}
        task_id = client.submit({"value": 2})
        assert client.result(task_id) == {"echo": 2}
        assert client.status(task_id).ended
        with pytest.raises(PredictionError, match="409 Not cancelled"):
            client.cancel(task_id)
        with pytest.raises(PredictionError, match="500 Prediction failed: NameError"):
            client.predict({"do": "NameError"})
        with pytest.raises(PredictionError, match="404 Unknown task"):
            client.status(str(uuid4()))


def test_what_takes_too_long_can_be_asked_for_later(lab: Deployment) -> None:
    with Client(lab.url, timeout=20) as client:
        with pytest.raises(PredictionPending) as raised:
            client.predict({"do": "sleep", "seconds": 1.5}, timeout=1)
        assert raised.value.task_id is not None
        assert client.result(raised.value.task_id) == {"slept": 1.5}


def test_many_requests_are_awaited_at_once(lab: Deployment) -> None:
    async def ask() -> list[object]:
        async with AsyncClient(lab.url, timeout=20) as client:
            key = str(uuid4())
            ids = await asyncio.gather(
                *(client.submit({"value": 3}, idempotency_key=key) for _ in range(5))
            )
            assert len(set(ids)) == 1
            assert await client.result(ids[0]) == {"echo": 3}
            return await asyncio.gather(*(client.predict({"value": n}) for n in range(50)))

    assert asyncio.run(ask()) == [{"echo": n} for n in range(50)]
