"""Show a page in the user's browser."""

from __future__ import annotations

import os
import sys
import webbrowser

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def open_page(url: str) -> bool:
    """Open ``url`` in a window; False where there is no screen to open one on.

    A browser that would run in this very terminal is not started.
    """
    if not (sys.platform == "darwin" or any(map(os.environ.get, DISPLAYS))):
        return False
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
