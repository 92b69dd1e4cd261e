"""What is read of requirement files before pip reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.runtime.bootstrap.requirement_files import (
    all_files,
    asks_for_anything,
    digest_of,
    index_options,
    requirement_lines,
)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "line",
    ["-r {}", "-r{}", "-c {}", "--requirement {}", "--requirement={}", "--constraint={}",
     "  -r {}  # why", "-r \\\n {}"],
)  # fmt: skip
def test_a_named_file_counts_in_each_spelling(tmp_path: Path, line: str) -> None:
    more = write(tmp_path / "more.txt", "numpy")
    main = write(tmp_path / "requirements.txt", "scipy", line.format("more.txt"))
    assert all_files(main) == [main, more]


def test_files_are_named_relative_to_the_one_that_names_them(tmp_path: Path) -> None:
    main = write(tmp_path / "requirements.txt", "-r parts/a.txt")
    a = write(tmp_path / "parts" / "a.txt", "-c b.txt", "-r ../requirements.txt")
    b = write(tmp_path / "parts" / "b.txt", "-r missing.txt", "-r https://example.org/c.txt")
    # A file that is missing counts, too: it may come.
    found = [path.resolve() for path in all_files(main)]
    assert set(found) == {main, a, b, tmp_path / "parts" / "missing.txt"}


def test_a_comment_names_nothing(tmp_path: Path) -> None:
    main = write(tmp_path / "requirements.txt", "# -r more.txt", "")
    assert all_files(main) == [main]
    assert not asks_for_anything(main)
    assert not asks_for_anything(tmp_path / "missing.txt")


def test_lines_that_ask_for_packages(tmp_path: Path) -> None:
    main = write(tmp_path / "r.txt", "--no-index", "celery[redis]==5.7.0  # queue", "", "-r x.txt")
    assert requirement_lines(main) == ["celery[redis]==5.7.0"]


def test_options_that_say_where_packages_are(tmp_path: Path) -> None:
    main = write(
        tmp_path / "r.txt", "--index-url=https://a.example/simple", "--no-index", "-f ./wheels",
        "--pre", "-r more.txt",
    )  # fmt: skip
    write(tmp_path / "more.txt", "--extra-index-url https://b.example/simple")
    assert index_options(main) == [
        "--index-url", "https://a.example/simple", "--no-index", "-f", "./wheels",
        "--extra-index-url", "https://b.example/simple",
    ]  # fmt: skip


def test_line_ends_do_not_count(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_bytes(b"numpy\nscipy\n")
    second.write_bytes(b"numpy\r\nscipy\r\n")
    assert digest_of([first]) == digest_of([second])
    second.write_bytes(b"numpy\r\n")
    assert digest_of([first]) != digest_of([second])
