"""A client that blocks, on requests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import requests

from denzel.client import protocol
from denzel.client.events import CUT_OFF, EVENT_STREAM, EventReader
from denzel.client.protocol import JSON, Call, Exchange, Pause, Reply, Task
from denzel.errors import ApiUnreachable

CONNECT_TIMEOUT_SECONDS = 5.0
DEFAULT_URL = "http://127.0.0.1:8000"

Result = TypeVar("Result")


class Client:
    """Talks to the API at ``url``; keeps its connection, and may be used by one thread at a time.

    ``api_key`` is for a deployment that asks for one.  ``timeout`` is in seconds, for each method
    as a whole.  A request that could not be delivered, or was answered 502 or 503, is sent again up
    to ``retries`` times with the same Idempotency-Key, so that it is predicted once.  Without
    ``trust_env`` proxies in the environment are not used.
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
        self._session = requests.Session()
        self._session.trust_env = trust_env
        if api_key:
            self._session.headers["X-API-Key"] = api_key

    def __enter__(self) -> Self:
        """Return the client, which is closed on leaving."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def predict(
        self,
        request: Mapping[str, Any] | bytes,
        *,
        content_type: str = JSON,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Return the prediction for ``request``, a JSON object or its encoding.

        Bytes may be anything else, such as an image, which ``content_type`` tells.  A prediction
        that is not JSON is returned as bytes.  Raises PredictionPending when it was not made in
        time (600 s at most), PredictionError when it was refused or failed, ApiUnreachable when
        there was no answer.
        """
        return self._run(
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
    ) -> Stream:
        """Ask for a prediction piece by piece, of a pipeline whose ``predict`` yields.

        To be used with ``with``, and iterated over.  The first piece is waited for ``timeout``
        seconds.  The request is sent once.  Raises as :meth:`predict`, where the iteration begins
        or goes on.
        """
        call = protocol.stream(
            protocol.encode(request), content_type, timeout=self._seconds(timeout)
        )
        return Stream(self, call)

    def submit(
        self,
        request: Mapping[str, Any] | bytes,
        *,
        content_type: str = JSON,
        idempotency_key: str | None = None,
    ) -> str:
        """Queue ``request``; return its task's id as soon as it cannot be lost any more."""
        return self._run(
            protocol.submit(
                protocol.encode(request),
                content_type,
                idempotency_key,
                timeout=self.timeout,
                retries=self.retries,
            )
        )

    def result(self, task_id: str, *, timeout: float | None = None) -> Any:
        """Return the prediction of a task, once it is made; bytes where it is no JSON.

        Raises PredictionPending when it was not made in time, PredictionError when it failed.
        """
        return self._run(
            protocol.result(
                task_id, wait=self._seconds(timeout), timeout=self.timeout, retries=self.retries
            )
        )

    def status(self, task_id: str, *, wait: float = 0.0) -> Task:
        """Return where a task stands now, or once it has ended within ``wait`` seconds.

        Raises PredictionError for an id that is not known.
        """
        return self._run(
            protocol.status(task_id, wait=wait, timeout=self.timeout, retries=self.retries)
        )

    def cancel(self, task_id: str) -> Task:
        """See that a task is not predicted; raises PredictionError when it is too late for that."""
        return self._run(protocol.cancel(task_id, timeout=self.timeout, retries=self.retries))

    def info(self) -> str:
        """Return the text that describes the model (``app/assets/info.txt``)."""
        return self._run(protocol.info(timeout=self.timeout, retries=self.retries))

    def load(self) -> dict[str, Any]:
        """Return how much there is to do, and what was done: what ``GET /health/load`` answers."""
        return self._run(protocol.load(timeout=self.timeout, retries=self.retries))

    def _seconds(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else timeout

    def _run(self, exchange: Exchange[Result]) -> Result:
        try:
            step = next(exchange)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = exchange.send(None)
                    continue
                try:
                    reply = self._send(step)
                except ApiUnreachable as error:
                    step = exchange.throw(error)
                else:
                    step = exchange.send(reply)
        except StopIteration as ended:
            result: Result = ended.value
            return result

    def _send(self, call: Call) -> Reply:
        with self._errors(call):
            return _reply(self._request(call, stream=False))

    def _request(self, call: Call, *, stream: bool) -> requests.Response:
        return self._session.request(
            call.method,
            self.url + call.path,
            data=call.body,
            headers=dict(call.headers),
            timeout=(CONNECT_TIMEOUT_SECONDS, call.seconds),
            allow_redirects=False,
            stream=stream,
        )

    @contextmanager
    def _errors(self, call: Call) -> Iterator[None]:
        """Tell why there is no answer, in denzel's own error."""
        try:
            yield
        except requests.ConnectionError as error:
            raise ApiUnreachable(f"The API at {self.url} cannot be reached") from error
        except requests.Timeout as error:
            raise ApiUnreachable(
                f"The API at {self.url} did not answer within {call.seconds:g} s"
            ) from error
        except requests.RequestException as error:
            raise ApiUnreachable(f"The API at {self.url} gave no usable answer: {error}") from error


class Stream:
    """A prediction that comes in pieces; ``result`` is the whole of it, once all have come.

    To leave the ``with`` block before the end tells the pipeline to stop.
    """

    def __init__(self, client: Client, call: Call) -> None:
        self.result: Any = None
        self._client = client
        self._call = call
        self._response: requests.Response | None = None

    def __enter__(self) -> Self:
        """Return the stream, which is closed on leaving."""
        return self

    def __exit__(
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

    def __iter__(self) -> Iterator[Any]:
        """Send the request; yield each piece as it comes, parsed."""
        with self._client._errors(self._call):
            response = self._response = self._client._request(self._call, stream=True)
            if not response.headers.get("Content-Type", "").startswith(EVENT_STREAM):
                raise protocol.no_stream(_reply(response))
        reader = EventReader()
        try:
            for arrived in response.iter_content(chunk_size=None):
                yield from reader.feed(arrived)
        except requests.RequestException as error:
            raise ApiUnreachable(CUT_OFF) from error
        self.result = reader.close()


def _reply(response: requests.Response) -> Reply:
    headers = {name.lower(): text for name, text in response.headers.items()}
    return Reply(response.status_code, headers, response.content)
