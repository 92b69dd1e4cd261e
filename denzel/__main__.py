"""Run the command line as ``python -m denzel``."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - run from a clone, nothing else has looked
    sys.exit("Error: denzel needs Python 3.11 or newer; this is " + sys.version.split()[0])

from denzel.cli import main

if __name__ == "__main__":
    main()
