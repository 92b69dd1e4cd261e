"""Every command, setting, endpoint, error and state has its place in the documentation."""

import re
from pathlib import Path

import pytest

from denzel.commands import COMMANDS
from denzel.services import State
from denzel.templates import example_names
from denzel.templates.project.app.runtime.metrics.table import COUNTED, PREFIX
from denzel.templates.project.app.runtime.settings import SETTINGS

ROOT = Path(__file__).parent.parent
APP = ROOT / "denzel" / "templates" / "project" / "app" / "runtime"


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.rst").read_text(encoding="utf-8")


def headings(text: str) -> list[str]:
    return re.findall(r"^(.+)\n(?:-{3,}|\^{3,}|={3,})$", text, re.MULTILINE)


def test_each_command_has_its_section() -> None:
    text = page("cli")
    for name in COMMANDS:
        assert f".. _{name}:\n\n{name}\n{'-' * len(name)}\n\n.. command:: {name}\n" in text


def test_no_section_describes_a_command_that_is_not_there() -> None:
    documented = re.findall(r"^\.\. command:: (\w+)$", page("cli"), re.MULTILINE)
    assert sorted(documented) == sorted(COMMANDS)


def test_each_example_has_its_line() -> None:
    section = page("cli").partition(".. command:: startproject\n")[2].partition(".. _launch:")[0]
    assert re.findall(r"^``(\w+)``  ", section, re.MULTILINE) == list(example_names()[1:])


def test_settings_page_is_made_from_the_table() -> None:
    assert re.search(r"^\.\. settings::$", page("settings"), re.MULTILINE)


def test_pages_mention_existing_settings_alone() -> None:
    names = {setting.name for setting in SETTINGS}
    for path in (ROOT / "docs").glob("*.rst"):
        mentioned = set(re.findall(r":envvar:`(\w+)`", path.read_text(encoding="utf-8")))
        assert mentioned <= names, path.name


def test_each_endpoint_has_its_section() -> None:
    routes = re.findall(
        r'add_route\("([^"]+)"', (APP / "api" / "app.py").read_text(encoding="utf-8")
    )
    sections = [heading.strip("`").split()[-1] for heading in headings(page("endpoints"))]
    assert routes
    assert set(routes) <= set(sections)


def test_each_metric_is_described() -> None:
    described = page("monitoring")
    source = (APP / "metrics" / "exposition.py").read_text(encoding="utf-8")
    gauges = re.findall(r'PREFIX \+ "(\w+)"', source) + re.findall(
        r'^    \("(\w+)", "', source, re.M
    )
    assert len(gauges) > 6
    for name in [*gauges, *(metric.name for metric in COUNTED)]:
        assert f"``{PREFIX}{name}``" in described, name


def test_each_error_is_described() -> None:
    source = (APP / "api" / "errors.py").read_text(encoding="utf-8")
    errors = re.findall(r'^    status = (\d+)\n    title = "(.+)"$', source, re.MULTILINE)
    described = re.sub(r"\s+", " ", page("endpoints"))
    assert ("400", "Bad input format") in errors
    for status, title in errors:
        if title != "Internal error":
            row = f"* - {status} - {title} "
            sentence = f"answered {status} ``{title}``"
            assert row in described or sentence in described, title


@pytest.mark.parametrize("state", State)
def test_each_state_is_explained(state: State) -> None:
    assert re.search(rf"^``{re.escape(state)}`` ", page("cli"), re.MULTILINE)
