"""Where a project's API and monitoring page are reached from this machine."""

from __future__ import annotations

from denzel.templates.project.app.runtime.settings import Settings

ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}


def api_url(settings: Settings) -> str:
    """Return where the project's API is reached from this machine."""
    return _url(settings.api_host, settings.api_port)


def monitor_url(settings: Settings) -> str:
    """Return where the project's monitoring page is reached from this machine."""
    return _url(settings.monitor_host, settings.monitor_port)


def _url(host: str, port: int) -> str:
    shown = ANY_ADDRESS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
