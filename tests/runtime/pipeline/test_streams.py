"""A predict that yields."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from app.runtime.contract import CANCELLED, FAILURE, REVOKED, SUCCESS, Outcome
from app.runtime.pipeline.loading import Pipeline
from app.runtime.pipeline.run import predict_group
from app.runtime.pipeline.streams import Unwanted, consume
from app.runtime.pipeline.time_limit import PredictionTooLong, TimeLimit


class Answer:
    """A generator's pieces and what it returns; notes whether it was wound up."""

    def __init__(self, pieces: list[Any], returned: Any = None) -> None:
        self._pieces = pieces
        self._returned = returned
        self.wound_up = 0

    def __call__(self) -> Generator[Any, None, Any]:
        """Yield the pieces."""
        try:
            yield from self._pieces
            return self._returned
        finally:
            self.wound_up += 1


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (Answer([]), b'{"chunks":[]}'),
        (Answer(["a", {"b": (1, 2**70)}]), b'{"chunks":["a",{"b":[1,1180591620717411303424]}]}'),
        (Answer(["a"], {"text": "a"}), b'{"text":"a"}'),
    ],
)
def test_the_whole_is_what_is_returned_or_all_pieces(answer: Answer, whole: bytes) -> None:
    sent: list[bytes] = []
    assert consume(answer(), lambda piece: not sent.append(piece)) == whole  # type: ignore[func-returns-value]
    assert consume(answer()) == whole
    assert answer.wound_up == 2
    if b"chunks" in whole:
        assert whole == b'{"chunks":[%b]}' % b",".join(sent)


def test_a_client_that_has_gone_ends_it_at_once() -> None:
    answer = Answer(["a", "b", "c"])
    sent: list[bytes] = []
    with pytest.raises(Unwanted):
        consume(answer(), lambda piece: sent.append(piece) or len(sent) < 2)  # type: ignore[func-returns-value]
    assert sent == [b'"a"', b'"b"']
    assert answer.wound_up == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(Answer([{1}]), TypeError), (Answer([float("nan")]), ValueError), (Answer([], 5), TypeError)],
)
def test_what_json_cannot_hold_ends_it(answer: Answer, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        consume(answer())
    assert answer.wound_up == 1


def test_the_time_limit_is_of_the_whole_and_never_strikes_while_sending() -> None:
    def forever() -> Iterator[int]:
        while True:
            time.sleep(0.01)
            yield 1

    def send(piece: bytes) -> bool:
        assert limit._deadline == 0.0
        return True

    limit = TimeLimit(0.2)
    started = time.monotonic()
    with pytest.raises(PredictionTooLong):
        consume(forever(), send, limit, started)  # type: ignore[arg-type]
    assert 0.2 <= time.monotonic() - started < 5


def grouped(predict: Callable[..., Any], *sends: Any) -> list[Outcome]:
    """Predict for two requests, with what sends their pieces."""
    pipeline = Pipeline(
        verify_input=dict, load_model=dict, process=lambda model, data: data, predict=predict,
        streams=True,
    )  # fmt: skip
    wanted = {name: send for name, send in zip("ab", sends, strict=True) if send}
    return predict_group(pipeline, None, [("a", b"1"), ("b", b"2")], sends=wanted)


def test_one_that_fails_or_is_unwanted_is_so_alone() -> None:
    def predict(model: None, data: int) -> Iterator[int]:
        yield data
        if data == 1:
            raise ValueError("one")

    failed, whole = grouped(predict, lambda piece: True, None)
    assert (failed.state, whole) == (FAILURE, Outcome("b", SUCCESS, b'{"chunks":[2]}'))
    failed, unwanted = grouped(predict, None, lambda piece: False)
    assert (failed.state, unwanted) == (FAILURE, Outcome("b", REVOKED, CANCELLED))
