"""What became of the requests that were accepted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import requests

from denzel.polling import polls

from .clients import Accepted, expected
from .receiver import Receiver

UNFINISHED = ("PENDING", "STARTED")
ASKING_THREADS = 4
ANSWER_SECONDS = 30
FINAL_SECONDS = 20


@dataclass
class Verdict:
    """Lists of task ids, with what is wrong with each; and how long callbacks took."""

    accepted: int
    wrong_status: dict[str, str] = field(default_factory=dict)
    no_callback: list[str] = field(default_factory=list)
    wrong_callback: dict[str, str] = field(default_factory=dict)
    duplicates: int = 0
    twice_accepted: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def lost_ids(self) -> set[str]:
        """The requests that have no result, a wrong one, or no callback with the right one."""
        return {*self.wrong_status, *self.no_callback, *self.wrong_callback}

    @property
    def lost(self) -> int:
        """How many these are."""
        return len(self.lost_ids)

    def describe(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "accepted": self.accepted,
            "lost": self.lost,
            "duplicate_callbacks": self.duplicates,
            "acceptance_to_callback": f"{median(self.seconds):.2f} s (median), "
            f"{max(self.seconds):.1f} s (longest)",
        }

    def problems(self) -> str:
        """Return some of what is wrong, for a person to read."""
        return "\n".join(
            [
                *(
                    f"{task_id}: {status}"
                    for task_id, status in list(self.wrong_status.items())[:9]
                ),
                *(f"{task_id}: no callback" for task_id in self.no_callback[:9]),
                *(f"{task_id}: {body}" for task_id, body in list(self.wrong_callback.items())[:9]),
            ]
        )


def judge(url: str, accepted: Iterable[Accepted], receiver: Receiver, seconds: float) -> Verdict:
    """Return what became of the requests; each is waited for, up to ``seconds`` together."""
    accepted = list(accepted)
    verdict = Verdict(len(accepted))
    again = Counter(each.number for each in accepted)
    verdict.twice_accepted = sum(count - 1 for count in again.values())
    arrived = _await(lambda left: [each for each in left if not receiver.taken(each.task_id)],
                     accepted, seconds)  # fmt: skip
    verdict.no_callback = [each.task_id for each in arrived]
    with ThreadPoolExecutor(ASKING_THREADS) as asking, requests.Session() as session:
        statuses = asking.map(lambda each: _status(session, url, each.task_id), accepted)
        for each, status in zip(accepted, statuses, strict=True):
            if status.get("status") != "SUCCESS" or status.get("result") != expected(each.number):
                verdict.wrong_status[each.task_id] = json.dumps(status)
    for each in accepted:
        taken = receiver.taken(each.task_id)
        verdict.duplicates += max(0, len(taken) - 1)
        for delivery in receiver.deliveries.get(each.task_id, ()):
            if json.loads(delivery.body) != expected(each.number):
                verdict.wrong_callback[each.task_id] = delivery.body.decode()
        if taken:
            verdict.seconds.append(max(0.0, taken[0].at - each.at))
    return verdict


def _await(
    missing: Callable[[list[Accepted]], list[Accepted]], left: list[Accepted], seconds: float
) -> list[Accepted]:
    """Return what is still missing when nothing is, or when the time is over."""
    for _ in polls(0.2, timeout=seconds):
        left = missing(left)
        if not left:
            break
    return left


def _status(session: requests.Session, url: str, task_id: str) -> dict[str, Any]:
    """Return what ``/status`` says in the end; a moment's 503 is asked again, as by any client."""
    for _ in polls(0.2, timeout=FINAL_SECONDS):
        answer = session.get(f"{url}/status/{task_id}", timeout=ANSWER_SECONDS)
        status = dict(answer.json())
        if answer.status_code != 503 and status.get("status") not in UNFINISHED:
            break
    return status
