"""A real Chromium, without a window, that looks at the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = "no Chromium on PATH: apt-get install chromium"
PATIENCE_MILLISECONDS = 20_000
FAILED_ANSWER = "Failed to load resource"
"""What Chromium says of every answer of 400 and above, whatever the page makes of it."""
IMPACTS = ("moderate", "serious", "critical")


def find_browser() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def launched(program: str) -> Iterator[Browser]:
    """Yield a running browser."""
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        # Its sandbox does not work for root, whom continuous integration is.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Yield the page at a URL; fails when it logs an error or a warning, or raises anything."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(FAILED_ANSWER):
            problems.append(message.text)

    page = context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    expect(page.locator("#project")).not_to_have_text("…")
    try:
        yield page
    finally:
        context.close()
    assert not problems, "\n".join(problems)


def assert_accessible(page: Page) -> None:
    """Fail when axe-core finds something that keeps people from using the page."""
    found = Axe().run(page).response["violations"]
    told = [
        f"{each['impact']}: {each['id']}: {each['help']}: {node['target']}"
        for each in found
        if each["impact"] in IMPACTS
        for node in each["nodes"]
    ]
    assert not told, "\n".join(told)
