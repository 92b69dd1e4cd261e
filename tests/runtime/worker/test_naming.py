"""Which worker has which name, as workers come, die, end and come again."""

from __future__ import annotations

import redis

from app.runtime.worker.naming import LEASE_SECONDS, WorkerName

NAME = "worker@lab"
MANY = 9


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Worker:
    """A worker in a place; ``run`` tells its runs apart."""

    def __init__(self, client: redis.Redis, place: str, run: str = "1") -> None:
        self.claim = WorkerName(client, f"{place}/{run}", f"{place}/")
        self.clock = Clock()

    def start(self, expected: int = MANY) -> str:
        """Claim a name and return it."""
        return self.claim.claim(NAME, expected, self.clock.time, self.clock.sleep)


def expire(client: redis.Redis, name: str) -> None:
    """Let the claim on a name end, as it does when it is not renewed."""
    holder = str(client.hget("denzel:worker.names", name), "utf-8").partition(" ")[2]  # type: ignore[arg-type]
    client.hset("denzel:worker.names", name, f"0.000 {holder}")


def test_the_first_worker_has_no_number_and_others_count_on(client: redis.Redis) -> None:
    names = [Worker(client, place).start() for place in ("a", "b", "c")]
    assert names == ["worker@lab", "worker-2@lab", "worker-3@lab"]


def test_a_worker_gets_the_number_it_prefers_if_that_is_free(client: redis.Redis) -> None:
    for number in (3, 2, 3):
        claim = WorkerName(client, f"place-{number}/1", f"place-{number}/", number)
        assert claim.claim(NAME, MANY) == f"worker-{number}@lab"
    assert WorkerName(client, "other/1", "other/", 3).claim(NAME, MANY) == NAME


def test_a_worker_that_is_started_again_keeps_its_name(client: redis.Redis) -> None:
    for place in ("a", "b"):
        Worker(client, place).start()
    assert Worker(client, "b", "2").start() == "worker-2@lab"  # after a crash
    for place, name in (("a", "worker@lab"), ("b", "worker-2@lab")):
        Worker(client, place, "2").claim.release(name)
    expire(client, "worker@lab")
    assert Worker(client, "b", "3").start() == "worker-2@lab"  # after an end of both


def test_the_number_of_a_worker_that_is_gone_is_given_out_again(client: redis.Redis) -> None:
    first, *_ = [Worker(client, place) for place in ("a", "b")]
    first.start()
    Worker(client, "b").start()
    first.claim.release("worker@lab")
    assert Worker(client, "new").start() == "worker@lab"


def test_a_dead_workers_name_is_waited_for_where_no_more_are_expected(client: redis.Redis) -> None:
    Worker(client, "dead").start()
    new = Worker(client, "new")
    sleep = new.clock.sleep

    def sleep_until_the_lease_ends(seconds: float) -> None:
        sleep(seconds)
        if new.clock.now >= 2:
            expire(client, "worker@lab")

    new.clock.sleep = sleep_until_the_lease_ends  # type: ignore[method-assign]
    assert new.start(expected=1) == "worker@lab"


def test_one_more_than_expected_gets_a_name_in_the_end(client: redis.Redis) -> None:
    Worker(client, "a").start()
    more = Worker(client, "b")
    assert more.start(expected=1) == "worker-2@lab"
    assert LEASE_SECONDS <= more.clock.now < 2 * LEASE_SECONDS


def test_a_name_that_another_one_has_by_now_is_not_kept(client: redis.Redis) -> None:
    paused = Worker(client, "a")
    paused.start()
    assert paused.claim.renew(NAME)
    expire(client, NAME)
    assert Worker(client, "b").start() == NAME
    assert not paused.claim.renew(NAME)
    paused.claim.release(NAME)
    assert Worker(client, "c").start() == "worker-2@lab"


def test_a_replaced_worker_does_not_end_the_claim_of_its_successor(client: redis.Redis) -> None:
    old, new = Worker(client, "a"), Worker(client, "a", "2")
    assert old.start() == new.start() == NAME
    assert new.claim.renew(NAME)
    old.claim.renew(NAME)
    old.claim.release(NAME)
    assert Worker(client, "b").start() == "worker-2@lab"


def test_a_claim_that_redis_has_lost_is_made_again(client: redis.Redis) -> None:
    worker = Worker(client, "a")
    worker.start()
    client.delete("denzel:worker.names")
    assert worker.claim.renew(NAME)
    assert Worker(client, "b").start() == "worker-2@lab"
