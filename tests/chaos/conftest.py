"""The form the tests take, and the deployment they share."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from .figures import measured
from .stage import Stage

SEED_VARIABLE = "DENZEL_CHAOS_SEED"
FORM_VARIABLE = "DENZEL_CHAOS"

SHORT_SETTINGS = {"RECOVERY_SECONDS": "5"}
SETTINGS = {
    "API_WORKERS": "2",
    "WORKER_CONCURRENCY": "2",
    # A request may meet several deaths here that are not its own doing.
    "MAX_DELIVERIES": "20",
    "CLIENT_TIMEOUT": "5",
}


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Whether this is the long form, of ``tox -e chaos``."""
    return os.environ.get(FORM_VARIABLE) == "long"


@pytest.fixture(scope="session")
def seed() -> int:
    """What all chance follows from; printed, and set with DENZEL_CHAOS_SEED."""
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(10**6))
    print(f"\n{SEED_VARIABLE}={seed}")
    return seed


@pytest.fixture
def rng(seed: int) -> random.Random:
    """Chance that can be repeated."""
    return random.Random(seed)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, is_long: bool) -> Iterator[Stage]:
    """A launched deployment; a test that changes its settings restarts it."""
    stage = Stage(
        tmp_path_factory.mktemp("chaos"), SETTINGS if is_long else {**SETTINGS, **SHORT_SETTINGS}
    )
    try:
        stage.launch()
        yield stage
    finally:
        stage.end()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the figures of one of several processes to the one that prints the summary."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["figures"] = measured


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the figures of a process that has run its tests; pytest-xdist calls this."""
    measured.extend(getattr(node, "workeroutput", {}).get("figures", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures of tests that passed, too."""
    if measured:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(measured))
