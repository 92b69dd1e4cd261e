"""Directives that take their text from the code, so that the two cannot differ.

``.. command:: NAME`` documents one command of the command line, from click;
``.. settings::`` documents every setting, from the settings table.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from denzel.commands import COMMANDS
from denzel.templates.project.app.runtime.settings import SETTINGS, Setting


class GeneratedDirective(SphinxDirective):
    """Parses reStructuredText made from code as if it stood in the page."""

    def parse(self, lines: Iterable[str], source: str) -> list[nodes.Node]:
        """Return the nodes of ``lines``; ``source`` is named in warnings about them."""
        container = nodes.Element()
        self.state.nested_parse(StringList(list(lines), source=source), 0, container)
        return container.children


class CommandDirective(GeneratedDirective):
    """Usage, description and options of one command."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return what click knows about the command."""
        name = self.arguments[0]
        if name not in COMMANDS:
            raise self.error(f"denzel has no command {name!r}")
        return self.parse(command_lines(name, COMMANDS[name].load(name)), f"denzel {name}")


def command_lines(name: str, command: click.Command) -> list[str]:
    """Return one command's reference as reStructuredText."""
    context = click.Context(command, info_name=f"denzel {name}")
    usage = " ".join([f"denzel {name}", *command.collect_usage_pieces(context)])
    lines = [f".. program:: denzel {name}", "", ".. code-block:: console", "", f"   $ {usage}", ""]
    lines += inspect.cleandoc(command.help or "").replace("\b", "").splitlines()
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option):
            names, meaning = record
            lines += ["", f".. option:: {names.replace(' / ', ', ')}", "", f"   {meaning}"]
    return lines


class SettingsDirective(GeneratedDirective):
    """Every line that ``.env`` and ``.env.secrets`` may hold."""

    def run(self) -> list[nodes.Node]:
        """Return the settings table's text."""
        lines = [line for setting in SETTINGS for line in setting_lines(setting)]
        return self.parse(lines, "settings table")


def setting_lines(setting: Setting) -> list[str]:
    """Return one setting's reference as reStructuredText."""
    default = f"``{setting.default}``" if setting.default else "empty"
    return [
        f".. envvar:: {setting.name}",
        "",
        f"   {plain(setting.meaning)}",
        "",
        f"   Takes {plain(setting.takes)}. "
        + ("A line of ``.env.secrets``." if setting.secret else f"Default: {default}."),
        "",
    ]


def plain(text: str) -> str:
    """Return ``text`` with no word that reStructuredText would take for a reference."""
    return re.sub(r"(?<=\w)_(?!\w)", r"\\_", text)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directives with Sphinx."""
    app.add_directive("command", CommandDirective)
    app.add_directive("settings", SettingsDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
