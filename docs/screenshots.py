"""Make the pictures of the page: ``python docs/screenshots.py URL``, of a running deployment.

The deployment is that of ``denzel startproject digits --example digits``, launched with
``--local --wait``, so that URL is http://localhost:8000.  It is given requests for a while, so that
there is something to plot.  Needs Chromium on PATH, and ``pip install playwright pillow``.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import threading
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

PICTURES = Path(__file__).parent / "_static"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1180, "height": 920}
PHONE = {"width": 390, "height": 780}
LOAD_SECONDS = 100
PAUSES = (0.02, 0.05, 0.01, 0.08, 0.03)
"""Seconds between requests, each for a part of the time."""
COLOURS = 128
"""Of so many colours are the pictures, so that they are small."""


def keep_busy(url: str, body: bytes, ended: threading.Event) -> None:
    """Send requests, more at times and fewer at others, until told to end."""
    request = urllib.request.Request(f"{url}/predict", body)
    started = time.monotonic()
    while not ended.is_set():
        urllib.request.urlopen(request, timeout=30).read()
        part = int((time.monotonic() - started) / 12) % len(PAUSES)
        ended.wait(PAUSES[part])


def example(url: str) -> bytes:
    """Return the request that the deployment has as its example."""
    with urllib.request.urlopen(f"{url}/page/config", timeout=30) as answer:
        return str(json.load(answer)["example"]).encode()


def predict(page: Page, delivery: str) -> None:
    """Predict in one of the two ways, and wait for the answer."""
    page.get_by_label(delivery, exact=True).check()
    page.get_by_role("button", name="Predict").click()
    page.locator("#answer pre").last.wait_for()


def save(page: Page, name: str, until: str = "") -> None:
    """Save the top of the page in few colours: a window's height, or all above an element."""
    page.evaluate("scrollTo(0, 0)")
    box = page.locator(until).bounding_box() if until else None
    clip = box and {"x": 0, "y": 0, "width": DESKTOP["width"], "height": box["y"]}
    picture = page.screenshot(full_page=bool(clip), clip=clip)
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    small = image.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(PICTURES / f"page_{name}.png", optimize=True)


def take(browser: Browser, url: str) -> None:
    """Take every picture."""
    pages = {}
    for name, scheme, viewport in (
        ("light", "light", DESKTOP), ("dark", "dark", DESKTOP), ("phone", "light", PHONE),
    ):  # fmt: skip
        pages[name] = browser.new_page(color_scheme=scheme, viewport=viewport)
        pages[name].goto(url)
        pages[name].locator("#state[data-state=UP]").wait_for()
    pages["light"].wait_for_timeout(LOAD_SECONDS * 1000)  # the plots fill up
    predict(pages["light"], "Synchronous")
    save(pages["light"], "light", until="section:has(#info)")
    predict(pages["dark"], "Asynchronous")
    pages["dark"].get_by_label("The callback's body").wait_for()
    save(pages["dark"], "dark")
    save(pages["phone"], "phone")


def main(url: str) -> None:
    """Take the pictures of the deployment at a URL."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit("There is no Chromium on PATH")
    ended = threading.Event()
    busy = threading.Thread(target=keep_busy, args=(url, example(url), ended))
    busy.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            take(browser, url)
            browser.close()
    finally:
        ended.set()
        busy.join()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
