"""``python -m app.runtime.admin``; ``response`` needs the standard library alone."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["response"]:
        from app.runtime.admin.response import main
    else:
        from app.runtime.admin.control import main
    sys.exit(main())
