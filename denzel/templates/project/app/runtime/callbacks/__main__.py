"""``python -m app.runtime.callbacks``."""

import sys

from app.runtime.callbacks.main import main

if __name__ == "__main__":
    sys.exit(main())
