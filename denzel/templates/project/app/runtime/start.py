"""Run a module as ``python -m`` does, but keep files of the user's from standing in for others.

``python -P app/runtime/start.py MODULE ARGUMENT...``, from the project's directory.  ``python -m``
looks for every module in the current directory first: a ``queue.py`` or ``redis.py`` that the user
keeps there would be taken for Python's or Redis's.  Here Python's modules and installed packages
come first, the project's directory last.  ``app`` is the project's own all the same, whatever a
package may install under that name.
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the module that the first argument names, with the other arguments."""
    root = str(Path.cwd())
    sys.path.insert(0, root)
    import app  # noqa: F401 - from the project: its modules are looked for in its directory

    sys.path.remove(root)
    sys.path.append(root)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
