"""Where each process of the tests looks for free ports."""

from __future__ import annotations

import os

FIRST_PORT = 21000 + os.getpid() % 100 * 100
"""Of a hundred that no process started near this one looks at: between the look and the use of a
port, another could take it.  All lie below those the system gives away by itself."""
