"""What pip's words mean."""

from __future__ import annotations

import pytest

from app.runtime.bootstrap.pip_output import explain_pip, unavailable_package


def test_a_conflict_in_pips_words_is_put_in_one_line() -> None:
    output = """
Collecting celery[redis]==5.7.0
ERROR: Cannot install -r app/runtime/requirements.txt (line 3) and packaging<25 because these \
package versions have conflicting dependencies.

The conflict is caused by:
    The user requested packaging<25
    kombu[redis] 5.7.0 depends on packaging==26.3
    The user requested packaging<25
    kombu[redis] 5.7.0 depends on packaging==26.3

Additionally, some packages in these conflicts have no matching distributions available
To fix this you could try to:
1. loosen the range of package versions you've specified
ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/
""".splitlines()
    assert explain_pip(output).endswith(
        "or with itself: "
        "The user requested packaging<25; kombu[redis] 5.7.0 depends on packaging==26.3"
    )


def test_an_older_pips_conflict_is_told_without_the_address_of_a_package() -> None:
    output = """
ERROR: Cannot install celery 5.7.0 (from a) and celery==5.4.0 because of conflicting dependencies.

The conflict is caused by:
    The user requested celery==5.4.0
    celery[redis] 5.7.0 (from https://host.example/c.whl (from https://host.example/s/) (x:>=3))

To fix this you could try to:
""".splitlines()
    assert explain_pip(output).endswith(
        "or with itself: The user requested celery==5.4.0; celery[redis] 5.7.0"
    )


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (["ERROR: first", "ERROR: No matching distribution found for x"],
         "pip install failed: No matching distribution found for x"),
        (["error: subprocess-exited-with-error", "× Preparing metadata did not run successfully.",
          "note: This error originates from a subprocess, and is likely not a problem with pip."],
         "pip install failed: Preparing metadata did not run successfully."),
        (["something else"], "pip install failed: something else"),
        ([], "pip install failed: no output"),
        (["", "  "], "pip install failed: no output"),
    ],
)  # fmt: skip
def test_any_other_failure_is_pips_last_error(output: list[str], reason: str) -> None:
    assert explain_pip(output) == reason


@pytest.mark.parametrize(
    ("output", "package"),
    [
        (["ERROR: Could not find a version that satisfies the requirement tensorflow==2.15 (from "
          "versions: 2.20.0)", "ERROR: No matching distribution found for tensorflow==2.15"],
         "tensorflow==2.15"),
        (['ERROR: No matching distribution found for a>=1; python_version > "3"'], "a>=1"),
        (["Collecting numba==0.56.4", "  Getting requirements to build wheel: finished",
          "  error: subprocess-exited-with-error",
          "  × Getting requirements to build wheel did not run successfully."], "numba==0.56.4"),
        (["  ERROR: Failed building wheel for psycopg2", "Failed to build psycopg2"], "psycopg2"),
        (["error: failed-wheel-build-for-install", "× Failed to build installable wheels for some "
          "pyproject.toml based projects", "Failed to build 'psycopg2' when installing build"],
         "psycopg2"),
        (["ERROR: Could not install packages due to an OSError: No space left on device"], ""),
    ],
)  # fmt: skip
def test_the_package_that_has_no_wheel_is_found(output: list[str], package: str) -> None:
    assert unavailable_package(output) == package


def test_each_side_of_a_conflict_says_who_wants_it() -> None:
    output = """
The conflict is caused by:
    The user requested redis==8.1.0
    The user requested redis==5.0.0
    The user requested (constraint) numpy==2.0
""".splitlines()
    assert explain_pip(output, ["redis==8.1.0"]).endswith(
        "denzel needs redis==8.1.0; The user requested redis==5.0.0; "
        "requirements.lock holds numpy==2.0"
    )
