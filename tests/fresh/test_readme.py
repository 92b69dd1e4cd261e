"""README's two lines on Debian systems with nothing but git, Python, its venv and its pip.

The systems are made from Debian's packages by debootstrap, and run as containers: Debian 12 and 13,
whose Python refuses to install packages, as Ubuntu's does from 23.04 on.  Root and a Docker engine
are needed for that.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from engine import docker, require_engine

ROOT = Path(__file__).parents[2]
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
PACKAGES = "ca-certificates,git,python3,python3-venv,python3-pip"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SECONDS = 1500
BEFORE = {
    "nothing else": "true",
    "a virtual environment is active": "python3 -m venv ~/mine && . ~/mine/bin/activate",
    # Conda's own Python comes from no registry of Python packages; this is how a shell sees it.
    "conda is active": "python3 -m venv ~/conda && mkdir ~/conda/conda-meta && "
    "export PATH=~/conda/bin:$PATH CONDA_PREFIX=~/conda CONDA_DEFAULT_ENV=base",
}


def line_under(heading: str) -> str:
    """Return the one command that README shows under a heading."""
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    section = text.partition(f"{heading}\n---")[2]
    found = re.search(r"::\n\n    (.+)\n\n", section)
    assert found
    return found[1]


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def system(request: pytest.FixtureRequest) -> str:
    """The image of a system, made when it is not here."""
    require_engine()
    if shutil.which("debootstrap") is None or os.getuid() != 0:
        pytest.skip("systems are made by root with debootstrap")
    name = f"denzel-fresh:{request.param}"
    if not docker("images", "--quiet", name):
        with tempfile.TemporaryDirectory() as directory:
            tree = Path(directory) / "root"
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}"]
            subprocess.run([*command, request.param, str(tree), MIRROR], check=True)
            if CERTIFICATES.exists():  # what this machine trusts, so that pip works inside, too
                shutil.copy(CERTIFICATES, tree / str(CERTIFICATES).lstrip("/"))
            archive = subprocess.Popen(["tar", "-C", str(tree), "-c", "."], stdout=subprocess.PIPE)
            subprocess.run(["docker", "import", "-", name], stdin=archive.stdout, check=True)
            assert archive.wait() == 0
    return name


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository, as it is committed."""
    target = tmp_path_factory.mktemp("clone") / "denzel"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(target)], check=True)
    return target


def run(system: str, clone: Path, command: str) -> str:
    """Run a command as an ordinary user in a clone on a system; return what it printed."""
    script = (
        "useradd --create-home user && cp -r /source /home/user/denzel && "
        'chown -R user: /home/user && cd /home/user/denzel && exec su user -c "$COMMAND"'
    )
    done = subprocess.run(
        [
            "docker", "run", "--rm", "--init", "--volume", f"{clone}:/source:ro",
            "--env", f"COMMAND={command}", "--env", f"PIP_CERT={CERTIFICATES}",
            system, "sh", "-c", script,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
def test_the_demo_answers(system: str, clone: Path, before: str) -> None:
    end = "denzel demo --shutdown"
    printed = run(system, clone, f"{before} && {line_under('See it work')} && {end}")
    assert "a123: Iris-setosa" in printed
    assert "The demo is shut down" in printed


def test_the_tests_start(system: str, clone: Path) -> None:
    line = line_under("Run the tests")
    assert line.endswith("&& tox")
    assert "congratulations" in run(system, clone, f"{line} -e lint")
