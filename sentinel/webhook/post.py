"""One HTTP POST with retries: a JSON body to one address, over TLS that is verified.

In: the receiver's settings and a body. Out: whether it was delivered. Connection errors, timeouts, 429 and 5xx are
tried again, later each time, until `give_up`; any other answer is final, since the same body would get it again.
Redirects are not followed (a secret would travel), no proxy is used that the settings do not name.
"""

from __future__ import annotations

import base64
import http.client
import random
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sentinel import metrics
from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    import threading

    from sentinel.config import WebhookSettings

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
READ_BYTES = 64 * 1024  # of an answer: enough to keep the connection in step, never a flood
TOO_MANY = 429


class Post:
    """Delivers to the one address of the settings; the secret is read from its file for each delivery."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        parts = urlsplit(settings.url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/") + "/api/v2/alerts"
        self._tls = self._context() if self._secure else None
        self._headers()

    def deliver(self, body: bytes, stop: threading.Event) -> bool:
        """Until it is taken, refused for good, too old, or `stop`."""
        end = time.monotonic() + self._settings.give_up
        pause = FIRST_PAUSE_SECONDS
        while True:
            status = self._try(body)
            metrics.webhook_requests.inc(result=str(status) if status else "no_answer")
            if 200 <= status < 300:
                return True
            if not (status in {0, TOO_MANY} or status >= 500) or time.monotonic() + pause > end:
                return False
            if stop.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - spreads retries, no secret
                return False
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _try(self, body: bytes) -> int:
        """The status of the answer; 0 when there was none."""
        connection = self._connection()
        try:
            connection.request("POST", self._path, body, self._headers())
            answer = connection.getresponse()
            answer.read(READ_BYTES)
        except (OSError, http.client.HTTPException):
            return 0
        else:
            return answer.status
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        timeout = self._settings.timeout
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "sentinel"}
        settings = self._settings
        if settings.token_file is not None:
            headers["Authorization"] = f"Bearer {_secret(str(settings.token_file))}"
        elif settings.password_file is not None:
            pair = f"{settings.user}:{_secret(str(settings.password_file))}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers

    def _context(self) -> ssl.SSLContext:
        ca_file = self._settings.ca_file
        try:
            return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise InvalidInputError([Problem(str(ca_file), 0, f"not a CA file: {error}")]) from None


def _secret(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().strip()
    except (OSError, ValueError) as error:
        raise InvalidInputError([Problem(path, 0, f"cannot be read: {error}")]) from None
