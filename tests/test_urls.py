"""Where API and monitor are found."""

from __future__ import annotations

import pytest

from denzel.templates.project.app.runtime.settings import parse_settings
from denzel.urls import api_url, monitor_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("fd00::7", "http://[fd00::7]:8000"),
        ("10.0.0.7", "http://10.0.0.7:8000"),
    ],
)
def test_the_api_is_asked_where_it_listens(host: str, url: str) -> None:
    assert api_url(parse_settings({"API_HOST": host})) == url


def test_the_monitor_has_its_own_port() -> None:
    assert monitor_url(parse_settings({"MONITOR_PORT": "5556"})) == "http://127.0.0.1:5556"
