"""Run the command line as ``python -m denzel``."""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - run from a clone, nothing else has looked
    sys.exit("Error: denzel needs Python 3.11 or newer; this is " + sys.version.split()[0])

# Python looks for modules in the current directory first, which may be a project's: a ``queue.py``
# of the user's is not Python's.
try:
    here = os.getcwd()  # noqa: PTH109 - pathlib would be looked for there, too
except FileNotFoundError:  # it was removed: nothing is looked for in it
    here = ""
if sys.path[:1] == [here]:
    del sys.path[0]

from denzel.cli import main

if __name__ == "__main__":
    main()
