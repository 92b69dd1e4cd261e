"""Say what is wrong with the user's code, and what to do about it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from app.runtime.contract import text_of
from app.runtime.gpus.errors import is_out_of_memory

LOGIC = Path("app/logic")

PACKAGES = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "MeCab": "mecab-python3",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "google.protobuf": "protobuf",
    "imblearn": "imbalanced-learn",
    "magic": "python-magic",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "umap": "umap-learn",
    "yaml": "PyYAML",
}
"""Packages whose name on PyPI is not their module's with - for _."""

LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libsndfile.so.1": "libsndfile1",
    "libxcb.so.1": "libxcb1",
}
"""Debian's packages of libraries that packages on PyPI need and leave out."""

NO_GPU_MEMORY = (
    "The GPU's memory does not suffice (`nvidia-smi` shows who has it): in .env, fewer "
    "WORKERS_PER_GPU leave more to each process, and a smaller BATCH_MAX_SIZE makes batches smaller"
)

_NOT_FOUND = re.compile(r"(?P<name>lib\S+\.so[.\d]*): cannot open shared object file")
"""What the dynamic linker says (``dlerror``, in glibc's English)."""
_UNPICKLABLE = re.compile(r"Can't get attribute '(?P<name>[^']+)' on (?P<module><module '.+)")


def describe(error: BaseException) -> str:
    """Return ``Type: message`` on one line, and what to do where that is known."""
    message = " ".join(text_of(error).split())
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    hint = advice(error)
    return f"{text.rstrip('.')}. {hint}" if hint else text


def advice(error: BaseException) -> str:
    """Return what to do about an exception of the pipeline; empty where that is not known."""
    if is_out_of_memory(error):
        return NO_GPU_MEMORY
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing_module(error.name)
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        return _missing_file(Path(error.filename))
    if isinstance(error, ImportError | OSError):
        found = _NOT_FOUND.search(text_of(error))
        return _missing_library(found["name"]) if found else ""
    if isinstance(error, AttributeError):
        found = _UNPICKLABLE.search(text_of(error))
        return _pickled_in_main(found["name"]) if found and _is_main(found["module"]) else ""
    return ""


def _missing_module(name: str) -> str:
    top = name.partition(".")[0]
    if top == "app":
        path = name.replace(".", "/")
        return f"The project has no file {path}.py and no folder {path}"
    if (LOGIC / f"{top}.py").exists() or (LOGIC / top).is_dir():
        return f"It is in {LOGIC}, so import it with `from app.logic import {top}`"
    package = PACKAGES.get(name) or PACKAGES.get(top) or top.replace("_", "-")
    return (
        f"If it comes from PyPI, add the line `{package}` to requirements.txt; "
        "`denzel updatepipreqs` installs it for running services"
    )


def _missing_library(name: str) -> str:
    package = LIBRARIES.get(name)
    if package is None:
        return f"Add a command to requirements.sh that installs {name}; then `denzel updateosreqs`"
    return (
        f"Add the line `apt-get update && apt-get install --yes {package}` to requirements.sh and "
        f"run `denzel updateosreqs`; with local processes, install {package} on this machine"
    )


def _missing_file(path: Path) -> str:
    """Return which file of the project is probably meant: one at the end of the path, or an asset.

    A path of the author's own machine is the usual mistake, since a container has no such path.
    """
    parts = path.parts[1:] if path.is_absolute() else path.parts
    ends = (Path(*parts[first:]) for first in range(len(parts)))
    for candidate in (*ends, Path("app/assets", path.name)):
        if candidate.is_file():
            return f"Paths are relative to the project's directory: {candidate} is there"
    return ""


def _is_main(module: str) -> bool:
    """Return whether a module's repr is that of ``__main__``.

    Run with ``python -m``, as the worker is, ``__main__`` shows the name it was found under.
    """
    return module.startswith(("<module '__main__'", repr(sys.modules["__main__"])))


def _pickled_in_main(name: str) -> str:
    return (
        f"The pickle was made where {name} was defined in a notebook or script (__main__): move "
        f"{name} into a file such as app/logic/model.py, import it from there "
        f"(`from app.logic.model import {name}`), and pickle the object again"
    )
