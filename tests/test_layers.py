"""Imports go one way, in the command line and in the project's runtime: see .importlinter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS = ".importlinter"
RUNTIME = "denzel/templates/project/app/runtime"

VIOLATIONS = {
    "denzel/services.py": ("denzel.operations", "Command line: commands, operations"),
    "denzel/backends/local/layout.py": ("denzel.backends.docker", "backends do not know each"),
    "denzel/upgrade.py": ("subprocess", "denzel.process alone runs external programs"),
    "denzel/scaffold.py": ("click", "below the console prints nothing"),
    "denzel/versions.py": ("click", "below the console prints nothing"),
    f"{RUNTIME}/store/keys.py": ("app.runtime.requests", "Runtime: what all share"),
    f"{RUNTIME}/monitor.py": ("app.runtime.worker", "Runtime: what all share"),
    f"{RUNTIME}/pipeline/json_codec.py": ("redis", "pipeline knows neither Redis nor HTTP"),
    f"{RUNTIME}/requests/lookup.py": ("app.runtime.pipeline", "Runtime: what all share"),
    f"{RUNTIME}/settings/parsers.py": ("app.runtime.bootstrap", "Runtime: what all share"),
    f"{RUNTIME}/pipeline/plan.py": ("app.runtime.redis_socket", "pipeline knows neither Redis"),
    f"{RUNTIME}/bootstrap/environment.py": ("app.runtime.contract", "bootstrap needs no package"),
    f"{RUNTIME}/bootstrap/pins.py": ("orjson", "bootstrap needs no package"),
}
"""File to what it may not import, and a part of the broken contract's name."""


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts on the packages in ``root``."""
    program = Path(sys.executable).with_name("lint-imports")
    paths = [root, root / "denzel" / "templates" / "project"]
    return subprocess.run(
        [program, "--no-cache", CONTRACTS],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )


def test_imports_go_one_way() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def violated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what is said of a copy of the code in which every contract is broken."""
    root = tmp_path_factory.mktemp("violated")
    shutil.copy(ROOT / CONTRACTS, root)
    shutil.copytree(ROOT / "denzel", root / "denzel", ignore=shutil.ignore_patterns("*cache*"))
    for name, (module, _) in VIOLATIONS.items():
        with (root / name).open("a", encoding="utf-8") as file:
            file.write(f"\n\ndef late() -> None:\n    import {module}\n")
    done = lint_imports(root)
    assert done.returncode != 0
    return done.stdout


@pytest.mark.parametrize(("file", "module", "contract"), [
    (file, *broken) for file, broken in VIOLATIONS.items()
])  # fmt: skip
def test_an_import_from_above_is_seen(violated: str, file: str, module: str, contract: str) -> None:
    importer = file.removeprefix("denzel/templates/project/").removesuffix(".py").replace("/", ".")
    assert f"{importer} -> {module} " in violated
    broken = violated.split("Broken contracts")[1]
    assert any(contract in line for line in broken.splitlines())
