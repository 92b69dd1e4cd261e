"""Read and write files of ``NAME=value`` lines: a project's ``.env`` and ``.env.secrets``."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from denzel.errors import ProjectError, UsageError

PRIVATE = 0o600
NEEDS_QUOTES = re.compile(r"""^[\s'"]|\s#|[\r\n]|\s$""")


@dataclass(frozen=True)
class EnvFile:
    """One such file; Compose, where it reads it too, takes what follows a ``$`` for a variable.

    A ``private`` one is for its owner alone.
    """

    path: Path
    private: bool = False
    read_by_compose: bool = False

    def read(self, *, lenient: bool = False) -> dict[str, str]:
        """Return what the file sets, unparsed; nothing where there is no such file.

        Raises UsageError for a line, ProjectError for a file that cannot be used; a ``lenient``
        reader passes over both.
        """
        try:
            with self.path.open(encoding="utf-8") as file:
                lines = list(parse_stream(file))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            if lenient:
                return {}
            raise ProjectError(f"{self.path} cannot be read: {error}") from error
        values = {}
        for line in lines:
            flaw = self._flaw(line)
            if flaw and not lenient:
                raise UsageError(f"In {self.path}: {flaw}")
            if line.key and line.value is not None and not flaw:
                values[line.key] = line.value
        return values

    def set(self, values: Mapping[str, str]) -> None:
        """Change or add lines, keep every other line and comment."""
        if values:
            before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            self.write(with_lines(before, values))

    def write(self, text: str) -> None:
        """Replace the whole file in one step."""
        write_atomically(self.path, text.encode(), mode=PRIVATE if self.private else None)

    def _flaw(self, line: Binding) -> str:
        """Return why a line cannot be used; empty when it can."""
        if line.error:
            return (
                f"line {line.original.line} is neither NAME=value nor a comment, or its quotes do "
                "not match"
            )
        if self.read_by_compose and line.value and "$" in line.value:
            return f"{line.key} may not contain a $"
        return ""


def setting_line(name: str, value: str) -> str:
    """Return a line that sets ``name``; quoted where its value would be read otherwise."""
    if not NEEDS_QUOTES.search(value):
        return f"{name}={value}"
    quote = '"' if "'" in value else "'"
    return f"{name}={quote}{value}{quote}"


def with_lines(text: str, values: Mapping[str, str]) -> str:
    """Return such a file's text with lines changed or added, and every other one as it was."""
    known = {line.key for line in parse_stream(io.StringIO(text))}
    text = replace_lines(text, {name: setting_line(name, value) for name, value in values.items()})
    text += "" if not text or text.endswith("\n") else "\n"
    return text + "".join(
        f"{setting_line(name, value)}\n" for name, value in values.items() if name not in known
    )


def replace_lines(text: str, lines: Mapping[str, str]) -> str:
    """Return such a file's text with the line of each name replaced by another."""
    parts = []
    for line in parse_stream(io.StringIO(text)):
        part = line.original.string
        if line.key is not None and line.key in lines:
            # The blank lines before it are a part of what was parsed.
            part = part[: len(part) - len(part.lstrip())] + lines[line.key] + "\n"
        parts.append(part)
    return "".join(parts)


def write_atomically(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace a file in one step: a reader, or a full disk, never finds half of it.

    It keeps its mode, or gets ``mode``, or else the one that any new file gets.
    """
    if mode is None:
        mode = path.stat().st_mode & 0o7777 if path.exists() else default_mode()
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def default_mode() -> int:
    """Return the mode that a new file gets."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask
