"""For which Pythons a package has wheels, from the links that pip passes over."""

from __future__ import annotations

import sys
import sysconfig

import pytest

from app.runtime.bootstrap.wheel_tags import explain_pythons, wheels_for

HERE = sysconfig.get_platform().replace("linux", "manylinux_2_17").replace("-", "_")
OTHERS = [minor for minor in (8, 9, 10) if minor != sys.version_info.minor]


def link(version: str, python: str, platform: str = HERE) -> str:
    tag = f"{python}-{python}-{platform}"
    return (
        f"  Skipping link: none of the wheel's tags ({tag}) are compatible (run pip debug "
        f"--verbose to show compatible tags): https://a.example/b/tensor_flow-{version}-{tag}.whl "
        "(from https://index.example/simple/tensor-flow/) (requires-python:>=3.8)"
    )


def test_wheels_of_this_kind_of_machine_count() -> None:
    links = [link("1.0", f"cp3{minor}") for minor in OTHERS]
    links += [link("1.0", "cp37", "win_amd64"), link("1.0", "cp36", "macosx_10_9_sparc")]
    assert wheels_for(links, "Tensor.Flow", None) == OTHERS


def test_a_pinned_version_has_its_own_wheels() -> None:
    links = [link("1.0", f"cp3{OTHERS[0]}"), link("2.0", f"cp3{OTHERS[1]}")]
    assert wheels_for(links, "tensor-flow", "2.0") == [OTHERS[1]]
    assert wheels_for(links, "tensor-flow", "3.0") == []


def test_other_links_say_nothing() -> None:
    source = "Skipping link: unsupported archive format: https://files.example/x-1.0.rpm"
    assert wheels_for([source, "Found link x"], "x", None) == []
    assert wheels_for([link("1.0", f"cp3{OTHERS[0]}")], "flow", None) == []


@pytest.mark.parametrize(
    ("minors", "listed"), [([9], "3.9,"), ([9, 10], "3.9 and 3.10,"), ([8, 9, 10], "3.8, 3.9 and")]
)
def test_the_pythons_are_listed(minors: list[int], listed: str) -> None:
    told = explain_pythons("a==1", minors, in_container=True)
    assert f"a==1 has wheels for Python {listed}" in told
    # denzel itself does not run on any of these.
    assert told.endswith("ask for another version of it")


def test_a_python_that_denzel_runs_on_is_recommended() -> None:
    inside = explain_pythons("a==1", [10, 11], in_container=True)
    assert inside.endswith("or set BASE_IMAGE=python:3.11-slim in .env")
    outside = explain_pythons("a==1", [10, 11], in_container=False)
    assert outside.endswith("or install denzel with Python 3.11")
