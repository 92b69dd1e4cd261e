"""``python -m app.runtime.bootstrap``."""

import sys

from app.runtime.bootstrap.main import main

if __name__ == "__main__":
    sys.exit(main())
