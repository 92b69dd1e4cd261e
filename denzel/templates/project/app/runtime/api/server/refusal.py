"""Refusals of the server itself: requests that never reach the application."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import orjson


@dataclass(frozen=True)
class Refusal:
    """An answer in the form of all errors, after which the connection ends."""

    status: int
    description: str
    title: str = ""

    @property
    def shown_title(self) -> str:
        """The body's title: the status's own words unless the API has others for it."""
        return self.title or HTTPStatus(self.status).phrase

    @property
    def body(self) -> bytes:
        """The body, as JSON."""
        return orjson.dumps({"title": self.shown_title, "description": self.description})

    def encode(self, headers: str = "") -> bytes:
        """Return the whole response; ``headers`` are further lines of its head."""
        body = self.body
        head = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"connection: close\r\n{headers}\r\n"
        )
        return head.encode() + body


NOT_HTTP = Refusal(400, "The request is not valid HTTP")


class Refused(Exception):
    """Ends the parsing of a request."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.description)
        self.refusal = refusal
