"""Callbacks over TLS: whose certificate is accepted, and for how long one waits."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from app.runtime.callbacks.http_client import default_tls_context
from app.runtime.callbacks.sender import Sender

from .receivers import answering, read_slowly, receiving
from .senders import BODY, LIMIT_SECONDS, PATIENT, FakeResolver, looking_up, send, within_the_limit


@pytest.fixture
def stopwatch() -> Iterator[None]:
    """Fail a test whose exchange outlasts its total time limit."""
    with within_the_limit():
        yield


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> Sender:
    """A sender that trusts the test's authority; every name is 127.0.0.1."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return dataclasses.replace(
        PATIENT, tls=context, resolver=looking_up(FakeResolver(["127.0.0.1"]))
    )


def test_tls_asks_for_and_verifies_the_name_in_the_uri(
    authority: trustme.CA, trusting: Sender
) -> None:
    asked: list[str | None] = []
    context = server_context(authority, "hook.example")
    context.sni_callback = lambda sock, name, _: asked.append(name)
    with receiving(answering("200 OK"), tls=context) as receiver:
        answer = send(trusting, receiver.url("hook.example", "https"), BODY, message_id="id")
    assert answer.is_delivered, answer.error
    assert asked == ["hook.example"]
    assert receiver.visits[0].headers["host"] == f"hook.example:{receiver.port}"


def test_tls_verifies_an_address_in_the_uri(authority: trustme.CA, trusting: Sender) -> None:
    for name, is_right in (("127.0.0.1", True), ("127.0.0.2", False), ("hook.example", False)):
        context = server_context(authority, name)
        with receiving(answering("200 OK"), tls=context) as receiver:
            answer = send(trusting, receiver.url(scheme="https"), BODY, message_id="id")
        assert answer.is_delivered == is_right, (name, answer.error)


def test_certificate_of_another_name_is_refused(authority: trustme.CA, trusting: Sender) -> None:
    context = server_context(authority, "other.example")
    with receiving(answering("200 OK"), tls=context) as receiver:
        answer = send(trusting, receiver.url("hook.example", "https"), BODY, message_id="id")
    assert "its certificate is not valid" in answer.error and "hook.example" in answer.error
    assert answer.status is None and answer.may_be_repeated
    assert not receiver.visits[0].head


def test_certificate_of_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    context = server_context(authority, "127.0.0.1")
    with receiving(answering("200 OK"), tls=context) as receiver:
        answer = send(PATIENT, receiver.url(scheme="https"), BODY, message_id="id")
    assert "its certificate is not valid" in answer.error
    assert not receiver.visits[0].head


def test_operators_authority_replaces_the_systems(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    sender = dataclasses.replace(PATIENT, tls=default_tls_context())
    context = server_context(authority, "127.0.0.1")
    with receiving(answering("200 OK"), tls=context) as receiver:
        answer = send(sender, receiver.url(scheme="https"), BODY, message_id="id")
    assert answer.is_delivered, answer.error


def test_certifi_stands_in_where_the_system_trusts_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert default_tls_context().cert_store_stats()["x509_ca"] > 50


def test_no_tls_at_the_other_end_is_a_failure(trusting: Sender) -> None:
    with receiving(lambda visit: visit.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as receiver:
        answer = send(trusting, receiver.url("hook.example", "https"), BODY, message_id="id")
    assert answer.status is None and "TLS failed" in answer.error


@pytest.mark.usefixtures("stopwatch")
def test_dripped_tls_handshake_is_given_up(trusting: Sender) -> None:
    hurried = dataclasses.replace(trusting, connect_timeout=LIMIT_SECONDS)
    # The head of a handshake record that promises 16 KiB.
    with receiving(lambda visit: visit.drip(b"\x16\x03\x03\x40\x00" + b"\x00" * 999)) as receiver:
        answer = send(hurried, receiver.url("hook.example", "https"), BODY, message_id="id")
    assert "took too long" in answer.error


@pytest.mark.usefixtures("stopwatch")
@pytest.mark.parametrize("size", [10, 2**26], ids=["answers never", "reads slowly"])
def test_slow_tls_receiver_is_given_up(authority: trustme.CA, trusting: Sender, size: int) -> None:
    hurried = dataclasses.replace(trusting, total_timeout=LIMIT_SECONDS)
    context = server_context(authority, "hook.example")
    with receiving(read_slowly, tls=context) as receiver:
        uri = receiver.url("hook.example", "https")
        answer = send(hurried, uri, b"x" * size, message_id="id")
    assert "took too long" in answer.error
