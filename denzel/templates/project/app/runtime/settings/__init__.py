"""The deployment's settings, all from ``.env``.

Compose and denzel pass them on as environment variables.  The standard library alone is used.
"""

from .parsers import PROJECT_NAME_PATTERN
from .processors import available_processors
from .table import INTERNAL, SETTINGS, Setting
from .values import SettingError, Settings, load_settings, parse_settings, run_directory

__all__ = [
    "INTERNAL",
    "PROJECT_NAME_PATTERN",
    "SETTINGS",
    "Setting",
    "SettingError",
    "Settings",
    "available_processors",
    "load_settings",
    "parse_settings",
    "run_directory",
]
