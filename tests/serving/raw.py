"""Requests that no client library would send, as bytes."""

from collections.abc import Iterator

__all__ = ["raw_requests"]

_HOST = b"Host: localhost\r\n"
_JSON = b"Content-Type: application/json\r\n"
_TEXT = b'{"text": "where is my parcel"}'


def raw_requests() -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of about sixty requests."""
    yield from _heads()
    yield from _lengths()
    yield from _targets()
    yield from _bodies()


def _heads() -> Iterator[tuple[str, bytes]]:
    yield "nothing but ends of lines", b"\r\n\r\n\r\n"
    yield "a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)
    yield "HTTP/2 by prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield (
        "upgrade to HTTP/2",
        _get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
    )
    yield (
        "upgrade to a web socket",
        _get(
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        ),
    )
    yield "no host", b"GET /livez HTTP/1.1\r\n\r\n"
    yield "two hosts", _get(b"Host: evil.example\r\n")
    yield "an empty host", b"GET /v1/alerts HTTP/1.1\r\nHost: \r\n\r\n"
    yield "a host of bytes", b"GET /v1/alerts HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n"
    yield "another host", b"GET /v1/alerts HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    yield "HTTP/0.9", b"GET /livez\r\n\r\n"
    yield "HTTP/1.0", b"GET /livez HTTP/1.0\r\n\r\n"
    yield "HTTP/9.9", b"GET /livez HTTP/9.9\r\n" + _HOST + b"\r\n"
    yield "ends of lines without a return", b"GET /livez HTTP/1.1\nHost: localhost\n\n"
    yield "a folded header", _get(b"X-A: 1\r\n 2\r\n")
    yield "a header without a name", _get(b": a\r\n")
    yield "a header without a colon", _get(b"abc\r\n")
    yield "a space before the colon", _get(b"X-A : 1\r\n")
    yield "NUL in a header", _get(b"X-A: \x00\r\n")
    yield "bytes in a header", _get(b"X-A: \xff\xfe\xfd\r\n")
    yield "a header of 200 KB", _get(b"X-A: " + b"a" * 200_000 + b"\r\n")
    yield "10,000 headers", _get(b"X-A: 1\r\n" * 10_000)
    yield "a key of bytes", _get(b"Authorization: Bearer \xff\xff\r\n")
    yield "a key of 8 KB", _get(b"Authorization: Bearer " + b"k" * 8_000 + b"\r\n")
    yield "a forwarded address", _get(b"X-Forwarded-For: 127.0.0.1, \x1b[31m\r\n", path=b"/v1/alerts")
    for method in (
        b"TRACE",
        b"CONNECT",
        b"PROPFIND",
        b"get",
        b"\xff",
        b"A" * 5_000,
        b"OPTIONS",
        b"HEAD",
        b"PUT",
        b"DELETE",
    ):
        yield f"method {method[:9]!r}", method + b" /v1/ask HTTP/1.1\r\n" + _HOST + b"\r\n"


def _lengths() -> Iterator[tuple[str, bytes]]:
    for value in (b"-1", b"abc", b"1e3", b"0x10", b"+5", b"", b"9" * 30, b"5, 5", "５".encode()):
        yield f"a length of {value[:12]!r}", _post(b"Content-Length: " + value + b"\r\n", _TEXT)
    yield "two lengths", _post(b"Content-Length: 5\r\nContent-Length: 6\r\n", _TEXT)
    yield "a length and chunks", _post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n")
    yield "a body shorter than its length", _post(b"Content-Length: 99\r\n", _TEXT)
    yield "a body longer than its length", _post(b"Content-Length: 5\r\n", _TEXT)
    for coding in (b"gzip", b"chunked, chunked", b"identity", b"xchunked"):
        yield f"coding {coding!r}", _post(b"Transfer-Encoding: " + coding + b"\r\n", b"0\r\n\r\n")
    for chunks in (
        b"zz\r\n",
        b"-1\r\n",
        b"f" * 20 + b"\r\n",
        b"5\r\nabc",
        b"5;" + b"a" * 99_999 + b"\r\n",
        b"5\r\nabcdeXX0\r\n\r\n",
    ):
        yield f"chunks {chunks[:9]!r}", _post(b"Transfer-Encoding: chunked\r\n", chunks)
    yield "a trailer", _post(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\nX-A: 1\r\n\r\n")
    yield "a compressed body", _post(b"Content-Encoding: gzip\r\nContent-Length: 4\r\n", b"\x1f\x8b\x08\x00")
    yield "100-continue", _post(b"Expect: 100-continue\r\nContent-Length: 30\r\n", _TEXT)


def _targets() -> Iterator[tuple[str, bytes]]:
    paths = (
        b"//v1/ask",
        b"/v1/../v1/ask",
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"/static/../../apps/cli.py",
        b"/static/%2e%2e%2fapp.py",
        b"/static/%00",
        b"/%00",
        b"/%",
        b"/%zz",
        b"/%ff",
        b"/\xff",
        b"/" + b"a" * 50_000,
        b"/?" + b"a=" * 20_000,
        b"*",
        b"http://evil.example/v1/ask",
        b"/v1/conversations/%00",
        b"/v1/conversations?limit=" + b"9" * 5_000,
        b"/v1/conversations?limit=1&limit=2",
        b"/v1/conversations?owner=%F0%9F%92%A3%00",
        b"/livez#x",
        b"/livez;a=b",
    )
    for path in paths:
        yield f"path {path[:30]!r}", _get(b"", path=path)


def _bodies() -> Iterator[tuple[str, bytes]]:
    bodies = (
        b"",
        b"null",
        b"[]",
        b"1",
        b'"',
        b"{",
        b'{"text": NaN}',
        b'{"text": 1e999}',
        b'{"text": "\\ud800"}',
        b'{"text": "\x00"}',
        b'{"text": "a", "text": "b"}',
        b"\xef\xbb\xbf" + _TEXT,
        _TEXT.decode().encode("utf-16"),
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"text": ' + b"9" * 9_000 + b"}",
        b'{"text": "' + b"a" * 2_000_000 + b'"}',
        b" " * 500_000 + _TEXT,
    )
    for path in (b"/v1/ask", b"/v1/chat/completions", b"/v1/posts"):
        for body in bodies:
            yield (
                f"body {body[:20]!r} of {path.decode()}",
                _post(b"Content-Length: %d\r\n" % len(body), body, path=path),
            )
    yield (
        "another type",
        b"POST /v1/ask HTTP/1.1\r\n" + _HOST + b"Content-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>",
    )
    yield "no type", b"POST /v1/ask HTTP/1.1\r\n" + _HOST + b"Content-Length: 2\r\n\r\n{}"
    yield (
        "another charset",
        b"POST /v1/ask HTTP/1.1\r\n"
        + _HOST
        + b"Content-Type: application/json; charset=utf-7\r\nContent-Length: 2\r\n\r\n{}",
    )


def _get(headers: bytes, *, path: bytes = b"/livez") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + _HOST + headers + b"\r\n"


def _post(headers: bytes, body: bytes, *, path: bytes = b"/v1/ask") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + _HOST + _JSON + headers + b"\r\n" + body
