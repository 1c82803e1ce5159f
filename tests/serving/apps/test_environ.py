"""A request of ASGI as WSGI's environ: every byte that the caller sent is still there."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import quote_from_bytes

from hypothesis import given
from hypothesis import strategies as st

from shipway.serving.apps.environ import make_environ


def scope(path: bytes = b"/", headers: tuple[tuple[bytes, bytes], ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path.decode("utf-8", "replace"),
        "raw_path": quote_from_bytes(path).encode(),
        "query_string": b"a=%C3%A9",
        "headers": headers,
        "client": ("10.0.0.1", 5000),
        "server": ("10.0.0.2", 8000),
    } | more


def environ(*arguments: Any, **more: Any) -> dict[str, Any]:
    return make_environ(scope(*arguments, **more), io.BytesIO(), multithread=True)


@given(st.binary(max_size=20))
def test_the_path_is_the_bytes_that_were_sent(path: bytes) -> None:
    assert environ(b"/" + path)["PATH_INFO"].encode("latin-1") == b"/" + path


def test_a_prefix_is_the_scripts_name_and_not_the_paths() -> None:
    made = environ(b"/root/x", root_path="/root")
    assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == ("/root", "/x")


def test_headers_become_variables_and_doubles_are_joined() -> None:
    given = (
        (b"content-type", b"text/plain"),
        (b"content-length", b"3"),
        (b"x-many", b"1"),
        (b"x-many", b"2"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
    )
    made = environ(b"/", given)
    assert (made["CONTENT_TYPE"], made["CONTENT_LENGTH"]) == ("text/plain", "3")
    assert (made["HTTP_X_MANY"], made["HTTP_COOKIE"]) == ("1,2", "a=1; b=2")
    assert "HTTP_CONTENT_TYPE" not in made


def test_a_header_with_an_underscore_does_not_pass_for_one_without() -> None:
    assert "HTTP_X_REAL_IP" not in environ(b"/", ((b"x_real_ip", b"1.2.3.4"),))


def test_who_calls_and_who_answers() -> None:
    made = environ()
    assert (made["REMOTE_ADDR"], made["REMOTE_PORT"]) == ("10.0.0.1", "5000")
    assert (made["SERVER_NAME"], made["SERVER_PORT"], made["SERVER_PROTOCOL"]) == ("10.0.0.2", "8000", "HTTP/1.1")
    assert (made["QUERY_STRING"], made["RAW_URI"]) == ("a=%C3%A9", "/?a=%C3%A9")
