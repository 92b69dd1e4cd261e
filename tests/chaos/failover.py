"""A Redis with a replica that lags behind by a network's delay, and masters that are killed."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from typing import Any

from denzel.polling import polls
from runtime.redis_servers import LOOPBACK, Group, RedisServer

CHUNK = 65536
SOON = 60.0


class SlowLink:
    """Leads to a server; what it sends arrives ``delay`` seconds later, unless it dies before."""

    def __init__(self, port: int, delay: float) -> None:
        self._target, self._delay = port, delay
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection((LOOPBACK, self._target))
                except OSError:
                    near.close()
                    continue
                late: queue.Queue[tuple[float, bytes]] = queue.Queue()
                for work in (self._forward, self._receive, self._deliver):
                    threading.Thread(target=work, args=(near, far, late), daemon=True).start()

    def _forward(self, near: socket.socket, far: socket.socket, _late: Any) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(CHUNK):
                far.sendall(data)
        _hang_up(near, far)

    def _receive(self, near: socket.socket, far: socket.socket, late: Any) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(CHUNK):
                late.put((time.monotonic() + self._delay, data))
        _hang_up(near, far)  # what is on its way is lost
        late.put((0.0, b""))

    def _deliver(self, near: socket.socket, _far: socket.socket, late: Any) -> None:
        with contextlib.suppress(OSError):
            while True:
                at, data = late.get()
                if not data:
                    return
                threading.Event().wait(max(0.0, at - time.monotonic()))
                near.sendall(data)


def _hang_up(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


class LaggingGroup:
    """A group whose replica always hears of its master over a slow link."""

    def __init__(self, group: Group, delay: float) -> None:
        self.group = group
        self._delay = delay
        self._link: SlowLink | None = None

    def attach(self) -> None:
        """Have the replica follow the master over a new link; return when it is in step."""
        master = self.group.master()
        (replica,) = (each for each in self.group.servers if each is not master)
        self._until(lambda: replica.client().info("replication")["role"] == "slave")
        if self._link is not None:
            self._link.close()
        self._link = SlowLink(master.port, self._delay)
        replica.client().replicaof(LOOPBACK, self._link.port)
        self._until(lambda: self._is_in_step(master))

    def fail_over(self) -> float:
        """Kill the master; return how many seconds it took until another was named."""
        began = time.monotonic()
        self.group.kill_master()
        return time.monotonic() - began

    def bring_back(self) -> None:
        """Start the dead server again, which becomes the new master's replica."""
        for server in self.group.servers:
            if server.service is not None and not server.service.is_running():
                server.start()

    @staticmethod
    def _is_in_step(master: RedisServer) -> bool:
        found: Any = master.client().info("replication")
        return bool(found["connected_slaves"] == 1 and found["slave0"]["state"] == "online")

    @staticmethod
    def _until(holds: Any) -> None:
        for _ in polls(0.1, timeout=SOON):
            with contextlib.suppress(Exception):
                if holds():
                    return
        raise AssertionError("the replica does not follow the master")
