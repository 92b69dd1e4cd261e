"""What is required anew while services run goes into an environment beside theirs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .project import Project

SHOW = "import sys, userpart; print(userpart.VALUE, sys.prefix)"


def show(environment: Path) -> list[str]:
    """Return the version of the package that an environment's Python imports, and where it is."""
    command = [str(environment / "bin" / "python"), "-c", SHOW]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def install(project: Project) -> int:
    return project.run("api", "--install", "check", program=()).returncode


def first(project: Project) -> Path:
    return Path(project.environment["DENZEL_VENV"])


def others(project: Project) -> list[str]:
    return sorted(path.name for path in (first(project) / "others").glob("[0-9]*"))


def test_a_new_requirement_leaves_what_services_use_as_it_is(installed: Project) -> None:
    used, beside = first(installed), first(installed) / "others" / "1"
    (used / "bin" / "tool").write_text(f"#!{used}/bin/python\n")
    installed.require("userpart==2.0")
    assert install(installed) == 0
    assert show(used) == ["1.0", str(used)]
    assert show(beside) == ["2.0", str(beside)]
    assert (beside / "bin" / "tool").read_text() == f"#!{beside}/bin/python\n"
    # What did not change was not installed again: it is the same file.
    packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    name = next(path.name for path in (used / packages).glob("shared*.py"))
    assert (beside / packages / name).samefile(used / packages / name)
    runs = installed.pip_runs()
    assert installed.run("api").stdout.splitlines()[-1] == "running with 2.0"
    assert installed.pip_runs() == runs
    assert others(installed) == ["1"]


def test_a_requirement_that_fails_leaves_nothing(installed: Project) -> None:
    installed.require("nosuchpackage")
    assert install(installed) == 1
    assert others(installed) == []


def test_environments_that_nobody_used_lately_go(installed: Project) -> None:
    for extra in range(5):
        installed.require("userpart==2.0", f"# {extra}")
        assert install(installed) == 0
    assert others(installed) == ["3", "4", "5"]
