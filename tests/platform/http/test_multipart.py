"""Forms: the same fields as the standard library finds, or a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.platform.http.multipart import BadForm, boundary_of, parts_of
from headrace_upstream.passed import read_sent

NAMES = st.text("abcXYZ09_.[]-", min_size=1, max_size=12)
VALUES = st.binary(max_size=60) | st.sampled_from([b"\r\n", b"--B", b"\r\n--", b"\r\n--C\r\n\r\n"])


def _form(fields: list[tuple[str, bytes, bool]], boundary: bytes = b"BoUnD") -> bytes:
    out = b""
    for name, value, is_file in fields:
        file = b'; filename="a b;c.wav"\r\nContent-Type: audio/wav' if is_file else b""
        out += b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (
            boundary,
            name.encode(),
            file,
            value,
        )
    return out + b"--%b--\r\n" % boundary


@given(st.lists(st.tuples(NAMES, VALUES, st.booleans()), min_size=1, max_size=6))
def test_what_was_put_in_is_found(fields: list[tuple[str, bytes, bool]]) -> None:
    body = _form(fields)
    found = [(p.name, body[p.start : p.end], p.is_file) for p in parts_of(body, b"BoUnD")]
    assert found == fields
    sent = read_sent({b"content-type": b"multipart/form-data; boundary=BoUnD"}, body)
    assert len(sent.files) == sum(is_file for _, _, is_file in fields)
    assert set(sent.members) == {name for name, _, is_file in fields if not is_file}


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data;boundary="a b"', b"a b"),
        (b"multipart/form-data; boundary=abc; boundary=def", None),
        (b"multipart/form-data; charset=utf-8; boundary=abc", None),
        (b"multipart/form-data", None),
        (b"multipart/mixed; boundary=abc", None),
        (b"application/json", None),
    ],
)
def test_boundaries(kind: bytes, boundary: bytes | None) -> None:
    assert boundary_of(kind) == boundary


@pytest.mark.parametrize(
    "disposition",
    [
        b'form-data; name="model"',
        b"form-data; name=model",
        b"form-data; name=model; filename=a.wav; filename*=utf-8''a%20b.wav",
    ],
)
def test_names_as_clients_write_them(disposition: bytes) -> None:
    body = b"--B\r\ncontent-disposition: %b\r\n\r\nx\r\n--B--" % disposition
    (part,) = parts_of(body, b"B")
    assert (part.name, body[part.start : part.end]) == ("model", b"x")
    assert part.is_file == (b"filename" in disposition)


@pytest.mark.parametrize(
    "part",
    [
        b'content-disposition: form-data; name="a"; name="model"\r\n\r\n',
        b"content-disposition: form-data; name*=utf-8''model\r\n\r\n",
        b'content-disposition: form-data; name="mo\\"del"\r\n\r\n',
        b'content-disposition: form-data;\r\n name="model"\r\n\r\n',
        b'content-disposition: form-data; name="a"\r\n'
        b'content-disposition: form-data; name="model"\r\n\r\n',
        b'content-disposition : form-data; name="a"\r\n\r\n',
        b'content-disposition: attachment; name="a"\r\n\r\n',
        b"content-type: text/plain\r\n\r\n",
        b"\r\n",
        b'content-disposition: form-data; name="a"',
        b'content-disposition: form-data; name="' + b"a" * 5_000 + b'"\r\n\r\n',
    ],
)
def test_what_parsers_differ_on_is_refused(part: bytes) -> None:
    with pytest.raises(BadForm):
        parts_of(b"--B\r\n%bx\r\n--B--\r\n" % part, b"B")


@pytest.mark.parametrize("end", [b"", b"\r\n--B", b"\r\n--Bx", b"\r\n--B--\r\nmore"])
def test_ends(end: bytes) -> None:
    with pytest.raises(BadForm):
        parts_of(b'--B\r\ncontent-disposition: form-data; name="a"\r\n\r\nx' + end, b"B")


def test_too_many() -> None:
    with pytest.raises(BadForm, match="1,000"):
        parts_of(_form([("a", b"", False)] * 1_001, b"B"), b"B")
