"""Delivery to a real server: what is tried again, what is final, whom it trusts, what it never sends."""

import base64
import threading

import pytest

from sentinel.config import WebhookSettings
from sentinel.errors import InvalidInputError
from sentinel.webhook import post

BODY = b'[{"labels": {"alertname": "x"}}]'


def settings(receiver, **more):
    return WebhookSettings.model_validate({"url": receiver.url, **more})


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch):
    monkeypatch.setattr(post, "FIRST_PAUSE_SECONDS", 0.01)


def test_delivers(receiver, stop):
    assert post.Post(settings(receiver)).deliver(BODY, stop)
    assert receiver.alerts == [{"labels": {"alertname": "x"}}]
    assert "Authorization" not in receiver.requests[0][1]


def test_the_path_of_a_proxy_stands_before_the_api(receiver, stop):
    post.Post(settings(receiver, url=f"{receiver.url}/alerts/")).deliver(BODY, stop)
    assert receiver.requests[0][0] == "/alerts/api/v2/alerts"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_is_tried_again(receiver, stop, status):
    receiver.answers = [status, status]
    assert post.Post(settings(receiver)).deliver(BODY, stop)
    assert (len(receiver.requests), len(receiver.alerts)) == (3, 1)


@pytest.mark.parametrize("status", [400, 401, 307])
def test_a_refusal_is_final_and_a_redirect_is_not_followed(receiver, stop, status):
    receiver.answers = [status]
    assert not post.Post(settings(receiver)).deliver(BODY, stop)
    assert len(receiver.requests) == 1


def test_gives_up_in_the_end_and_at_once_when_stopped(receiver, stop):
    receiver.answers = [503] * 1000
    assert not post.Post(settings(receiver, give_up="1s")).deliver(BODY, stop)
    assert 2 < len(receiver.requests) < 100
    before = len(receiver.requests)
    stop.set()
    assert not post.Post(settings(receiver)).deliver(BODY, stop)
    assert len(receiver.requests) == before + 1


def test_secrets_come_from_files_also_a_new_one(receiver, stop, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("first\n")
    sender = post.Post(settings(receiver, token_file=secret))
    sender.deliver(BODY, stop)
    secret.write_text("second\n")
    sender.deliver(BODY, stop)
    post.Post(settings(receiver, user="u", password_file=secret)).deliver(BODY, stop)
    sent = [headers["Authorization"] for _, headers in receiver.requests]
    assert sent == ["Bearer first", "Bearer second", "Basic " + base64.b64encode(b"u:second").decode()]
    with pytest.raises(InvalidInputError, match="cannot be read"):
        post.Post(settings(receiver, token_file=tmp_path / "none"))


def test_tls_is_verified(secure_receiver, certificate, stop):
    assert not post.Post(settings(secure_receiver, give_up="1s")).deliver(BODY, stop)
    assert secure_receiver.alerts == []
    trusted = settings(secure_receiver, ca_file=certificate[0])
    assert post.Post(trusted).deliver(BODY, stop)
    other = trusted.model_copy(update={"url": trusted.url.replace("127.0.0.1", "localhost"), "give_up": 1.0})
    assert not post.Post(other).deliver(BODY, stop)
    with pytest.raises(InvalidInputError, match="not a CA file"):
        post.Post(settings(secure_receiver, ca_file=certificate[1]))


@pytest.mark.parametrize("url", ["alertmanager:9093", "ftp://x", "https://u:p@x", "https://x/?token=1"])
def test_addresses_that_are_none(url):
    with pytest.raises(ValueError, match="secrets belong in files"):
        WebhookSettings.model_validate({"url": url})
