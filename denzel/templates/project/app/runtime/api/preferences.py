"""The ``Prefer`` request header (RFC 7240): ``respond-async`` and ``wait=N``."""

from __future__ import annotations

from dataclasses import dataclass

MAX_WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Preference:
    """How a request wants to be answered; ``wait`` is in seconds."""

    respond_async: bool = False
    wait: float | None = None

    @property
    def applied(self) -> str:
        """The ``Preference-Applied`` header's value, empty when there is none."""
        words = ["respond-async"] if self.respond_async else []
        words += [f"wait={self.wait:g}"] if self.wait is not None else []
        return ", ".join(words)


NO_PREFERENCE = Preference()


def parse_prefer(header: str | None) -> Preference:
    """Return the preferences in a ``Prefer`` header; what is not understood is ignored."""
    if not header:
        return NO_PREFERENCE
    words = [word.split(";")[0].strip() for word in header.lower().split(",")]
    waits = [_seconds(word) for word in words if word.replace(" ", "").startswith("wait=")]
    known = [wait for wait in waits if wait is not None]
    return Preference("respond-async" in words, known[0] if known else None)


def _seconds(word: str) -> float | None:
    """Return a wait's length; a whole number of seconds (RFC 7240, section 4.3)."""
    text = word.partition("=")[2].strip().strip('"')
    return min(float(text), MAX_WAIT_SECONDS) if text.isascii() and text.isdigit() else None
