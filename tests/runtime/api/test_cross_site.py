"""What a stranger's web page may ask, with the API's own application and no Redis."""

from __future__ import annotations

from pathlib import Path

import pytest
from falcon.testing import Result, TestClient

from app.runtime.api.app import create_app
from app.runtime.settings import parse_settings

from ..template import TEMPLATE

LOCAL = {"API_HOST": "127.0.0.1"}
EVERYWHERE = {"API_HOST": "0.0.0.0"}
PAGE = "https://app.example"
KEY = "API_KEYS"
HASH = "shop:" + "0" * 64


@pytest.fixture(autouse=True)
def in_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the project's files where the API looks for them, and its state elsewhere."""
    monkeypatch.chdir(TEMPLATE)
    monkeypatch.setenv("DENZEL_RUN_DIR", str(tmp_path))


def ask(settings: dict[str, str], method: str = "GET", **headers: str) -> Result:
    """Ask an API with these settings for /info, or with another method for a prediction."""
    client = TestClient(create_app(parse_settings(settings)))
    path = "/info" if method == "GET" else "/predict"
    host = headers.pop("Host", "localhost:8000")
    return client.simulate_request(
        method, path, body=b"no JSON", headers=headers, host=host, port=80
    )


@pytest.mark.parametrize(
    "bound",
    [{}, LOCAL, {"API_HOST": "::1"}, {**EVERYWHERE, "API_PUBLISHED": "127.0.0.1"}],
    ids=str,
)
def test_an_api_for_this_machine_answers_under_its_names_alone(bound: dict[str, str]) -> None:
    assert ask(bound).status_code == 200
    assert ask(bound, Host="127.0.0.1:8000").status_code == 200
    refused = ask(bound, Host="evil.example")
    assert (refused.status_code, refused.json["title"]) == (403, "Unknown host")
    assert (
        ask({**bound, "ALLOWED_HOSTS": "Models.example"}, Host="models.example").status_code == 200
    )
    assert ask(bound, "POST", Host="evil.example").status_code == 403


@pytest.mark.parametrize(
    "trusting", [{"TRUSTED_PROXIES": "127.0.0.1"}, {"HTTPS_DOMAIN": "m.example"}]
)
def test_a_page_cannot_vouch_for_its_host_as_a_proxy_on_this_machine_does(
    trusting: dict[str, str],
) -> None:
    """A browser here has a trusted proxy's address; a page in it may send any X-Forwarded-Host."""
    settings = {**LOCAL, "ALLOWED_HOSTS": "models.example", **trusting}
    forwarded = {"X-Forwarded-Host": "models.example"}
    assert ask(settings, Host="evil.example", **forwarded).status_code == 403
    assert ask(settings, Host="127.0.0.1:8000", **forwarded).status_code == 200
    assert ask(settings, Host="models.example", **forwarded).status_code == 200


@pytest.mark.parametrize(
    "bound",
    [EVERYWHERE, {"API_HOST": "::"}, {**EVERYWHERE, "API_PUBLISHED": "192.0.2.1"}],
    ids=str,
)
def test_an_api_for_everybody_answers_under_any_name(bound: dict[str, str]) -> None:
    assert ask(bound, Host="models.example").status_code == 200


@pytest.mark.parametrize("bound", [LOCAL, EVERYWHERE], ids=str)
def test_a_page_of_another_origin_may_not_ask_for_predictions(bound: dict[str, str]) -> None:
    for origin in (PAGE, "null", "http://localhost:3000"):
        refused = ask(bound, "POST", Origin=origin)
        assert (refused.status_code, refused.json["title"]) == (403, "Foreign origin")
        assert "Access-Control-Allow-Origin" not in refused.headers
    assert ask(bound, "POST", Origin="http://localhost:8000").json["title"] == "Malformed JSON"
    assert ask(bound, "POST").json["title"] == "Malformed JSON"


def test_the_browser_itself_tells_of_a_page_behind_a_proxy_that_changes_the_host() -> None:
    """No page can set ``Sec-Fetch-Site``."""
    asked = {"Origin": PAGE, "Sec-Fetch-Site": "same-origin"}
    assert ask(LOCAL, "POST", **asked).json["title"] == "Malformed JSON"
    for site in ("same-site", "cross-site", "none"):
        assert ask(LOCAL, "POST", **{**asked, "Sec-Fetch-Site": site}).status_code == 403
    assert ask(LOCAL, "POST", **asked, Host="evil.example").status_code == 403


@pytest.mark.parametrize(("origins", "shown"), [(f"{PAGE}, http://x", PAGE), ("*", "*")])
def test_cors_origins_lets_pages_in(origins: str, shown: str) -> None:
    settings = {**EVERYWHERE, "CORS_ORIGINS": origins}
    answer = ask(settings, "POST", Origin=PAGE)
    assert answer.json["title"] == "Malformed JSON"
    assert answer.headers["Access-Control-Allow-Origin"] == shown
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"Denzel-Task-Id", "Retry-After", "Preference-Applied", "Accept-Encoding"} <= exposed


def test_an_answer_for_certain_origins_says_that_it_varies() -> None:
    for headers in ({"Origin": PAGE}, {}):
        answer = ask({**EVERYWHERE, "CORS_ORIGINS": PAGE}, **headers)
        assert answer.headers["Vary"] == "Origin"
    assert "Vary" not in ask({**EVERYWHERE, "CORS_ORIGINS": "*"}, Origin=PAGE).headers
    assert "Vary" not in ask(EVERYWHERE, Origin=PAGE).headers


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    ("origins", "credentials", "allowed"),
    [(PAGE, "1", True), (PAGE, "0", False), ("*", "1", False), ("http://x", "1", False)],
)
def test_credentials_are_allowed_to_named_origins_alone(
    method: str, origins: str, credentials: str, allowed: bool
) -> None:
    settings = {**EVERYWHERE, "CORS_ORIGINS": origins, "CORS_CREDENTIALS": credentials}
    preflight = {"Access-Control-Request-Method": "POST"} if method == "OPTIONS" else {}
    answer = ask(settings, method, Origin=PAGE, **preflight)
    assert (answer.headers.get("Access-Control-Allow-Credentials") == "true") is allowed


def test_cors_origins_lets_no_others_in() -> None:
    settings = {**EVERYWHERE, "CORS_ORIGINS": PAGE}
    assert ask(settings, "POST", Origin="https://app.example.evil").status_code == 403


def test_a_browsers_preflight_is_answered_though_it_brings_no_key() -> None:
    settings = {**EVERYWHERE, "CORS_ORIGINS": PAGE, KEY: HASH}
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    answer = ask(settings, "OPTIONS", Origin=PAGE, **asked)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"]
    refused = ask(settings, "POST", Origin=PAGE)
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == PAGE
