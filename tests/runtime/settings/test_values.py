"""The settings table and how it is read."""

from __future__ import annotations

import dataclasses
import re

import pytest

from app.runtime.settings import INTERNAL, SETTINGS, SettingError, Settings, parse_settings

REFUSED = {
    "PROJECT_NAME": ["Upper", "with space", "-begins", "ümlaut", "a/b"],
    "API_PORT": ["0", "65536", "-1", "http", "80.5"],
    "API_HOST": ["localhost", "127.0.0.l", "1.2.3", "10.0.0.1:80"],
    "MONITOR_HOST": ["localhost", "127.0.0.l", "::g"],
    "GPU": ["2", "maybe"],
    "WORKERS_PER_GPU": ["0", "auto"],
    "GPU_COUNT": ["0", "-1", "1,2", "auto"],
    "API_WORKERS": ["0", "-1", "many"],
    "WORKER_CONCURRENCY": ["0", "1.5"],
    "MODEL_LOAD_TIMEOUT": ["0", "nan", "-5", "inf", "soon"],
    "MAX_BODY_MB": ["0", "nan", "-1"],
    "MAX_JSON_DEPTH": ["0", "901"],
    "RESULT_TTL": ["0", "-1", "1.5"],
    "CALLBACK_TIMEOUT": ["0", "nan"],
    "CALLBACK_ALLOW": ["10.1.0.1/8", "10.0.0.0/33", "http://a.example", "a.example:80", "a b"],
    "LOG_LEVEL": ["loud"],
    "TRUSTED_PROXIES": ["*", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.256", "http://a", "a b", "::g"],
    "HTTPS_DOMAIN": [
        "https://a.example",
        "a.example:443",
        "-a.example",
        "a..example",
        "a b",
        "*.a",
    ],
    "API_PREFIX": [
        "/with space",
        "/a#b",
        "/a/../b",
        "https://a.example/b",
        "/{name}",
        "/.",
        "iris",
        "/",
        "/iris/",
    ],
}


def test_each_setting_has_a_field_and_a_default_that_can_be_used() -> None:
    settings = parse_settings({})
    names = [setting.name.lower() for setting in SETTINGS + INTERNAL]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(Settings))
    assert len(set(names)) == len(names)
    assert settings.worker_name == "worker@denzel"


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in REFUSED.items() for t in texts])
def test_a_value_that_cannot_be_used_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{name}={re.escape(text)} cannot be used: it takes "):
        parse_settings({name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CALLBACK_SECRET", "secret"), ("CALLBACK_SECRET", "whsec_c2hvcnQ="),
        ("MONITOR_PASSWORD", "se:cret"),
    ],
)  # fmt: skip
def test_a_secret_that_cannot_be_used_is_not_shown(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} cannot be used: it takes ") as refusal:
        parse_settings({name: text})
    assert text not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "  ", "\t"])
def test_an_empty_value_is_the_default(text: str) -> None:
    assert parse_settings({setting.name: text for setting in SETTINGS}) == parse_settings({})


def test_unknown_names_are_ignored() -> None:
    assert parse_settings({"PATH": "/bin", "SOMETHING": "else"}) == parse_settings({})


def test_values_are_parsed() -> None:
    values = {
        "GPU": "YES", "API_WORKERS": "AUTO", "WORKER_CONCURRENCY": " 3 ", "LOG_LEVEL": "DEBUG",
        "MAX_BODY_MB": "0.5", "PROJECT_NAME": "iris_classifier-2",
    }  # fmt: skip
    settings = parse_settings(values)
    assert settings.gpu is True
    assert settings.api_workers == 0
    assert settings.worker_concurrency == 3
    assert settings.log_level == "debug"
    assert settings.max_body_bytes == 2**19
    assert settings.worker_name == "worker@iris_classifier-2"


def test_proxies_are_addresses_networks_and_names() -> None:
    text = "10.0.0.0/8, 192.0.2.1,2001:DB8::1, Nginx ,proxy.example,"
    expected = ("10.0.0.0/8", "192.0.2.1", "2001:db8::1", "nginx", "proxy.example")
    assert parse_settings({"TRUSTED_PROXIES": text}).trusted_proxies == expected


def test_https_implies_whom_to_trust_a_name_and_a_path() -> None:
    values = {"HTTPS_DOMAIN": "Models.Example", "ALLOWED_HOSTS": "other.example"}
    assert parse_settings(values).monitor_prefix == ""  # it is served to nobody there
    settings = parse_settings({**values, "MONITOR_USER": "admin"})
    assert settings.trusted_proxies == ("127.0.0.1", "::1")
    assert settings.allowed_hosts == ("other.example", "models.example")
    assert settings.monitor_prefix == "/monitor"
    inside = {"HTTPS_DOMAIN": "models.example", "DENZEL_BACKEND": "docker", "MONITOR_PREFIX": "/m"}
    assert parse_settings(inside).trusted_proxies == ("https",)
    assert parse_settings(inside).monitor_prefix == "/m"
    assert parse_settings({"MONITOR_USER": "admin"}).serves_monitor is False
