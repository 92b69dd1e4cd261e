"""``python -m app.runtime.admin``."""

import sys

from app.runtime.admin.control import main

if __name__ == "__main__":
    sys.exit(main())
