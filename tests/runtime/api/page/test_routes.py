"""What answers for the page, with the API's own application and no Redis."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from falcon.testing import Result, TestClient

from app.runtime.api.app import create_app
from app.runtime.api.page.routes import FILES, read_files
from app.runtime.settings import parse_settings

from ...template import TEMPLATE

KEY = "dz_key"
KEYS = {"API_KEYS": f"shop:{hashlib.sha256(KEY.encode()).hexdigest()}"}
TOKEN = "0b1c2d3e-0000-4000-8000-000000000000"


@pytest.fixture(autouse=True)
def in_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the project's files where the API looks for them, and its state elsewhere."""
    monkeypatch.chdir(TEMPLATE)
    monkeypatch.setenv("DENZEL_RUN_DIR", str(tmp_path))


def ask(path: str, settings: dict[str, str] | None = None, *, known: str = "") -> Result:
    headers = {"If-None-Match": known} if known else {}
    client = TestClient(create_app(parse_settings(settings or {})))
    return client.simulate_get(path, headers=headers, host="localhost", port=8000)


@pytest.mark.parametrize("name", ["", *(f"page/{name}" for name in sorted(read_files()))])
def test_files_are_served_under_a_strict_policy(name: str) -> None:
    answer = ask(f"/{name}")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy and "http" not in policy


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in FILES.iterdir():
        text = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+", text)) - {
            "http://www.w3.org",  # a namespace
            "http://page.denzel.invalid",
            "https://receiver.example",
        }
        assert not addresses, path.name


def test_a_browser_that_has_a_file_is_not_sent_it_again() -> None:
    etag = ask("/page/main.js").headers["etag"]
    again = ask("/page/main.js", known=etag)
    assert (again.status_code, again.content) == (304, b"")


def test_links_begin_with_the_path_that_a_proxy_publishes_the_api_at() -> None:
    assert '<base href="/">' in ask("/").text
    settings = {"API_PREFIX": "/iris", "MONITOR_PREFIX": "/iris/monitor"}
    assert '<base href="/iris/">' in ask("/", settings).text
    assert ask("/iris/page/main.js", settings).status_code == 200
    assert ask("/openapi.json", settings).json["servers"] == [{"url": "/iris"}]
    assert ask("/page/config", settings).json["monitor"]["prefix"] == "/iris/monitor"


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/config"])
def test_a_setting_switches_the_page_off(path: str) -> None:
    assert ask(path, {"PAGE": "0"}).status_code == 404


def test_the_page_needs_no_key_and_what_it_asks_for_does() -> None:
    for path in ("/", "/page/main.js", "/page/config"):
        assert ask(path, KEYS).status_code == 200
    assert ask(f"/page/received/{TOKEN}", KEYS).status_code == 401
    assert ask("/", {**KEYS, "PAGE": "0"}).status_code == 401


def test_files_that_are_not_the_pages_are_not_served() -> None:
    for path in ("/page/routes.py", "/page/..%2froutes.py", "/page/%2e%2e/routes.py"):
        assert ask(path).status_code == 404


def test_the_monitor_is_where_it_is_published() -> None:
    published = {"PUBLISHED_PORTS": "9000,9001", "MONITOR_PUBLISHED": "0.0.0.0"}
    monitor = ask("/page/config", published).json["monitor"]
    assert (monitor["port"], monitor["is_local"]) == (9001, False)
    assert ask("/page/config").json["monitor"]["is_local"]
