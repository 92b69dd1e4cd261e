"""Ask the project's running API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from denzel.errors import ApiUnreachable, PredictionError, PredictionPending
from denzel.project import Project
from denzel.urls import api_url

if TYPE_CHECKING:
    from denzel.client import Client

API_SECONDS = 60.0
UNAUTHORIZED = HTTPStatus.UNAUTHORIZED


@contextmanager
def project_api(project: Project, key: str, *, timeout: float = API_SECONDS) -> Iterator[Client]:
    """Give a client of the project's API; errors get the next command to type.

    ``key`` is an API key, for a deployment that asks for one.
    """
    from denzel.client import Client  # takes a tenth of a second to import

    url = api_url(project.settings)
    # A proxy from the environment must not get between this machine and its own API.
    with Client(url, api_key=key, timeout=timeout, retries=0, trust_env=False) as client:
        try:
            yield client
        except ApiUnreachable as error:
            raise ApiUnreachable(f"{error}; `denzel status` shows whether it is up") from error
        except PredictionError as error:
            error.args = (f"{error}{_next_step(error)}",)
            raise


def _next_step(error: PredictionError) -> str:
    if error.status == UNAUTHORIZED:
        return "; give one as --api-key, or in the variable DENZEL_API_KEY"
    if isinstance(error, PredictionPending) and error.task_id:
        return f"; `denzel result {error.task_id} --wait` waits for it"
    return ""
