"""Why a service cannot start, or an image for release cannot be built."""

REASON = "denzel: "
"""Begins the line that says why a step of a build failed."""


class PreparationFailed(Exception):
    """The service cannot start; the text is shown by ``denzel status``."""
