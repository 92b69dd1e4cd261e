"""The benchmarks are no part of the installed package; they are found in the clone."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
