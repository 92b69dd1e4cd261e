"""POST a callback to a receiver that may be slow, broken or hostile, and judge the answer."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import aiohttp
from yarl import URL

from app.runtime.callbacks.addresses import AddressPolicy
from app.runtime.callbacks.body import Body
from app.runtime.callbacks.http_client import (
    Connection,
    Upload,
    current_connection,
    default_tls_context,
    describe_failure,
    open_session,
)
from app.runtime.callbacks.resolver import Resolver
from app.runtime.callbacks.schedule import Answer, parse_retry_after
from app.runtime.callbacks.signing import signature_headers
from app.runtime.callbacks.slots import Crowded, Slots
from app.runtime.callbacks.uri import ForbiddenDestination, Target

UNDER_WAY = 1000
UNDER_WAY_PER_RECEIVER = 32
MAX_ADDRESSES = 8
DRAIN_SECONDS = 1.0
BUFFERED_BYTES = 64 * 1024
"""As much as the kernel takes at once."""
SIGN_IN_THREAD_BYTES = 2**20


class Undeliverable(Exception):
    """A callback cannot be sent at all; ``answer`` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.error)
        self.answer = answer


@dataclass
class Destination:
    """Where a callback may go: the address to try and its slot, and the addresses after that.

    Times are on the event loop's clock.
    """

    target: Target
    untried: list[str]
    connect_by: float
    answer_by: float
    address: str = ""
    receiver: str = ""


@dataclass
class Sender:
    """Sends callbacks, many at once; an async context manager, within which it can be used.

    ``secrets`` sign every callback (see ``signing.py``).  ``connect_timeout`` is in seconds and
    covers name, connection and TLS; ``total_timeout`` covers the whole exchange.
    ``max_answer_bytes`` counts all that the receiver sends.  ``slots`` limit what is under way to
    one receiver: the address connected to and its port.
    """

    policy: AddressPolicy
    secrets: Sequence[bytes] = ()
    connect_timeout: float = 5.0
    total_timeout: float = 30.0
    max_answer_bytes: int = 64 * 1024
    user_agent: str = "denzel"
    tls: ssl.SSLContext = field(default_factory=default_tls_context)
    resolver: Resolver = field(default_factory=Resolver)
    slots: Slots = field(default_factory=lambda: Slots(UNDER_WAY, UNDER_WAY_PER_RECEIVER))
    clock: Callable[[], float] = time.time

    async def __aenter__(self) -> Sender:
        """Make it ready."""
        self._session = open_session(self._check_connection, self.tls, self.max_answer_bytes)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self._session.close()

    @contextlib.asynccontextmanager
    async def admit(self, uri: str) -> AsyncIterator[Destination]:
        """Check where a callback goes and hold a slot for it, for the duration of the context.

        Raises Undeliverable, or Crowded when its receiver or the name's zone has no room for more.
        """
        try:
            target = self.policy.check_uri(uri)
        except ForbiddenDestination as error:
            raise Undeliverable(Answer(error=str(error), is_forbidden=True)) from error
        now = asyncio.get_running_loop().time()
        answer_by = now + self.total_timeout
        connect_by = min(answer_by, now + self.connect_timeout)
        try:
            async with asyncio.timeout_at(connect_by):
                addresses = await self._find_addresses(target)
        except (OSError, ForbiddenDestination) as error:
            raise Undeliverable(_no_connection(target, error)) from error
        destination = Destination(target, addresses, connect_by, answer_by)
        first = _receiver(addresses[0], target.port)
        if not self._next_address(destination):
            raise Crowded(first)
        try:
            yield destination
        finally:
            self.slots.release(destination.receiver)

    async def send(
        self,
        destination: Destination,
        body: Body,
        *,
        message_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """POST the body once and return what came of it; the network makes it raise nothing.

        ``message_id`` is the same for every attempt at one callback; ``headers`` are added.
        """
        all_headers = await self.headers(destination.target, body, message_id, headers or {})
        while True:
            upload = Upload(body)
            try:
                return await self._exchange(destination, upload, all_headers)
            except (OSError, aiohttp.ClientError) as error:
                if upload.begun.is_set():
                    return _no_answer(destination.target, error)
                if isinstance(error, aiohttp.ClientSSLError) or not self._next_address(destination):
                    return _no_connection(destination.target, error)

    async def headers(
        self, target: Target, body: Body, message_id: str, added: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the headers of an attempt that is made now."""
        return {
            "Host": target.authority,
            "User-Agent": self.user_agent,
            "Accept-Encoding": "identity",
            "Connection": "close",
            **added,
            **await self._sign(message_id, body),
        }

    async def _find_addresses(self, target: Target) -> list[str]:
        """Resolve the host, once, and return those of its addresses that are allowed.

        Raises ForbiddenDestination when it has addresses, but none that is allowed.
        """
        if target.address is not None:  # checked with the URI
            return [target.host]
        return self._allowed(target, await self.resolver.lookup(target.host, target.port))

    def _allowed(self, target: Target, addresses: Iterable[str]) -> list[str]:
        refusal: ForbiddenDestination | None = None
        allowed = []
        for address in addresses:
            try:
                self.policy.check_address(address, target.port, host=target.host)
                allowed.append(address)
            except ForbiddenDestination as error:
                refusal = refusal or error
        if not allowed:
            raise refusal or OSError("the name has no address")
        return allowed[:MAX_ADDRESSES]

    def _next_address(self, destination: Destination) -> bool:
        """Move to the next address that has room, and its slot; tell whether there was one."""
        while destination.untried:
            address = destination.untried.pop(0)
            receiver = _receiver(address, destination.target.port)
            if self.slots.room(receiver):
                self.slots.acquire(receiver)
                if destination.receiver:
                    self.slots.release(destination.receiver)
                destination.address, destination.receiver = address, receiver
                return True
        return False

    def _check_connection(self, address: str, port: int, host: str) -> None:
        self.policy.check_address(address, port, host=host)

    async def _sign(self, message_id: str, body: Body) -> dict[str, str]:
        timestamp = int(self.clock())
        if not self.secrets:
            return signature_headers((), message_id, timestamp, b"")
        async with body.whole() as content:
            if body.size < SIGN_IN_THREAD_BYTES:
                return signature_headers(self.secrets, message_id, timestamp, content)
            return await asyncio.to_thread(
                signature_headers, self.secrets, message_id, timestamp, content
            )

    async def _exchange(
        self, destination: Destination, upload: Upload, headers: Mapping[str, str]
    ) -> Answer:
        target = destination.target
        connection = Connection("" if target.address else target.host)
        current_connection.set(connection)
        with contextlib.ExitStack() as stack:
            stack.callback(connection.abort)
            async with asyncio.timeout_at(destination.answer_by):
                response = await self._post(destination, upload, headers)
                stack.callback(response.close)
                answer = self._judge(response)
                if answer.is_delivered:
                    # It may have refused (413, say) before it has read everything; not so here.
                    await upload.ended.wait()
            await _drain(response, destination.answer_by)
            if answer.is_delivered and (upload.size or 0) > BUFFERED_BYTES:
                # The end of it may still be buffered here, for a receiver that accepted early.
                stack.pop_all()
                response.close()
                loop = asyncio.get_running_loop()
                loop.call_later(self.total_timeout, connection.abort)
        return answer

    async def _post(
        self, destination: Destination, upload: Upload, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        left = destination.connect_by - asyncio.get_running_loop().time()
        if left <= 0:
            raise TimeoutError
        share = left / (1 + len(destination.untried))
        return await self._session.post(
            _url(destination.target, destination.address),
            data=upload,
            headers=headers,
            allow_redirects=False,
            server_hostname=destination.target.host,
            timeout=aiohttp.ClientTimeout(total=None, connect=share),
        )

    def _judge(self, response: aiohttp.ClientResponse) -> Answer:
        status = response.status
        retry_after = parse_retry_after(response.headers.get("Retry-After"), self.clock())
        if 200 <= status < 300:
            return Answer(status)
        hint = ", and redirects are not followed" if 300 <= status < 400 else ""
        return Answer(status, retry_after, f"the receiver answered {status}{hint}")


async def _drain(response: aiohttp.ClientResponse, deadline: float) -> None:
    """Read the rest of an answer, for a moment, and as much as its socket reads.

    That is for the receiver's sake alone, which would otherwise see its connection reset while it
    still writes.
    """
    deadline = min(deadline, asyncio.get_running_loop().time() + DRAIN_SECONDS)
    with contextlib.suppress(OSError, aiohttp.ClientError):
        async with asyncio.timeout_at(deadline):
            async for _ in response.content.iter_any():
                pass


@lru_cache(maxsize=1024)
def _receiver(address: str, port: int) -> str:
    """Return what stands for the receiver at an address, however that is written."""
    ip = ipaddress.ip_address(address)
    return f"{getattr(ip, 'ipv4_mapped', None) or ip} {port}"


def _url(target: Target, address: str) -> URL:
    """Return the target's URL with the address to connect to in place of a name."""
    host = f"[{address}]" if ":" in address else address
    return URL(f"{target.scheme}://{host}:{target.port}{target.path}", encoded=True)


def _no_connection(target: Target, error: Exception) -> Answer:
    return Answer(error=f"no connection to {target.authority}: {describe_failure(error)}")


def _no_answer(target: Target, error: Exception) -> Answer:
    return Answer(error=f"no answer from {target.authority}: {describe_failure(error)}")
