"""What can go wrong while measuring."""


class BenchmarkError(Exception):
    """A measurement could not be made; the text says why and what to do about it."""
