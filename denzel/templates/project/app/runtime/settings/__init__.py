"""The deployment's settings, from ``.env`` and, those that are secret, from ``.env.secrets``.

They are environment variables of the services.  The standard library alone is used.
"""

from .parsers import PROJECT_NAME_PATTERN
from .processors import available_processors
from .redis_address import RedisAddress, parse_redis_url
from .table import IN_EITHER_FILE, INTERNAL, SECRETS, SETTINGS, Setting
from .values import SettingError, Settings, load_settings, parse_settings, run_directory

__all__ = [
    "INTERNAL",
    "IN_EITHER_FILE",
    "PROJECT_NAME_PATTERN",
    "SECRETS",
    "SETTINGS",
    "RedisAddress",
    "Setting",
    "SettingError",
    "Settings",
    "available_processors",
    "load_settings",
    "parse_redis_url",
    "parse_settings",
    "run_directory",
]
