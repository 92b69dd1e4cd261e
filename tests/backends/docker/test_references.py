"""Names of images: what Docker takes, and what it would refuse."""

from __future__ import annotations

import pytest

from denzel.backends.docker.references import as_tag, parse_reference
from denzel.errors import UsageError

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "host", "path", "tag"),
    [
        ("iris", "", "iris", "latest"),
        ("iris:1.4", "", "iris", "1.4"),
        ("john/iris:1.4", "", "john/iris", "1.4"),
        ("localhost/iris", "localhost", "iris", "latest"),
        ("127.0.0.1:5000/iris", "127.0.0.1:5000", "iris", "latest"),
        ("R.example:50/a/b_c/d-e.f:V1_-.x", "R.example:50", "a/b_c/d-e.f", "V1_-.x"),
        ("[::1]:5000/iris:1", "[::1]:5000", "iris", "1"),
    ],
)  # fmt: skip
def test_a_name_is_taken_apart(text: str, host: str, path: str, tag: str) -> None:
    found = parse_reference(text)
    assert (found.host, found.path, found.tag) == (host, path, tag)
    assert str(found) == (text if text.endswith(f":{tag}") else f"{text}:latest")
    assert found.registry == (host or "docker.io")


@pytest.mark.parametrize(
    ("text", "name", "tag"),
    [
        (f"registry.example/iris@{DIGEST}", "registry.example/iris", "latest"),
        (f"registry.example:5000/iris:2@{DIGEST}", "registry.example:5000/iris", "2"),
    ],
)
def test_a_digest_may_follow(text: str, name: str, tag: str) -> None:
    found = parse_reference(text)
    assert (found.name, found.tag, found.digest) == (name, tag, DIGEST)
    assert str(found) == f"{name}:{tag}@{DIGEST}"


@pytest.mark.parametrize(
    "text",
    [
        "", "Iris", "iris:", "iris:.1", "iris:a b", "iris:" + "a" * 129, "iris__-x", "-iris",
        "a//b", "/iris", "iris/", "http://host/iris", "iris@sha256:abc", "host.example/Iris:1",
        "ho st.example/iris", "a" * 256, "iris:1:2", "iris\n",
    ],
)  # fmt: skip
def test_what_docker_refuses_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_reference(text)
    assert "image" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "tag"),
    [("v1.2-3-gabc", "v1.2-3-gabc"), ("release/1+x", "release-1-x"), (".-", "latest"), ("ü", "-")],
)
def test_any_text_becomes_a_tag(text: str, tag: str) -> None:
    assert as_tag(text) == (tag if tag != "-" else "latest")
