"""``.env`` and ``.env.secrets`` of a new project are the settings table, written out."""

from __future__ import annotations

import io

import dotenv
import pytest

from denzel.settings import (
    SECRETS,
    SETTINGS,
    new_secrets,
    project_values,
    render_env,
    render_secrets,
)
from denzel.templates.project.app.runtime.settings import SettingError, parse_settings


def written(**values: str) -> dict[str, str | None]:
    """Return what a reader of the rendered ``.env`` finds."""
    return dict(dotenv.dotenv_values(stream=io.StringIO(render_env(values)), interpolate=False))


def test_every_setting_is_written_with_its_default() -> None:
    assert written() == {
        setting.name: setting.default for setting in SETTINGS if not setting.secret
    }


def test_secrets_are_written_into_a_file_of_their_own() -> None:
    text = render_secrets({"REDIS_PASSWORD": "sesame"})
    found = dotenv.dotenv_values(stream=io.StringIO(text), interpolate=False)
    assert found.keys() == SECRETS
    assert found["REDIS_PASSWORD"] == "sesame"


def test_new_secrets_are_those_that_are_missing() -> None:
    assert new_secrets({}).keys() == {"REDIS_PASSWORD", "CALLBACK_SECRET"}
    parse_settings(new_secrets({}))
    known = {"REDIS_PASSWORD": "a", "CALLBACK_SECRET": "b"}
    assert new_secrets(known) == {}
    assert new_secrets({**known, "MONITOR_USER": "ann"}).keys() == {"MONITOR_PASSWORD"}
    assert new_secrets({}) != new_secrets({})


def test_every_setting_has_its_meaning_as_a_comment() -> None:
    lines = [*render_env({}).splitlines(), *render_secrets({}).splitlines()]
    text = " ".join(line.removeprefix("# ") for line in lines)
    for setting in SETTINGS:
        assert setting.meaning in text
        assert setting.takes in text


def test_lines_are_short_enough_to_read() -> None:
    assert max(len(line) for line in render_env({}).splitlines()) <= 104


def test_a_project_has_its_own_name_and_image() -> None:
    values = written(**project_values("iris", gpu=False))
    assert (values["PROJECT_NAME"], values["IMAGE"], values["GPU"]) == ("iris", "iris:1.0.0", "0")


def test_a_gpu_project_is_built_from_cuda() -> None:
    values = written(**project_values("iris", gpu=True))
    assert values["GPU"] == "1"
    assert str(values["BASE_IMAGE"]).startswith("nvidia/cuda:")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_default_is_a_value_the_setting_takes(setting) -> None:  # type: ignore[no-untyped-def]
    parse_settings({setting.name: setting.default})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("API_PORT", "0"),
        ("API_PORT", "65536"),
        ("MONITOR_PORT", "http"),
        ("PROJECT_NAME", "My Shop"),
        ("GPU", "maybe"),
        ("MODEL_LOAD_TIMEOUT", "nan"),
        ("MAX_BODY_MB", "-1"),
        ("LOG_LEVEL", "loud"),
        ("API_WORKERS", "0"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"{name}={text} cannot be used: it takes"):
        parse_settings({name: text})
