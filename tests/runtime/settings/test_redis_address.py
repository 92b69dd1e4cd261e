"""REDIS_URL: the forms it takes, and what is put together with the settings beside it."""

from __future__ import annotations

import pytest

from app.runtime.settings import SettingError, parse_redis_url, parse_settings
from app.runtime.settings.redis_address import RedisAddress

SENTINELS = (("a.example", 26379), ("::1", 26380))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://r.example", RedisAddress((("r.example", 6379),))),
        (
            "rediss://ann:a%3Ab%40@r.example:6380/3",
            RedisAddress(
                (("r.example", 6380),), database=3, username="ann", password="a:b@", tls=True
            ),
        ),
        ("redis://[::1]/0", RedisAddress((("::1", 6379),))),
        ("unix:///run/redis.sock", RedisAddress(socket_path="/run/redis.sock")),
        (
            "unix://:secret@/a%20b.sock?db=2",
            RedisAddress(socket_path="/a b.sock", password="secret", database=2),
        ),
        ("redis+sentinel://a.example,[::1]:26380/lab", RedisAddress(SENTINELS, master="lab")),
        (
            "rediss+sentinel://ann@a.example,[::1]:26380/lab/5",
            RedisAddress(SENTINELS, master="lab", database=5, username="ann", tls=True),
        ),
    ],
)
def test_the_forms_of_a_url(url: str, expected: RedisAddress) -> None:
    assert parse_redis_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "r.example:6379",
        "http://r.example",
        "redis://",
        "redis:///0",
        "redis://r.example:99999",
        "redis://r.example/one",
        "redis://r.example/0/1",
        "redis://a.example,b.example/0",
        "redis+sentinel://a.example,b.example",
        "redis+sentinel://a.example,/lab",
        "unix+sentinel:///lab",
        "rediss://r.example?ssl_cert_reqs=none",
        "unix:///redis.sock?ssl=0",
        "redis://r.example/0#1",
    ],
)
def test_what_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingError, match="REDIS_URL"):
        parse_settings({"REDIS_URL": url})


def test_a_refusal_shows_no_password() -> None:
    with pytest.raises(SettingError) as refused:
        parse_settings({"REDIS_URL": "redis://:secret@r.example/x"})
    assert "secret" not in str(refused.value)


def test_nothing_that_is_shown_holds_a_password() -> None:
    values = {
        "REDIS_URL": "redis+sentinel://ann:one@a.example/lab",
        "REDIS_SENTINEL_PASSWORD": "two",
    }
    address = parse_settings(values).redis
    assert str(address) == "master lab of the Sentinels a.example:26379"
    assert not {"one", "two"} & set(repr(address).replace("'", " ").split())


def test_the_password_may_stand_beside_the_url() -> None:
    settings = {"REDIS_PASSWORD": "beside"}
    assert parse_settings({**settings, "REDIS_URL": "redis://ann@a"}).redis.password == "beside"
    assert parse_settings({**settings, "REDIS_URL": "redis://:mine@a"}).redis.password == "mine"


def test_denzels_own_redis_is_asked_without_a_url() -> None:
    settings = parse_settings({"OWN_REDIS_URL": "redis://redis:6379/0", "REDIS_PASSWORD": "made"})
    assert settings.redis == RedisAddress((("redis", 6379),), password="made")
    assert settings.redis.url == "redis://:made@redis:6379/0"


def test_files_of_certificates_lie_in_the_project() -> None:
    values = {
        "REDIS_URL": "rediss://a", "REDIS_CA": "redis-ca.pem", "REDIS_KEY": "/run/secrets/key",
        "DENZEL_PROJECT": "/srv/denzel",
    }  # fmt: skip
    address = parse_settings(values).redis
    assert (address.ca, address.key) == ("/srv/denzel/redis-ca.pem", "/run/secrets/key")
    assert "rediss" in parse_settings({**values, "REDIS_URL": "redis://a"}).conflict
