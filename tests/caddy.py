"""What tests of HTTPS need: a Caddy of this machine, and requests that trust its authority."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import urllib3

DOMAIN = "predict.example.test"

needs_caddy = pytest.mark.skipif(shutil.which("caddy") is None, reason="there is no caddy on PATH")


def ask(port: int, path: str, root: Path, **options: Any) -> urllib3.BaseHTTPResponse:
    """Ask Caddy at a port of this machine for a path of DOMAIN; ``root`` is whom to trust."""
    options["headers"] = {"Host": f"{DOMAIN}:{port}", **options.pop("headers", {})}
    with urllib3.HTTPSConnectionPool(
        "127.0.0.1", port, ca_certs=str(root), server_hostname=DOMAIN, assert_hostname=DOMAIN,
        retries=False, timeout=30,
    ) as pool:  # fmt: skip
        return pool.request(options.pop("method", "GET"), path, redirect=False, **options)


def title(answer: urllib3.BaseHTTPResponse) -> str:
    """Return the title in an answer's JSON."""
    return str(json.loads(answer.data)["title"])
