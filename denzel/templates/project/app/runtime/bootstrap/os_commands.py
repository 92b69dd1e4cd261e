"""requirements.sh: shell commands of the user's, run as root, once in each container.

It changes the machine, so it is never run on one that is not a container ($DENZEL_OS_COMMANDS, the
directory of its stamp, is set in the image alone).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from app.runtime.bootstrap.commands import run_logged
from app.runtime.bootstrap.errors import PreparationFailed
from app.runtime.bootstrap.paths import OS_REQUIREMENTS, os_log, writable_project
from app.runtime.bootstrap.privileges import give_new_files_to_owner
from app.runtime.bootstrap.stamps import fingerprint, read_stamp, write_stamp
from app.runtime.state import OS_COMMANDS, write_state


def has_commands(script: Path = OS_REQUIREMENTS) -> bool:
    """Tell whether a shell script holds anything but comments and blank lines."""
    if not script.exists():
        return False
    lines = script.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.strip() and not line.strip().startswith("#") for line in lines)


def commands_due(*, force: bool = False) -> bool:
    """Tell whether requirements.sh is to be run in this container now."""
    if not os.environ.get("DENZEL_OS_COMMANDS") or not has_commands():
        return False
    return force or read_stamp(_stamp()).get("installed") != fingerprint([OS_REQUIREMENTS])


def run_os_commands(service: str, *, force: bool = False) -> None:
    """Run all of requirements.sh with bash, once in this container.

    Its current directory is the project's, where it may write.  ``force`` runs it again although it
    did not change.  Raises PreparationFailed.
    """
    if not commands_due(force=force):
        return
    write_state(service, OS_COMMANDS)
    code, tail = _run(service)
    give_new_files_to_owner(writable_project())
    if code:
        raise PreparationFailed(
            f"requirements.sh ended with exit code {code}: {tail[-1]} (see {os_log(service)})"
        )
    write_stamp(_stamp(), {"installed": fingerprint([OS_REQUIREMENTS])})


def _run(service: str) -> tuple[int, list[str]]:
    project, script = writable_project(), OS_REQUIREMENTS.read_bytes()
    if b"\r\n" not in script:
        return run_logged(["bash", str(OS_REQUIREMENTS.absolute())], os_log(service), cwd=project)
    # Written by an editor on Windows, or checked out there; bash takes no carriage returns.
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / OS_REQUIREMENTS.name
        copy.write_bytes(script.replace(b"\r\n", b"\n"))
        return run_logged(["bash", str(copy)], os_log(service), cwd=project)


def _stamp() -> Path:
    return Path(os.environ.get("DENZEL_OS_COMMANDS", "")) / "requirements.sh.json"
