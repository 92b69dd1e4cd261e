"""The page at ``/``, used in Chromium as a person would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Browser, Page, expect

from runtime.deployment import Deployment
from runtime.service import bare_environment

from .browser import assert_accessible, opened
from .conftest import KEY
from .proxy import forwarding

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63606060f80f0001050101b6ee56a70000000049454e44ae426082"
)
"""A PNG file of one pixel."""
SIZE = r"""["']?bytes["']?: *{}\b"""
"""How a prediction's size is printed, whatever the language."""
PHONE = {"width": 390, "height": 844}


def predict(page: Page) -> None:
    page.get_by_role("button", name="Predict").click()


def respond_later(page: Page, callback: str) -> None:
    page.get_by_label("Asynchronous").check()
    page.get_by_label("Callback", exact=True).select_option(callback)


def assert_fits(page: Page) -> None:
    """Fail when the page must be scrolled sideways."""
    width = page.evaluate("document.documentElement.scrollWidth")
    assert page.viewport_size is not None
    assert width <= page.viewport_size["width"]


def test_it_loads_and_tells_what_is_there(flowers: Deployment, browser: Browser) -> None:
    with opened(browser, flowers.url) as page:
        assert page.title() == "lab"
        expect(page.locator("#info")).to_contain_text("Model information:")
        expect(page.locator("#state")).to_have_text("ready")
        expect(page.locator("#services")).to_contain_text("worker@lab")
        expect(page.locator(".plot")).to_have_count(4)


def test_a_form_made_from_the_schema_predicts(flowers: Deployment, browser: Browser) -> None:
    with opened(browser, flowers.url) as page:
        expect(page.get_by_label("petal-length")).to_have_value("1.0")  # of EXAMPLE
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_label("id", exact=True).nth(1).fill("b456")
        page.get_by_label("petal-length").nth(1).fill("5.1")
        page.get_by_label("petal-width").nth(1).fill("2.0")
        predict(page)
        expect(page.locator("#answer")).to_contain_text("200 OK")
        expect(page.locator("#answer pre")).to_have_text(
            '{\n  "a123": "Iris-setosa",\n  "b456": "Iris-virginica"\n}'
        )


def test_what_is_refused_is_shown_at_its_field(flowers: Deployment, browser: Browser) -> None:
    with opened(browser, flowers.url) as page:
        field = page.get_by_label("petal-length")
        field.fill("-1")
        predict(page)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
        expect(field).to_have_accessible_description(
            'json_data["data"]["a123"]["petal-length"]: -1 is less than the minimum of 0'
        )
        expect(page.locator("#answer")).to_contain_text("Bad input format")
        field.fill("much")
        predict(page)
        expect(field).to_have_accessible_description("“much” is not a number")
        field.fill("1.5")
        predict(page)
        expect(page.locator("#answer")).to_contain_text("200 OK")
        expect(field).not_to_have_attribute("aria-invalid", "true")


def test_a_request_can_be_written_as_json(flowers: Deployment, browser: Browser) -> None:
    with opened(browser, flowers.url) as page:
        tab = page.get_by_role("tab", name="JSON")
        page.get_by_role("tab", name="Form").press("ArrowRight")
        expect(tab).to_be_focused()
        editor = page.get_by_label("The request, as JSON")
        assert '"petal-length": 1.0' in editor.input_value()
        editor.fill('{"data": {')
        predict(page)
        expect(page.locator("#request-error")).to_contain_text("This is not JSON")
        editor.fill('{"data": {"x": {"petal-length": 3e0, "petal-width": 1}}}')
        predict(page)
        expect(page.locator("#answer pre")).to_have_text('{\n  "x": "Iris-virginica"\n}')
        editor.fill('{"data": {"x": {"petal-length": 3e0, "petal-width": 1}}, "more": 1.0}')
        page.get_by_role("tab", name="Form").click()
        expect(page.get_by_label("petal-length")).to_have_value("3e0")
        tab.click()
        assert '"more": 1.0' in editor.input_value()
        page.get_by_role("tab", name="Form").click()
        page.get_by_role("button", name="Reset").click()
        expect(page.get_by_label("petal-length")).to_have_value("1.0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 900}, PHONE], ids=str)
def test_axe_finds_nothing(
    flowers: Deployment, browser: Browser, scheme: str, viewport: dict[str, int]
) -> None:
    with opened(browser, flowers.url, color_scheme=scheme, viewport=viewport) as page:
        expect(page.locator("#state")).to_have_text("ready")
        assert_accessible(page)
        predict(page)
        expect(page.locator("#answer")).to_contain_text("200 OK")
        page.get_by_label("petal-length").fill("-1")
        respond_later(page, "uri")
        assert_accessible(page)
        predict(page)
        expect(page.locator("#answer")).to_contain_text("Bad input format")
        assert_accessible(page)
        assert_fits(page)
        page.get_by_role("tab", name="JSON").click()
        assert_accessible(page)
        assert_fits(page)


def test_an_image_is_uploaded_and_shown_with_a_key(
    images: Deployment, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "pixel.png").write_bytes(PIXEL)
    with opened(browser, images.url) as page:
        dialog = page.get_by_role("dialog", name="API key")
        expect(dialog).to_be_visible()
        assert_accessible(page)
        dialog.get_by_label("Key", exact=True).fill("dz_wrong")
        dialog.get_by_role("button", name="Use it").click()
        page.get_by_label("image").set_input_files(tmp_path / "pixel.png")
        expect(page.get_by_alt_text("The image", exact=True)).to_be_visible()
        predict(page)
        expect(dialog).to_contain_text("The API does not know this key.")
        dialog.get_by_label("Key", exact=True).fill(KEY)
        dialog.get_by_role("button", name="Use it").click()
        predict(page)
        expect(page.locator("#answer pre")).to_contain_text(f'"bytes": {len(PIXEL)}')
        shown = page.get_by_alt_text("The image image")
        assert shown.evaluate("image => image.naturalWidth") == 1
        expect(page.locator("#state")).to_have_text("ready")


def enter_key(page: Page) -> None:
    dialog = page.get_by_role("dialog", name="API key")
    dialog.get_by_label("Key", exact=True).fill(KEY)
    dialog.get_by_role("button", name="Use it").click()


def test_an_asynchronous_request_is_followed_to_its_callback(
    images: Deployment, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "pixel.png").write_bytes(PIXEL)
    with opened(browser, images.url) as page:
        enter_key(page)
        page.get_by_label("image").set_input_files(tmp_path / "pixel.png")
        respond_later(page, "page")
        predict(page)
        steps = page.locator(".timeline li")
        expect(steps).to_have_count(4)
        expect(steps.nth(3)).to_have_attribute("data-reached", "true")
        task_id = page.locator(".task code").inner_text()
        expect(page.get_by_label("The callback's head")).to_contain_text(
            f"Denzel-Task-Id: {task_id}"
        )
        expect(page.get_by_label("The callback's body")).to_contain_text(f'"bytes": {len(PIXEL)}')
        assert_accessible(page)


@pytest.mark.parametrize("delivery", ["Synchronous", "Asynchronous"])
@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript"])
def test_the_code_does_what_the_page_does(
    images: Deployment, browser: Browser, tmp_path: Path, language: str, delivery: str
) -> None:
    (tmp_path / "pixel.png").write_bytes(PIXEL)
    with opened(browser, images.url) as page:
        enter_key(page)
        page.get_by_label("image").set_input_files(tmp_path / "pixel.png")
        page.get_by_label("note").fill("it's “so”")
        page.get_by_label(delivery, exact=True).check()
        page.get_by_role("tab", name=language).click()
        code = page.locator("#code").inner_text()
    assert KEY not in code
    printed = run(language, code, tmp_path)
    if language == "curl" and delivery == "Asynchronous":
        assert json.loads(printed.splitlines()[0])["status"] == "success"
    else:
        assert re.search(SIZE.format(len(PIXEL)), printed)


def run(language: str, code: str, directory: Path) -> str:
    """Run what the page shows; return what it prints."""
    node = compute_driver_executable()
    (directory / "code.mjs").write_text(code, encoding="utf-8")
    commands: dict[str, list[Any]] = {
        "curl": ["bash", "-c", f'curl() {{ command curl -sS "$@"; echo; }}\n{code}'],
        "Python": [sys.executable, "-c", code],
        "JavaScript": [node[0] if isinstance(node, tuple) else node, "code.mjs"],
    }
    done = subprocess.run(
        commands[language], cwd=directory, capture_output=True, text=True, timeout=60,
        env={**bare_environment(), "DENZEL_API_KEY": KEY, "PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("field", ["", "image"])
def test_a_file_is_sent_as_it_is_and_its_answer_shown(
    pictures: Deployment, browser: Browser, tmp_path: Path, field: str
) -> None:
    (tmp_path / "pixel.png").write_bytes(PIXEL)
    with opened(browser, pictures.url) as page:
        expect(page.get_by_role("tab", name="Form")).to_be_hidden()
        predict(page)
        expect(page.locator("#request-error")).to_have_text("Choose a file first.")
        page.get_by_label("Choose a file").set_input_files(tmp_path / "pixel.png")
        page.get_by_label("Form field").fill(field)
        for delivery in ("Synchronous", "Asynchronous"):
            page.get_by_label(delivery, exact=True).check()
            predict(page)
            shown = page.get_by_alt_text("The prediction")
            expect(shown).to_be_visible()
            assert shown.evaluate("image => image.naturalWidth") == 1
            assert_accessible(page)
            assert_fits(page)
        expect(page.get_by_label("The callback's head")).to_contain_text("Content-Type: image/png")
        page.get_by_label("Synchronous", exact=True).check()
        codes = {}
        for language in ("curl", "Python", "JavaScript"):
            page.get_by_role("tab", name=language).click()
            codes[language] = page.locator("#code").inner_text()
    for language, code in codes.items():
        run(language, code, tmp_path)
        assert (tmp_path / "prediction").read_bytes() == PIXEL
        (tmp_path / "prediction").unlink()


def test_an_answer_in_pieces_is_shown_as_it_comes(words: Deployment, browser: Browser) -> None:
    with opened(browser, words.url) as page:
        editor = page.get_by_label("The request, as JSON")
        editor.fill('{"words": ["to ", "be "], "seconds": 2}')
        predict(page)
        pieces = page.get_by_label("The pieces, as they came")
        expect(pieces).to_have_text("to be")
        expect(page.locator("#predict")).to_be_disabled()  # it goes on
        expect(page.get_by_label("The prediction, as JSON")).to_contain_text('"words": 2')
        expect(pieces).to_have_text("to be")
        assert_accessible(page)
        editor.fill('{"words": ["or "], "raises": true}')
        predict(page)
        expect(page.locator("#answer")).to_contain_text("Prediction failed")
        expect(pieces).to_have_text("or")


def test_a_long_request_is_saved_as_a_file_for_the_code(
    images: Deployment, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "long.png").write_bytes(PIXEL + bytes(9000))
    with opened(browser, images.url) as page:
        enter_key(page)
        page.get_by_label("image").set_input_files(tmp_path / "long.png")
        page.get_by_role("tab", name="Python").click()
        code = page.locator("#code").inner_text()
        with page.expect_download() as download:
            page.get_by_role("link", name="Save request.json").click()
        download.value.save_as(tmp_path / "request.json")
    assert re.search(SIZE.format(len(PIXEL) + 9000), run("Python", code, tmp_path))


def test_it_works_behind_a_proxy_that_changes_the_host(
    flowers: Deployment, browser: Browser
) -> None:
    with forwarding(flowers.url) as url, opened(browser, url) as page:
        predict(page)
        expect(page.locator("#answer")).to_contain_text("200 OK")


def test_a_dead_worker_shows(flowers: Deployment, browser: Browser) -> None:
    with opened(browser, flowers.url) as page:
        expect(page.locator("#state")).to_have_text("ready")
        flowers.services["denzel"].stop()
        try:
            expect(page.locator("#state")).to_have_text("not ready")
            expect(page.locator("#services")).to_contain_text("No worker is there")
            predict(page)
            expect(page.locator("#answer")).to_contain_text("Prediction timed out")
        finally:
            flowers.start_worker()
        expect(page.locator("#state")).to_have_text("ready")
