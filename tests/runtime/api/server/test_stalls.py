"""When a connection has stalled."""

from __future__ import annotations

from app.runtime.api.server.stalls import TRICKLE, Progress

TIMEOUT = 10.0


def test_a_connection_on_which_nothing_moves_stalls_after_its_time() -> None:
    progress, request = Progress(), object()
    looks = [progress.has_stalled(request, 0, 0, 1.0, TIMEOUT) for _ in range(12)]
    assert looks == [False] * 10 + [True] * 2


def test_a_trickle_in_either_direction_keeps_it() -> None:
    receiving, sending, request = Progress(), Progress(), object()
    for second in range(100):
        assert not receiving.has_stalled(request, second * TRICKLE, 0, 1.0, TIMEOUT)
        assert not sending.has_stalled(request, 0, second * TRICKLE, 1.0, TIMEOUT)


def test_less_than_a_trickle_does_not() -> None:
    progress, request = Progress(), object()
    looks = [
        progress.has_stalled(request, second * TRICKLE // 2, 0, 1.0, TIMEOUT)
        for second in range(30)
    ]
    assert looks.index(True) == 20


def test_haste_is_no_credit_for_later() -> None:
    progress, request = Progress(), object()
    progress.has_stalled(request, 0, 0, 1.0, TIMEOUT)
    progress.has_stalled(request, 1000 * TRICKLE, 0, 1.0, TIMEOUT)
    looks = [progress.has_stalled(request, 1000 * TRICKLE, 0, 1.0, TIMEOUT) for _ in range(10)]
    assert looks[-1]


def test_a_new_request_and_a_rest_give_full_credit() -> None:
    progress, request = Progress(), object()
    for _ in range(10):
        progress.has_stalled(request, 0, 0, 1.0, TIMEOUT)
    progress.rest()
    for _ in range(10):
        assert not progress.has_stalled(request, 0, 0, 1.0, TIMEOUT)
    assert not progress.has_stalled(object(), 0, 0, 1.0, TIMEOUT)
