"""A client for asyncio, on aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from denzel.client import protocol
from denzel.client.events import CUT_OFF, EVENT_STREAM, EventReader
from denzel.client.protocol import JSON, Call, Exchange, Pause, Reply, Task
from denzel.client.sync_client import CONNECT_TIMEOUT_SECONDS, DEFAULT_URL
from denzel.errors import ApiUnreachable, EngineError

if TYPE_CHECKING:
    import aiohttp

NOT_INSTALLED = 'AsyncClient needs aiohttp; run `python3 -m pip install "denzel[client]"`'

Result = TypeVar("Result")


class AsyncClient:
    """What :class:`Client` is, for asyncio: ``async with AsyncClient(url) as client: ...``.

    Any number of its methods may be awaited at the same time.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str = "",
        timeout: float = 60.0,
        retries: int = 3,
        trust_env: bool = True,
    ) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.retries = retries
        self._headers = {"X-API-Key": api_key} if api_key else {}
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Return the client, which is closed on leaving."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def predict(
        self,
        request: Mapping[str, Any] | bytes,
        *,
        content_type: str = JSON,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Return the prediction for ``request``; as :meth:`Client.predict`."""
        return await self._run(
            protocol.predict(
                protocol.encode(request),
                content_type,
                idempotency_key,
                timeout=self._seconds(timeout),
                retries=self.retries,
            )
        )

    def stream(
        self,
        request: Mapping[str, Any] | bytes,
        *,
        content_type: str = JSON,
        timeout: float | None = None,
    ) -> AsyncStream:
        """Ask for a prediction piece by piece, with ``async with`` and ``async for``.

        As :meth:`Client.stream`.
        """
        call = protocol.stream(
            protocol.encode(request), content_type, timeout=self._seconds(timeout)
        )
        return AsyncStream(self, call)

    async def submit(
        self,
        request: Mapping[str, Any] | bytes,
        *,
        content_type: str = JSON,
        idempotency_key: str | None = None,
    ) -> str:
        """Queue ``request``; return its task's id; as :meth:`Client.submit`."""
        return await self._run(
            protocol.submit(
                protocol.encode(request),
                content_type,
                idempotency_key,
                timeout=self.timeout,
                retries=self.retries,
            )
        )

    async def result(self, task_id: str, *, timeout: float | None = None) -> Any:
        """Return the prediction of a task, once it is made; as :meth:`Client.result`."""
        return await self._run(
            protocol.result(
                task_id, wait=self._seconds(timeout), timeout=self.timeout, retries=self.retries
            )
        )

    async def status(self, task_id: str, *, wait: float = 0.0) -> Task:
        """Return where a task stands; as :meth:`Client.status`."""
        return await self._run(
            protocol.status(task_id, wait=wait, timeout=self.timeout, retries=self.retries)
        )

    async def cancel(self, task_id: str) -> Task:
        """See that a task is not predicted; as :meth:`Client.cancel`."""
        return await self._run(protocol.cancel(task_id, timeout=self.timeout, retries=self.retries))

    async def info(self) -> str:
        """Return the text that describes the model."""
        return await self._run(protocol.info(timeout=self.timeout, retries=self.retries))

    async def load(self) -> dict[str, Any]:
        """Return how much there is to do, and what was done."""
        return await self._run(protocol.load(timeout=self.timeout, retries=self.retries))

    def _seconds(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else timeout

    async def _run(self, exchange: Exchange[Result]) -> Result:
        try:
            step = next(exchange)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = exchange.send(None)
                    continue
                try:
                    reply = await self._send(step)
                except ApiUnreachable as error:
                    step = exchange.throw(error)
                else:
                    step = exchange.send(reply)
        except StopIteration as ended:
            result: Result = ended.value
            return result

    async def _send(self, call: Call) -> Reply:
        with self._errors(call):
            async with await self._request(call) as response:
                return await _reply(response)

    async def _request(self, call: Call, *, streams: bool = False) -> aiohttp.ClientResponse:
        """Send a request; its seconds are for the whole answer, or for each part of a stream."""
        seconds = {"sock_read" if streams else "total": call.seconds}
        timeout = _aiohttp().ClientTimeout(sock_connect=CONNECT_TIMEOUT_SECONDS, **seconds)
        return await self._open_session().request(
            call.method,
            self.url + call.path,
            data=call.body,
            headers=call.headers,
            timeout=timeout,
            allow_redirects=False,
        )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            library = _aiohttp()
            session: aiohttp.ClientSession = library.ClientSession(
                headers=self._headers,
                trust_env=self._trust_env,
                connector=library.TCPConnector(limit=0),
            )
            self._session = session
        return self._session

    @contextmanager
    def _errors(self, call: Call) -> Iterator[None]:
        """Tell why there is no answer, in denzel's own error."""
        try:
            yield
        except TimeoutError as error:
            raise ApiUnreachable(
                f"The API at {self.url} did not answer within {call.seconds:g} s"
            ) from error
        except _aiohttp().ClientError as error:
            raise ApiUnreachable(f"The API at {self.url} cannot be reached") from error


class AsyncStream:
    """What :class:`Stream` is, for asyncio."""

    def __init__(self, client: AsyncClient, call: Call) -> None:
        self.result: Any = None
        self._client = client
        self._call = call
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Self:
        """Return the stream, which is closed on leaving."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the stream."""
        self.close()

    def close(self) -> None:
        """End the stream; if it has not ended by itself, the pipeline stops at its next piece."""
        if self._response is not None:
            self._response.close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Send the request; yield each piece as it comes, parsed."""
        with self._client._errors(self._call):
            response = self._response = await self._client._request(self._call, streams=True)
            if response.content_type != EVENT_STREAM:
                raise protocol.no_stream(await _reply(response))
        reader = EventReader()
        try:
            async for arrived in response.content.iter_any():
                for piece in reader.feed(arrived):
                    yield piece
        except (_aiohttp().ClientError, TimeoutError) as error:
            raise ApiUnreachable(CUT_OFF) from error
        self.result = reader.close()


async def _reply(response: aiohttp.ClientResponse) -> Reply:
    headers = {name.lower(): text for name, text in response.headers.items()}
    return Reply(response.status, headers, await response.read())


def _aiohttp() -> Any:
    """Import aiohttp when it is needed: the command line works without it."""
    try:
        import aiohttp
    except ImportError as error:
        raise EngineError(NOT_INSTALLED) from error
    return aiohttp
