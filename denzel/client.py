"""Ask a running API for predictions, as its users do: over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from denzel.errors import PredictionError, ServiceError, UsageError
from denzel.polling import polls
from denzel.templates.project.app.runtime.settings import Settings

CONNECT_TIMEOUT_SECONDS = 5.0
FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}
SHOWN_BODY = 500
UNAUTHORIZED = 401


@dataclass(frozen=True)
class Answer:
    """What the API answered a prediction with: ``value`` is the parsed JSON body."""

    value: Any
    task_id: str | None = None


def api_url(settings: Settings) -> str:
    """Return where the project's API is reached from this machine."""
    return _url(settings.api_host, settings.api_port)


def monitor_url(settings: Settings) -> str:
    """Return where the project's monitoring page is reached from this machine."""
    return _url(settings.monitor_host, settings.monitor_port)


def parse_body(text: bytes, source: str) -> bytes:
    """Return ``text`` if it is JSON; raise UsageError, naming ``source``, if it is not."""
    try:
        json.loads(text)
    except RecursionError:
        return text  # it may well be JSON; the API says how deep it may be nested
    except ValueError as error:
        raise UsageError(f"{source} does not hold JSON: {error}") from error
    return text


class Client:
    """Talks to one API; ``timeout`` bounds each prediction as a whole, in seconds.

    ``key`` is an API key, for a deployment that asks for one.
    """

    def __init__(self, url: str, *, timeout: float, key: str = "") -> None:
        self.url = url
        self.timeout = timeout
        self.session = requests.Session()
        # A proxy from the environment must not get between this machine and its own API.
        self.session.trust_env = False
        if key:
            self.session.headers["X-API-Key"] = key

    def predict(self, body: bytes) -> Answer:
        """Return the API's answer to ``body``; raises PredictionError when it is an error."""
        return self._post(body, {})

    def predict_async(self, body: bytes, waiting: Callable[[str, str], None]) -> Answer:
        """Queue a prediction and return its result once it is made.

        ``waiting`` is called with the task's id and state whenever the state changed.
        """
        accepted = self._post(body, {"Prefer": "respond-async"})
        task_id = _accepted_task(accepted.value)
        if task_id is None:
            return accepted
        return Answer(self._wait(task_id, waiting), task_id)

    def _post(self, body: bytes, headers: dict[str, str]) -> Answer:
        headers = {"Content-Type": "application/json", **headers}
        response = self._request("POST", "/predict", data=body, headers=headers)
        value = _body(response)
        if not response.ok:
            raise PredictionError(_error_text(response, value))
        return Answer(value, _accepted_task(value))

    def _wait(self, task_id: str, waiting: Callable[[str, str], None]) -> Any:
        shown = ""
        for _ in polls(0.02, timeout=self.timeout, longest=1.0):
            response = self._request("GET", f"/status/{task_id}")
            value = _body(response)
            if not response.ok or not isinstance(value, dict):
                raise PredictionError(_error_text(response, value))
            state = str(value.get("status"))
            if state in FINAL_STATES:
                return _final_result(task_id, state, value.get("result"))
            if state != shown:
                waiting(task_id, state)
                shown = state
        raise PredictionError(
            f"Prediction {task_id} is still {shown} after {self.timeout:g} s; ask again with "
            f"`curl {self.url}/status/{task_id}`, and see `denzel status` for the worker"
        )

    def _request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        try:
            return self.session.request(
                method,
                self.url + path,
                timeout=(CONNECT_TIMEOUT_SECONDS, self.timeout),
                allow_redirects=False,
                **arguments,
            )
        except requests.ConnectionError as error:
            raise ServiceError(
                f"The API at {self.url} cannot be reached; `denzel status` shows whether it is up"
            ) from error
        except requests.Timeout as error:
            raise ServiceError(
                f"The API at {self.url} did not answer within {self.timeout:g} s"
            ) from error
        except requests.RequestException as error:
            raise ServiceError(f"The API at {self.url} gave no usable answer: {error}") from error


def _url(host: str, port: int) -> str:
    shown = ANY_ADDRESS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _body(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def _accepted_task(value: Any) -> str | None:
    """Return the task's id when ``value`` says that a prediction was queued."""
    if (
        isinstance(value, dict)
        and set(value) == {"status", "data"}
        and value["status"] == "success"
    ):
        data = value["data"]
        if isinstance(data, dict) and isinstance(data.get("task_id"), str):
            return str(data["task_id"])
    return None


def _final_result(task_id: str, state: str, result: Any) -> Any:
    if state == "SUCCESS":
        return result
    reason = result
    if isinstance(result, dict):
        arguments = ", ".join(str(item) for item in result.get("args", []))
        kind = result.get("type")
        reason = f"{kind}: {arguments}" if kind else arguments
    raise PredictionError(f"Prediction {task_id} ended in {state}: {reason}")


def _error_text(response: requests.Response, value: Any) -> str:
    """Return a refusal as ``status title: description``, else the start of its body."""
    if isinstance(value, dict) and "title" in value:
        text = f"{response.status_code} {value['title']}"
        text += f": {value['description']}" if value.get("description") else ""
        text += f" (task {value['task_id']})" if value.get("task_id") else ""
    else:
        text = f"{response.status_code} {response.reason}: {str(value)[:SHOWN_BODY]}"
    if response.status_code == UNAUTHORIZED:
        return f"{text}; give one as --api-key, or in the variable DENZEL_API_KEY"
    retry_after = response.headers.get("Retry-After")
    return text + (f"; try again in {retry_after} s" if retry_after else "")
