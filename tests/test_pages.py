"""Every code block of README, the manual and the other pages is checked, or marked why not.

A block that no check here is for wants a comment before it: ``.. run: not, REASON``.  The pages in
FOLLOWED are followed from end to end by other tests.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml

from denzel.cli import main
from denzel.templates.project.app.runtime.settings import SETTINGS
from documents import TYPED, TYPED_HINTS, Block, blocks, commands

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.rst")), *sorted((ROOT / "docs").glob("*.rst"))]
FOLLOWED = {
    "callbacks.rst": "runtime/test_guides.py",
    "files.rst": "runtime/test_files_guide.py",
    "from_flask.rst": "runtime/test_guides.py",
    "models.rst": "models/test_recipes.py",
    "tutorial.rst": "e2e/test_tutorial.py",
}
TYPED_THERE = {
    "callbacks.rst": ("serve", "stored"),
    "files.rst": ("",),
    "tutorial.rst": ("", "docker", "until-shown", "second-terminal"),
}
"""The hints of the commands that the tests of FOLLOWED type, where they type any."""
NOT_RUN = re.compile(r"not, \S+ \S+")
TEST = re.compile(r"tests/[\w/.]+\w")
PARSERS = {setting.name: setting.parse for setting in SETTINGS}
SHELL = {
    ".", "cd", "cp", "echo", "eval", "export", "git", "ls", "nano", "openssl", "pre-commit",
    "pytest",
}  # fmt: skip
"""Programs whose commands on our pages need no check."""
EXTRAS = set(importlib.metadata.metadata("denzel").get_all("Provides-Extra") or [])
ENDS = {"&&", "||", "|", ";", "(", ")"}
REDIRECTIONS = {">", ">>", "<"}
LITERAL = re.compile(r"``(denzel [a-z-][^`]+)``")
LINK = re.compile(r"https?://[^\s>`\"',)]+")
PICTURE = re.compile(
    r"^( *)\.\. (?:image|figure):: (\S+)\n((?:\1 +:.+\n(?:\1 {6,}\S.*\n)*)*)", re.M
)
LOCAL = re.compile(r"localhost|127\.0\.0\.1|host\.docker\.internal|[a-z0-9-]+|.+\.example")


def routes() -> list[str]:
    """Return the API's paths, as patterns."""
    source = ROOT / "denzel/templates/project/app/runtime/api/app.py"
    found = re.findall(r'add_route\("([^"]+)"', source.read_text(encoding="utf-8"))
    return [re.sub(r"\{.+?\}", r"[^/]+", path) for path in found]


ROUTES = routes()

# -- commands ----------------------------------------------------------------------------


def simple_commands(line: str) -> Iterator[list[str]]:
    """Yield the simple commands of a line that a shell runs, as words."""
    lexer = shlex.shlex(line.replace("\n", " "), posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "#", True
    words: list[str] = []
    for word in chain(lexer, ";"):
        if word in REDIRECTIONS:
            next(lexer)
        elif word not in ENDS:
            words.append(word)
        elif words:
            yield words
            words = []


def parse(words: list[str], *, strict: bool = True) -> None:
    """Have click parse a ``denzel`` command; unless ``strict``, something may be left out."""
    try:
        if words[1].startswith("-"):
            main.make_context("denzel", words[1:])
            return
        with click.Context(main) as context:
            name, command, arguments = main.resolve_command(context, words[1:])
            assert command is not None
            with command.make_context(name, arguments, parent=context):
                pass  # which closes the files that it opened
    except click.exceptions.Exit:
        pass
    except click.NoSuchOption:
        raise
    except (click.MissingParameter, click.BadParameter, click.BadOptionUsage):
        if strict:
            raise


def check_command(words: list[str]) -> str:
    """Return what is wrong with a command; nothing where nothing is."""
    while "=" in words[0] and len(words) > 1:
        words = words[1:]
    program, *arguments = words
    match program:
        case "denzel":
            try:
                parse(words)
            except click.UsageError as error:
                return error.format_message()
        case "curl":
            return next(filter(None, map(check_url, arguments)), "")
        case "pip":
            return next(filter(None, map(check_requirement, arguments)), "")
        case "python3" if arguments[:2] == ["-m", "pip"]:
            return check_command(arguments[1:])
        case "python3" if arguments[:2] == ["-m", "venv"]:
            return ""
        case "tox":
            return check_tox(arguments)
        case _ if program not in SHELL and "=" not in program:
            return f"nothing checks {program!r} here"
    return ""


def check_url(word: str) -> str:
    """Look for the path of a URL of the API."""
    if word.startswith(("http://localhost:8000", "https://predict.example.com")):
        path = urlsplit(word).path
        if not any(re.fullmatch(route, path) for route in ROUTES):
            return f"the API has no {path}"
    return ""


def check_requirement(word: str) -> str:
    """Look for the extras that are asked for of denzel."""
    found = re.fullmatch(r"(?:denzel|\.)\[(.+)\]", word)
    unknown = set(found[1].split(",")) - EXTRAS if found else set()
    return f"denzel has no extra {unknown}" if unknown else ""


def check_tox(arguments: list[str]) -> str:
    """Look for a tox environment."""
    text = (ROOT / "tox.ini").read_text(encoding="utf-8")
    known = {"py312-tests", "py313-tests", *re.findall(r"^\[testenv:([\w-]+)\]", text, re.M)}
    named = [each for option, each in pairwise(arguments) if option == "-e"]
    return "".join(f"there is no environment {name}" for name in named if name not in known)


def check_console(block: Block) -> None:
    """Check the commands of a block, ``denzel``'s also where others are not run."""
    for command in commands(block):
        for words in simple_commands(command.text):
            wrong = check_command(words)
            if block.hint and wrong.startswith("nothing checks"):
                continue
            if block.page in FOLLOWED and wrong.startswith("nothing checks"):
                continue
            assert not wrong, f"{block}: $ {command.text}\n{wrong}"


# -- other languages ---------------------------------------------------------------------


def check_python(block: Block) -> None:
    """Compile a block; find what it imports of denzel."""
    tree = ast.parse(block.text)
    compile(tree, str(block), "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "denzel":
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name), f"{block}: {node.module} has no {alias.name}"


def check_settings(block: Block) -> None:
    """Have the settings' own parsers read the lines of a text block."""
    for line in block.text.splitlines():
        name, equals, value = line.partition("=")
        assert equals and name in PARSERS, f"{block}: {line!r} is no setting; mark the block"
        PARSERS[name](value)


def check_bash(block: Block) -> None:
    """Have bash parse a block, then check its commands."""
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    check_console(block)


CHECKS: dict[str, Callable[[Block], object]] = {
    "bash": check_bash,
    "console": check_console,
    "json": lambda block: json.loads(block.text),
    "python": check_python,
    "shell": check_bash,
    "text": check_settings,
    "yaml": lambda block: list(yaml.safe_load_all(block.text)),
}
"""What is done with a block of each language."""


@pytest.fixture(autouse=True)
def where_readers_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with the request that the pages tell of."""
    (tmp_path / "request.json").write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_checked_or_marked(page: Path) -> None:
    for block in blocks(page):
        if block.hint.startswith("not"):
            assert NOT_RUN.match(block.hint), f"{block}: why is it not run?"
            for test in TEST.findall(block.hint):
                assert (ROOT / test).exists(), f"{block}: there is no {test}"
            if block.language not in ("console", "shell"):
                continue
        elif block.hint:
            followed = page.name in FOLLOWED or block.hint in TYPED_HINTS
            assert followed, f"{block}: no test follows this page"
            if block.language == "text":
                continue
        assert block.language in CHECKS, f"{block}: mark it, nothing checks {block.language!r}"
        CHECKS[block.language](block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_within_sentences_exist(page: Path) -> None:
    for literal in LITERAL.findall(page.read_text(encoding="utf-8")):
        line = re.sub(r"\s+", " ", literal)
        try:
            for words in simple_commands(line):
                parse(words, strict=False)
        except click.UsageError as error:
            pytest.fail(f"{page.name}: ``{line}``: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_typed_by_a_test_or_marked(page: Path) -> None:
    hints = TYPED_THERE.get(page.name, ())
    if str(page.relative_to(ROOT)) in TYPED:
        hints += TYPED_HINTS
    for block in blocks(page):
        if block.is_commands and not block.hint.startswith("not"):
            assert block.hint.split(" ")[0] in hints, f"{block}: no test types it; mark it"


def test_what_follows_a_page_names_it() -> None:
    for page, test in FOLLOWED.items():
        assert page in (ROOT / "tests" / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_are_there_and_have_a_text(page: Path) -> None:
    for _, name, options in PICTURE.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / name).is_file(), f"{page.name}: there is no {name}"
        assert re.search(r":alt: \S+ \S+", options), f"{page.name}: {name} has no alt text"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_are_well_formed(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        parts = urlsplit(link.rstrip(".:;"))
        assert parts.hostname, link
        if not LOCAL.fullmatch(parts.hostname):
            assert parts.scheme == "https", f"{page.name}: {link}"
