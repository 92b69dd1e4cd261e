"""``python -m app.runtime.worker``."""

import sys

from app.runtime.worker.main import main

if __name__ == "__main__":
    sys.exit(main())
