"""Requests that two readers could understand in two ways (RFC 9112, section 11.2)."""

from __future__ import annotations

import itertools

HOST = b"Host: a\r\n"
POST = b"POST /v1 HTTP/1.1\r\n" + HOST
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def _framing() -> dict[str, bytes]:
    lengths = [b"5", b"05", b"+5", b"-5", b"5 5", b"5,5", b"0x5", b"5;", b"five", b" ", b"9" * 30]
    codings = [
        b"chunked", b" chunked", b"Chunked", b"xchunked", b"chunked, chunked", b"gzip, chunked",
        b"chunked, gzip", b"identity", b"chunked;q=1", b"\x0bchunked", b"chun\tked", b"",
    ]  # fmt: skip
    cases: dict[str, bytes] = {}
    for length, coding in itertools.product(lengths[:8], codings):
        both = b"Content-Length: %b\r\nTransfer-Encoding: %b\r\n" % (length, coding)
        turned = b"Transfer-Encoding: %b\r\nContent-Length: %b\r\n" % (coding, length)
        cases[f"both {length!r} {coding!r}"] = POST + both + b"\r\n" + CHUNKS
        cases[f"turned {length!r} {coding!r}"] = POST + turned + b"\r\n" + CHUNKS
    for length in lengths[2:]:
        cases[f"length {length!r}"] = POST + b"Content-Length: %b\r\n\r\nhello" % length
    for coding in codings[3:]:
        cases[f"coding {coding!r}"] = POST + b"Transfer-Encoding: %b\r\n\r\n" % coding + CHUNKS
    for first, second in ((b"5", b"5"), (b"5", b"6"), (b"0", b"5")):
        twice = b"Content-Length: %b\r\nContent-Length: %b\r\n\r\nhello" % (first, second)
        cases[f"twice {first!r} {second!r}"] = POST + twice
    return cases


def _lines() -> dict[str, bytes]:
    end = b"Content-Length: 0\r\n\r\n"
    return {
        "bare LF": b"POST /v1 HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
        "bare LF in one line": b"POST /v1 HTTP/1.1\r\nHost: a\nContent-Length: 0\r\n\r\n",
        "bare CR": b"POST /v1 HTTP/1.1\r\nHost: a\rX: y\r\n" + end,
        "folded": POST + b"X: y\r\n z\r\n" + end,
        "folded by tab": POST + b"X: y\r\n\tz\r\n" + end,
        "NUL in value": POST + b"X: y\x00z\r\n" + end,
        "NUL in name": POST + b"X\x00: y\r\n" + end,
        "blank before colon": POST + b"Content-Length : 0\r\n\r\n",
        "blank before name": b"POST /v1 HTTP/1.1\r\n Host: a\r\n" + end,
        "no name": POST + b": y\r\n" + end,
        "no colon": POST + b"whatever\r\n" + end,
        "two hosts": POST + HOST + end,
        "no host": b"POST /v1 HTTP/1.1\r\n" + end,
        "blank in target": b"POST /v1 /v2 HTTP/1.1\r\n" + HOST + end,
        "absolute target": b"POST http://b/v1 HTTP/1.1\r\n" + HOST + end,
        "authority target": b"CONNECT b:80 HTTP/1.1\r\n" + HOST + b"\r\n",
        "version 1.2": b"POST /v1 HTTP/1.2\r\n" + HOST + end,
        "version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "chunks by 1.0": b"POST /v1 HTTP/1.0\r\n" + HOST
        + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        "upgrade": POST + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + end,
        "upgrade to what": POST + b"Connection: upgrade\r\nUpgrade: h2c, x\r\n" + end,
        "two upgrades": POST + b"Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: x\r\n" + end,
        "method with a blank": b"PO ST /v1 HTTP/1.1\r\n" + HOST + end,
        "no method": b"/v1 HTTP/1.1\r\n" + HOST + end,
        "method in small letters": b"post /v1 HTTP/1.1\r\n" + HOST + end,
        "method with a brace": b"PO{ST /v1 HTTP/1.1\r\n" + HOST + end,
        "tab behind the method": b"POST\t/v1 HTTP/1.1\r\n" + HOST + end,
        "tab in target": b"POST /v1\tx HTTP/1.1\r\n" + HOST + end,
        "control character in target": b"POST /v1\x01 HTTP/1.1\r\n" + HOST + end,
        "high byte in target": b"POST /v1\xff HTTP/1.1\r\n" + HOST + end,
        "empty target": b"POST  HTTP/1.1\r\n" + HOST + end,
        "target without slash": b"POST v1 HTTP/1.1\r\n" + HOST + end,
        "version 0.9": b"POST /v1 HTTP/0.9\r\n" + HOST + end,
        "no version": b"POST /v1\r\n" + HOST + end,
        "version 1.10": b"POST /v1 HTTP/1.10\r\n" + HOST + end,
        "version 01.1": b"POST /v1 HTTP/01.1\r\n" + HOST + end,
        "version in small letters": b"POST /v1 http/1.1\r\n" + HOST + end,
        "blank behind version": b"POST /v1 HTTP/1.1 \r\n" + HOST + end,
        "blank in version": b"POST /v1 HTTP /1.1\r\n" + HOST + end,
        "CR CR LF": b"POST /v1 HTTP/1.1\r\r\n" + HOST + end,
        "two codings": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n" + CHUNKS,
        "coding and identity": POST + b"Transfer-Encoding: identity\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        "host with a path": b"POST /v1 HTTP/1.1\r\nHost: x/#@y\r\n" + end,
        "host with a user": b"POST /v1 HTTP/1.1\r\nHost: u@y\r\n" + end,
        "two hosts in one": b"POST /v1 HTTP/1.1\r\nHost: a b\r\n" + end,
        "host with a high byte": b"POST /v1 HTTP/1.1\r\nHost: \xff\r\n" + end,
        "tab in name": POST + b"X\tY: z\r\n" + end,
        "high byte in name": POST + b"X\xff: z\r\n" + end,
        "parenthesis in name": POST + b"X(: z\r\n" + end,
        "vertical tab in value": POST + b"X: y\x0bz\r\n" + end,
        "DEL in value": POST + b"X: y\x7fz\r\n" + end,
        "form feed before colon": POST + b"Content-Length\x0c: 0\r\n\r\n",
        "empty length": POST + b"Content-Length:\r\n\r\n",
        "junk": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    }  # fmt: skip


def _chunks() -> dict[str, bytes]:
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    bodies = {
        "hex prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
        "sign": b"+5\r\nhello\r\n0\r\n\r\n",
        "blank before size": b" 5\r\nhello\r\n0\r\n\r\n",
        "bare LF after size": b"5\nhello\r\n0\r\n\r\n",
        "bare LF after data": b"5\r\nhello\n0\r\n\r\n",
        "too much data": b"5\r\nhelloX\r\n0\r\n\r\n",
        "too little data": b"6\r\nhello\r\n0\r\n\r\n",
        "LF in extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        "length in trailer": b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        "coding in trailer": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "size over 64 bits": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "blank behind size": b"5 \r\nhello\r\n0\r\n\r\n",
        "tab behind size": b"5\t\r\nhello\r\n0\r\n\r\n",
        "blank before extension": b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
        "empty extension": b"5;\r\nhello\r\n0\r\n\r\n",
        "NUL in extension": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
        "CR in extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        "CRLF in quoted extension": b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
        "blank line before data": b"5\r\n\r\nhello\r\n0\r\n\r\n",
        "minus nothing": b"5\r\nhello\r\n-0\r\n\r\n",
        "bare LF after the last size": b"5\r\nhello\r\n0\n\r\n",
        "bare LF at the end": b"5\r\nhello\r\n0\r\n\n",
        "blank in a trailer's name": b"5\r\nhello\r\n0\r\nX y: 1\r\n\r\n",
        "folded trailer": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
        "no size": b"\r\nhello\r\n0\r\n\r\n",
        "letters": b"xyz\r\nhello\r\n0\r\n\r\n",
    }
    return {name: head + body for name, body in bodies.items()}


CORPUS = {**_framing(), **_lines(), **_chunks()}
