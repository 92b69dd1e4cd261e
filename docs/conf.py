"""Sphinx configuration; build with ``sphinx-build -W docs docs/_build``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import denzel  # noqa: E402

project = "denzel"
version = release = denzel.__version__
copyright = "the denzel authors"
html_title = f"denzel {version}"
html_theme = "furo"
html_static_path = ["_static"]
extensions = ["reference", "sphinx.ext.autodoc", "sphinx_design"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# The standard library's documentation is not looked up: it would need a network.
nitpick_ignore_regex = [("py:.*", r"(?!denzel\.).*")]
exclude_patterns = ["_build", "requirements.txt"]
nitpicky = True
smartquotes_action = "qe"  # leaves the dashes of --options alone
highlight_language = "text"
