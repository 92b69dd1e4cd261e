"""Imports go one way: cli, commands, operations, backends, process; what all share lies below."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import denzel

PACKAGE = Path(denzel.__file__).parent

LAYERS = [
    {"denzel.__main__"},
    {"denzel.cli"},
    {"denzel.commands"},
    {"denzel.demo"},
    {"denzel.console"},
    {"denzel.operations", "denzel.upgrade", "denzel.doctor", "denzel.apikeys"},
    {"denzel.scaffold", "denzel.client", "denzel.backends"},
    {"denzel.process", "denzel.ports"},
    {"denzel.project", "denzel.settings"},
    {"denzel.services", "denzel.errors", "denzel.polling", "denzel.templates"},
    {"denzel"},
]
"""From the top down; a module may import from its own layer and those below."""

RUNS_PROGRAMS = {"denzel.process"}
PRINTS = {"denzel.cli", "denzel.commands", "denzel.console", "denzel.demo"}


def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of each module of the command line, by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("denzel", *path.relative_to(PACKAGE).with_suffix("").parts)
        if "project" not in parts[2:] and "examples" not in parts and "gpu" not in parts:
            name = ".".join(parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def layer(module: str) -> int:
    """Return how deep a module lies, by its longest known prefix."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for depth, names in enumerate(LAYERS):
            if prefix in names and (prefix != "denzel" or module == "denzel"):
                return depth
    raise AssertionError(f"{module} has no layer yet: give it one in {__file__}")


def imported(tree: ast.Module) -> set[str]:
    """Return what a module imports, anywhere in it but for type checking alone."""
    typing_only = {
        node
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test) == "TYPE_CHECKING"
        for node in ast.walk(test)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def known(names: set[str]) -> set[str]:
    """Return those of ``names`` that are modules of the command line."""
    everything = modules().keys()
    return {name for name in names if name in everything}


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_module_imports_from_above(module: str) -> None:
    for name in known(imported(modules()[module])):
        assert layer(name) >= layer(module), f"{module} imports {name}, which lies above it"


def test_one_module_runs_external_programs() -> None:
    users = {name for name, tree in modules().items() if "subprocess" in imported(tree)}
    assert users == RUNS_PROGRAMS


def test_only_the_command_line_prints() -> None:
    users = {name for name, tree in modules().items() if "click" in imported(tree)}
    users = {".".join(name.split(".")[:2]) for name in users}
    calls = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert users | calls <= PRINTS
