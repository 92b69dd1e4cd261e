"""The floor under any queue in Redis: a list to another process, a list back.

Arguments: Redis' unix socket, clients at a time, seconds.  Prints the result as JSON.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import time

import redis
import redis.asyncio
import uvloop

QUEUE = "jobs"
WAIT_SECONDS = 10


def answer(socket_path: str) -> None:
    """Send each message back to the list it names, until an empty one comes."""
    connection = redis.Redis(unix_socket_path=socket_path)
    while True:
        popped = connection.brpop([QUEUE], timeout=0)
        message = popped[1]
        if not message:
            return
        connection.lpush(message.decode().partition(" ")[0], message)


async def ask(socket_path: str, name: str, until: float, latencies: list[float]) -> None:
    """Send one message after the other and wait for each to come back."""
    connection = redis.asyncio.Redis(unix_socket_path=socket_path)
    while (started := time.perf_counter()) < until:
        await connection.lpush(QUEUE, f"{name} message")
        await connection.brpop([name], timeout=WAIT_SECONDS)
        latencies.append(time.perf_counter() - started)
    await connection.aclose()


async def ask_together(socket_path: str, clients: int, seconds: float) -> dict[str, float]:
    """Return what so many clients got in so many seconds."""
    latencies: list[float] = []
    started = time.perf_counter()
    names = [f"reply{number}" for number in range(clients)]
    await asyncio.gather(*(ask(socket_path, name, started + seconds, latencies) for name in names))
    elapsed = time.perf_counter() - started
    latencies.sort()
    percentile = {
        share: latencies[int(len(latencies) * share / 100)] * 1e3 for share in (50, 90, 99)
    }
    return {
        "requests": len(latencies),
        "seconds": elapsed,
        **{f"p{share}": value for share, value in percentile.items()},
        "max": latencies[-1] * 1e3,
    }


def main() -> None:
    """Measure and print."""
    socket_path, clients, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    worker = multiprocessing.get_context("fork").Process(target=answer, args=(socket_path,))
    worker.start()
    try:
        print(json.dumps(uvloop.run(ask_together(socket_path, clients, seconds))))
    finally:
        redis.Redis(unix_socket_path=socket_path).lpush(QUEUE, "")
        worker.join()


if __name__ == "__main__":
    main()
