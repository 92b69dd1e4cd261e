"""Why a service cannot start."""


class PreparationFailed(Exception):
    """The service cannot start; the text is shown by ``denzel status``."""
