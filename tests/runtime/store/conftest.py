"""What the tests of the store share with those of the requests."""

from __future__ import annotations

from ..requests.conftest import api

__all__ = ["api"]
