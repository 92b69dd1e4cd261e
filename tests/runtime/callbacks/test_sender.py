"""What a receiver of callbacks gets, over real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import random

import pytest
from standardwebhooks.webhooks import Webhook

from app.runtime.callbacks.body import Body
from app.runtime.callbacks.sender import UNDER_WAY_PER_RECEIVER

from .receivers import answering, receiving
from .senders import BODY, PATIENT, SECRET, needs_ipv6, send


def test_receiver_gets_the_exact_body_signed() -> None:
    with receiving(answering("204 No Content")) as receiver:
        answer = send(
            PATIENT, receiver.url(path="/stash?x=é"), BODY, message_id="id-1",
            headers={"Denzel-Task-Id": "id-1"},
        )  # fmt: skip
    assert (answer.status, answer.error, answer.is_delivered) == (204, "", True)
    (visit,) = receiver.visits
    assert visit.head.splitlines()[0] == b"POST /stash?x=%C3%A9 HTTP/1.1"
    assert visit.body == BODY
    assert visit.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert visit.headers["user-agent"] == "denzel/1.2.3"
    assert visit.headers["content-type"] == "application/json"
    assert visit.headers["denzel-task-id"] == visit.headers["webhook-id"] == "id-1"
    assert Webhook(SECRET).verify(visit.body, visit.headers) == {"a123": "Iris-setosa", "é": 1.0}


def test_every_attempt_is_signed_anew_with_the_same_id() -> None:
    times = iter([1_790_000_000.9, 1_790_000_000.9, 1_790_003_600.0, 1_790_003_600.0])
    sender = dataclasses.replace(PATIENT, clock=lambda: next(times))
    with receiving(answering("500 Oops"), answering("200 OK")) as receiver:
        answers = [send(sender, receiver.url(), BODY, message_id="id-1") for _ in range(2)]
    assert [answer.status for answer in answers] == [500, 200]
    first, second = (visit.headers for visit in receiver.visits)
    assert first["webhook-id"] == second["webhook-id"]
    assert [first["webhook-timestamp"], second["webhook-timestamp"]] == ["1790000000", "1790003600"]
    assert first["webhook-signature"] != second["webhook-signature"]


def test_large_body_arrives_whole() -> None:
    body = random.Random(1).randbytes(8 * 2**20).hex().encode()
    with receiving(answering("200 OK")) as receiver:
        assert send(PATIENT, receiver.url(), body, message_id="id").is_delivered
    assert receiver.visits[0].body == body


@needs_ipv6
def test_ipv6_receiver() -> None:
    with receiving(answering("200 OK"), address="::1") as receiver:
        assert send(PATIENT, receiver.url("[::1]"), BODY, message_id="id").is_delivered
    assert receiver.visits[0].headers["host"] == f"[::1]:{receiver.port}"


def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(answering("200 OK")) as receiver, receiving(answering("200 OK")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(path=""))
        assert send(PATIENT, receiver.url(), BODY, message_id="id").is_delivered
    assert not proxy.visits


def test_one_sender_serves_many_at_once() -> None:
    async def deliver(uri: str) -> list[int | None]:
        async def one(number: int) -> int | None:
            async with PATIENT.admit(uri) as admission:
                body = Body.from_bytes(str(number).encode())
                return (await PATIENT.send(admission, body, message_id=f"id-{number}")).status

        async with PATIENT:
            return await asyncio.gather(*map(one, range(UNDER_WAY_PER_RECEIVER)))

    with receiving(answering("200 OK")) as receiver:
        statuses = asyncio.run(deliver(receiver.url()))
    assert statuses == [200] * UNDER_WAY_PER_RECEIVER
    got = {visit.headers["webhook-id"]: visit.body.decode() for visit in receiver.visits}
    assert got == {f"id-{number}": str(number) for number in range(UNDER_WAY_PER_RECEIVER)}
