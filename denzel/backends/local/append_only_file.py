"""Redis's append-only file after a power failure: zero bytes at its end keep Redis from starting.

A file system may have made a file longer and not have written what belongs there.  Redis had not
confirmed that either, so nothing is lost with it; any other damage is for the user to decide on.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from denzel import process
from denzel.errors import CommandError

CHECKER = "redis-check-aof"
"""A Redis or Valkey server that is called by this name checks files instead of serving."""
LAST_COMMAND = re.compile(r"ok_up_to=(\d+)")
HEADER = re.compile(rb"([*$])(\d{1,20})\r\n")
UNFINISHED_HEADER = re.compile(rb"[*$]\d{0,20}\r?")


@dataclass(frozen=True)
class AppendOnlyFile:
    """The file that Redis appends to now, and the program that checks it."""

    path: Path
    checker: Path

    @classmethod
    def of(cls, data: Path, server: Path, programs: Path) -> AppendOnlyFile | None:
        """Return the last of the append-only files in ``data``; None while there is none.

        The checker is put into ``programs``; it is ``server`` under another name.
        """
        directory = data / "appendonlydir"
        for manifest in directory.glob("*.manifest"):
            text = manifest.read_text(encoding="utf-8", errors="replace")
            names = re.findall(r"(?m)^file (\S+) seq \d+ type i", text)
            if names and (directory / names[-1]).is_file():
                checker = programs / CHECKER
                checker.unlink(missing_ok=True)
                checker.symlink_to(server)
                return cls(directory / names[-1], checker)
        return None

    def repair(self) -> str:
        """Cut off zero bytes at the end; return what was cut off, empty when nothing was.

        An unfinished command or transaction before them goes, too.
        """
        if not self._ends_in_zero():
            return ""
        good = self._last_command()
        size = self.path.stat().st_size
        with self.path.open("r+b") as file:
            file.seek(good)
            rest = file.read().rstrip(b"\0")
            if good >= size or not is_unfinished(rest):
                return ""
            file.truncate(good)
            os.fsync(file.fileno())
        unfinished = f" and {len(rest)} bytes of an unfinished command" if rest else ""
        return f"{size - good - len(rest)} zero bytes{unfinished}"

    def damage(self, root: Path) -> str:
        """Return where the file is damaged and how to go on; empty when it is not."""
        good, size = self._last_command(), self.path.stat().st_size
        if good >= size:
            return ""
        path, checker = (file.relative_to(root) for file in (self.path, self.checker))
        return (
            f"{path} is damaged from byte {good} on. To go on without the {size - good} bytes "
            f"that follow, keep a copy of it and run `{checker} --fix {path}` in {root}, then "
            "`denzel start`"
        )

    def _ends_in_zero(self) -> bool:
        with self.path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\0"

    def _last_command(self) -> int:
        """Return where the last command or transaction ends that Redis would take."""
        try:
            process.run([str(self.checker), str(self.path)])
        except CommandError as error:
            if found := LAST_COMMAND.search(error.said):
                return int(found[1])
        return self.path.stat().st_size


def is_unfinished(commands: bytes) -> bool:
    """Tell whether bytes are the beginning of commands in Redis's protocol, RESP (redis.io)."""
    position = 0
    while position < len(commands):
        header = HEADER.match(commands, position)
        if header is None:
            return UNFINISHED_HEADER.fullmatch(commands, position) is not None
        position = header.end()
        if header[1] == b"$":
            end = position + int(header[2])
            if not b"\r\n".startswith(commands[end : end + 2]):
                return False
            position = end + 2
    return True
