"""What a browser posts: read, and shown to come from a page of ours."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from headrace.edge.admin.app import body_bytes
from headrace.edge.admin.asked import Refusal

LIMIT_BYTES = 512 * 1024
MOST_FIELDS = 200
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"


async def read_form(request: Request) -> Mapping[str, str]:
    """Fields as text; of one that stands more than once, values are joined by commas. Raises
    Refusal."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refusal(415, "unsupported_media_type", "Send a form as the page does.")
    data = await body_bytes(request, LIMIT_BYTES)
    try:
        pairs = parse_qsl(
            data.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as error:
        raise Refusal(400, "invalid_form", "This is not what a form of the console sends.") from (
            error
        )
    fields: dict[str, str] = {}
    for name, value in pairs:
        text = value.replace("\r\n", "\n")
        fields[name] = f"{fields[name]},{text}" if name in fields else text
    return fields


def check_origin(request: Request) -> None:
    """A browser says where a form comes from. Raises Refusal for another site's."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    own = request.headers.get("host", "").lower()
    if site not in (None, "same-origin") or (
        origin is not None and urlsplit(origin).netloc.lower() != own
    ):
        raise Refusal(
            403, "foreign_form", "This form was not sent by a page of the console, so nothing was "
            "done. Open the console itself and try again.",
        )  # fmt: skip


def form_token(request: Request, form: Mapping[str, str]) -> str:
    """What the page's forms and scripts send along."""
    return form.get(CSRF_FIELD) or request.headers.get(CSRF_HEADER, "")
