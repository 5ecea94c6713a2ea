"""Images, sound, moderations and ranks with OpenAI's SDK, passed on as they came."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import openai
import pytest

from headrace_upstream.passed import (
    HEARD,
    IMAGE_TOKENS,
    PICTURE_IN_TOKENS,
    PNG,
    read_sent,
    sound_of,
)
from headrace_upstream.seen import Seen
from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

ACME, NARROW = "acme-key-0123456789abcdef", "narrow-key-0123456789abcdef"
PROVIDER = "sk-provider-0123456789abcdef"
CONFIG = """
resilience:
  breaker:
    {{min_calls: 100000, failures_in_a_row: 100000, open_s: 0.000001, open_cap_s: 0.000001,
     longest_open_s: 0.000001, probe_successes: 1, slow_start_s: 0.000001}}
server: {{body_limit_bytes: 300000}}
keys:
  acme: {{secret: env:ACME}}
  narrow: {{secret: env:NARROW, operations: [chat, speech], models: [tts, chats]}}
backends:
  all:
    {{provider: openai, url: "{url}/v1", credential: env:PROVIDER, priced_as: openai/gpt-image-1,
     operations: [image_generations, image_edits, image_variations]}}
  named:
    {{provider: openai, url: "{url}/v1", credential: env:PROVIDER, model: gpt-4o-transcribe,
     priced_as: openai/gpt-4o-transcribe, operations: [transcriptions, translations, speech]}}
  whisper:
    {{provider: openai, url: "{url}/v1", credential: env:PROVIDER, model: whisper-1,
     priced_as: openai/whisper-1, operations: [transcriptions, translations]}}
  tts:
    {{provider: openai, url: "{url}/v1", credential: env:PROVIDER, model: gpt-4o-mini-tts,
     priced_as: openai/gpt-4o-mini-tts, operations: [speech]}}
  tts-too:
    {{provider: openai, url: "{url}/v1", credential: env:PROVIDER, model: gpt-4o-mini-tts,
     operations: [speech], project: second}}
  judge: {{provider: openai, url: "{url}/v1", credential: env:PROVIDER, operations: [moderations]}}
  ranker: {{provider: cohere, url: "{url}", credential: env:PROVIDER, model: rerank-v3.5}}
  azure:
    {{provider: azure_openai, url: "{url}", deployment: east, api_version: "2025-04-01-preview",
     credential: env:PROVIDER, model: gpt-image-1}}
  azure-v1:
    {{provider: azure_openai, url: "{url}", deployment: west, api_version: v1,
     credential: env:PROVIDER}}
  chats: {{provider: openai, url: "{url}/v1", operations: [chat]}}
models:
  gpt-image-1: {{pools: [[all]], retry: {{attempts: 1}}}}
  dall-e-3: {{pools: [[all]]}}
  listens: {{pools: [[named]]}}
  whisper: {{pools: [[whisper]]}}
  tts: {{pools: [[tts, tts-too]]}}
  omni-moderation-latest: {{pools: [[judge]]}}
  rerank: {{pools: [[ranker]]}}
  azure: {{pools: [[azure]]}}
  azure-v1: {{pools: [[azure-v1]]}}
  chats: {{pools: [[chats]]}}
limits:
  - {{per: key, only: {{key: narrow}}, requests: 1000}}
"""


@pytest.fixture(scope="module")
def passing(
    scripted_session: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    env = {"ACME": ACME, "NARROW": NARROW, "PROVIDER": PROVIDER}
    config = CONFIG.format(url=scripted_session.url)
    with running_gateway(config, tmp_path_factory.mktemp("passing"), env=env) as running:
        yield running


@pytest.fixture
def sdk(passing: Gateway, upstream: ScriptedThread) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=passing.url, api_key=ACME, max_retries=0) as made:
        yield made


def _fields(seen: Seen) -> dict[str, Any]:
    """Of a form, read by the standard library."""
    return read_sent(seen.headers, seen.body).members


def _files(seen: Seen) -> list[bytes]:
    return [data for _, _, data in read_sent(seen.headers, seen.body).files]


def _settlement(gateway: Gateway, headers: Any) -> Any:
    call = headers["x-request-id"]
    return settled(gateway.folder / ".headrace", [call])[call].settlement


class TestPictures:
    def test_generated(
        self, sdk: openai.OpenAI, upstream: ScriptedThread, passing: Gateway
    ) -> None:
        raw = sdk.images.with_raw_response.generate(
            model="gpt-image-1", prompt="A mill by the water", n=2, extra_body={"own": {"k": 1.0}}
        )
        answer = raw.parse()
        assert [base64.b64decode(one.b64_json or "") for one in answer.data or ()] == [PNG] * 2
        seen = upstream.only_seen()
        assert seen.path == "/v1/images/generations"
        assert b'"own":{"k":1.0}' in seen.body
        assert seen.header("authorization") == f"Bearer {PROVIDER}"
        row = _settlement(passing, raw.headers)
        assert (row.operation, row.backend, row.usage_source) == (
            "image_generations",
            "all",
            "upstream",
        )
        assert row.output_tokens == 2 * IMAGE_TOKENS
        assert row.cost_microusd == 5 * row.input_tokens + 40 * row.output_tokens

    def test_pictures_without_tokens_have_no_made_up_price(
        self, sdk: openai.OpenAI, passing: Gateway
    ) -> None:
        raw = sdk.images.with_raw_response.generate(model="dall-e-3", prompt="A mill")
        assert (raw.parse().data or [])[0].url
        row = _settlement(passing, raw.headers)
        assert (row.usage_source, row.cost_microusd) == ("estimated", None)

    def test_streamed(self, sdk: openai.OpenAI, upstream: ScriptedThread, passing: Gateway) -> None:
        raw = sdk.images.with_raw_response.generate(
            model="gpt-image-1", prompt="A mill", stream=True, partial_images=2
        )
        kinds = [event.type for event in raw.parse()]
        assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
        row = _settlement(passing, raw.headers)
        assert (row.usage_source, row.output_tokens) == ("upstream", IMAGE_TOKENS)

    def test_a_cut_stream_is_an_error(self, sdk: openai.OpenAI, upstream: ScriptedThread) -> None:
        upstream.script({"fault": {"kind": "cut", "after": 1, "how": "clean_end"}})
        stream = sdk.images.generate(model="gpt-image-1", prompt="A mill", stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)

    @pytest.mark.parametrize("model", ["gpt-image-1", "azure-v1"])
    def test_edited(self, sdk: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
        pictures = [("a.png", PNG), ("b.png", PNG + bytes(range(256)) * 100)]
        answer = sdk.images.edit(
            model=model, image=[(n, io.BytesIO(d), "image/png") for n, d in pictures], prompt="Red"
        )
        assert answer.usage is not None
        assert answer.usage.input_tokens_details.image_tokens == 2 * PICTURE_IN_TOKENS
        seen = upstream.only_seen()
        assert _files(seen) == [data for _, data in pictures]
        assert _fields(seen) == {
            "model": "west" if model == "azure-v1" else model,
            "prompt": "Red",
        }

    def test_varied(self, sdk: openai.OpenAI, upstream: ScriptedThread) -> None:
        with pytest.warns(DeprecationWarning):
            answer = sdk.images.create_variation(model="dall-e-3", image=("a.png", PNG), n=3)
        assert len(answer.data or ()) == 3
        assert _files(upstream.only_seen()) == [PNG]

    def test_by_azures_paths(self, passing: Gateway, upstream: ScriptedThread) -> None:
        azure = openai.AzureOpenAI(
            azure_endpoint=passing.root, api_key=ACME, api_version="v", max_retries=0
        )
        with azure:
            azure.images.generate(model="azure", prompt="A mill")
            azure.images.edit(model="gpt-image-1", image=("a.png", PNG), prompt="Red")
        first, second = upstream.seen
        assert first.path == (
            "/openai/deployments/east/images/generations?api-version=2025-04-01-preview"
        )
        assert first.header("api-key") == PROVIDER
        assert second.path == "/v1/images/edits"
        assert _fields(second)["model"] == "gpt-image-1"


class TestSound:
    def test_spoken_as_it_comes(
        self, sdk: openai.OpenAI, upstream: ScriptedThread, passing: Gateway
    ) -> None:
        with sdk.audio.speech.with_streaming_response.create(
            model="tts", voice="alloy", input="Łódź turns", response_format="opus"
        ) as answer:
            parts = list(answer.iter_bytes(1_000))
            headers = answer.headers
        assert b"".join(parts) == sound_of("Łódź turns", 20)
        assert headers["content-type"] == "audio/ogg"
        assert upstream.only_seen().json()["model"] == "gpt-4o-mini-tts"
        row = _settlement(passing, headers)
        assert (row.finish, row.usage_source, row.cost_microusd) == ("complete", "estimated", None)
        assert row.ttft_us is not None

    def test_spoken_in_events(
        self, sdk: openai.OpenAI, passing: Gateway, upstream: ScriptedThread
    ) -> None:
        with sdk.audio.speech.with_streaming_response.create(
            model="tts", voice="alloy", input="It turns", stream_format="sse"
        ) as answer:
            text = answer.read().decode()
            headers = answer.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert text.count("event: speech.audio.delta") == 5
        row = _settlement(passing, headers)
        assert (row.usage_source, row.output_tokens) == ("upstream", 7)

    def test_another_backend_speaks(self, sdk: openai.OpenAI, upstream: ScriptedThread) -> None:
        upstream.script({"status": 503})
        sound = sdk.audio.speech.create(model="tts", voice="alloy", input="Mill")
        assert sound.read() == sound_of("Mill", 20)
        first, second = upstream.seen
        assert (first.status, second.status) == (503, 200)
        assert {first.header("openai-project"), second.header("openai-project")} == {None, "second"}

    def test_cut_sound_is_not_taken_for_whole(
        self, sdk: openai.OpenAI, upstream: ScriptedThread, passing: Gateway
    ) -> None:
        upstream.script({"fault": {"kind": "cut", "how": "eof"}})
        with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
            sdk.audio.speech.create(model="tts", voice="alloy", input="Mill").read()
        upstream.script({"fault": {"kind": "cut", "how": "rst"}})
        with (
            sdk.audio.speech.with_streaming_response.create(
                model="tts", voice="alloy", input="Mill"
            ) as answer,
            pytest.raises(httpx2.RemoteProtocolError, match="closed"),
        ):
            answer.read()
        row = _settlement(passing, answer.headers)
        assert (row.finish, row.reason) == ("incomplete", "stream_incomplete")

    @pytest.mark.parametrize("stream", [False, True])
    def test_heard(
        self, sdk: openai.OpenAI, upstream: ScriptedThread, passing: Gateway, stream: bool
    ) -> None:
        sound = bytes(range(256)) * 500
        raw = sdk.audio.transcriptions.with_raw_response.create(
            model="listens",
            file=("talk.wav", sound, "audio/wav"),
            language="en",
            stream=stream,
            timestamp_granularities=["word", "segment"],
        )
        answer: Any = raw.parse()
        if stream:
            answer = list(answer)[-1]
        assert answer.text == HEARD
        seen = upstream.only_seen()
        assert _files(seen) == [sound]
        assert _fields(seen)["model"] == "gpt-4o-transcribe"
        row = _settlement(passing, raw.headers)
        assert row.usage_source == "upstream"
        assert row.audio_input_tokens == row.input_tokens == 40
        assert row.cost_microusd == 6 * 40 + 10 * row.output_tokens

    def test_only_the_models_name_differs(self, passing: Gateway, upstream: ScriptedThread) -> None:
        parts = [
            b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
            b"Content-Type: audio/wav\r\n\r\n\r\n--C\r\n\x00--B-\r\n",
            b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nlistens\r\n',
            b'--B\r\nContent-Disposition: form-data; name="x"\r\n\r\n\xff\r\n--B--\r\n',
        ]
        answer = httpx.post(
            f"{passing.url}/audio/transcriptions",
            content=b"".join(parts),
            headers={
                "authorization": f"Bearer {ACME}",
                "content-type": "multipart/form-data; boundary=B",
            },
        )
        assert answer.json()["text"] == HEARD
        expected = b"".join(parts).replace(b"listens", b"gpt-4o-transcribe")
        assert upstream.only_seen().body == expected

    @pytest.mark.parametrize("form", ["text", "srt", "vtt"])
    def test_heard_as_text(self, sdk: openai.OpenAI, form: Any) -> None:
        answer = sdk.audio.transcriptions.create(
            model="listens", file=("talk.wav", b"\0" * 3_200), response_format=form
        )
        assert HEARD in str(answer)

    def test_seconds_are_told(self, sdk: openai.OpenAI, passing: Gateway) -> None:
        with pytest.warns(DeprecationWarning):
            raw = sdk.audio.translations.with_raw_response.create(
                model="whisper", file=("talk.wav", b"\0" * 32_000)
            )
        assert raw.parse().text == HEARD
        row = _settlement(passing, raw.headers)
        assert (row.operation, row.usage_source) == ("translations", "estimated")
        assert row.cost_microusd == 100  # a second of $0.36 an hour


class TestVerdictsAndRanks:
    def test_moderated(
        self, sdk: openai.OpenAI, upstream: ScriptedThread, passing: Gateway
    ) -> None:
        raw = sdk.moderations.with_raw_response.create(input=["A mill", "violence"])
        assert [result.flagged for result in raw.parse().results] == [False, True]
        assert "model" not in upstream.only_seen().json() or (
            upstream.only_seen().json()["model"] == "omni-moderation-latest"
        )
        assert _settlement(passing, raw.headers).operation == "moderations"

    @pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
    def test_ranked(self, passing: Gateway, upstream: ScriptedThread, path: str) -> None:
        documents = ["a dog", "a mill wheel", "a wheel"]
        body = {"model": "rerank", "query": "mill wheel", "documents": documents, "top_n": 2}
        answer = httpx.post(
            passing.root + path, json=body, headers={"authorization": f"Bearer {ACME}"}
        )
        assert [result["index"] for result in answer.json()["results"]] == [1, 2]
        seen = upstream.only_seen()
        assert (seen.path, seen.json()["model"]) == ("/v2/rerank", "rerank-v3.5")


class TestRefused:
    def test_busy(self, sdk: openai.OpenAI, upstream: ScriptedThread) -> None:
        upstream.script({"fault": {"kind": "rate_limited", "retry_after": 7}}, times=None)
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.images.generate(model="gpt-image-1", prompt="A mill")
        assert caught.value.code == "upstream_busy"
        assert caught.value.response.headers["retry-after"] == "7"

    def test_by_key(self, passing: Gateway, upstream: ScriptedThread) -> None:
        with openai.OpenAI(base_url=passing.url, api_key=NARROW, max_retries=0) as narrow:
            spoken = narrow.audio.speech.with_raw_response.create(
                model="tts", voice="alloy", input="Mill"
            )
            assert int(spoken.headers["x-ratelimit-remaining-requests"]) < 1000
            with pytest.raises(openai.PermissionDeniedError, match="may not be used for"):
                narrow.audio.transcriptions.create(model="tts", file=("a.wav", b"1"))
            with pytest.raises(openai.PermissionDeniedError, match="may not use the model"):
                narrow.images.generate(model="gpt-image-1", prompt="A mill")
        with (
            openai.OpenAI(base_url=passing.url, api_key="wrong", max_retries=0) as nobody,
            pytest.raises(openai.AuthenticationError),
        ):
            nobody.audio.transcriptions.create(model="listens", file=("a.wav", b"1"))

    def test_unknown_model(self, sdk: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError, match="Did you mean 'listens'"):
            sdk.audio.transcriptions.create(model="listen", file=("a.wav", b"1"))

    def test_what_the_model_does_not_do(self, sdk: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="does not do image_generations"):
            sdk.images.generate(model="chats", prompt="A mill")

    def test_too_large(self, sdk: openai.OpenAI, upstream: ScriptedThread) -> None:
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.audio.transcriptions.create(model="listens", file=("a.wav", b"\0" * 400_000))
        assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
        assert not upstream.seen

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"--B\r\n\r\n\r\n--B--", "The form cannot be read"),
            (b"preamble\r\n--B\r\n", "does not begin with its boundary"),
            (
                b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nlistens\r\n'
                b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\ntts\r\n'
                b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1'
                b"\r\n--B--\r\n",
                "'model' must be one short text",
            ),
            (
                b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nlistens\r\n--B--\r\n',
                "needs a file",
            ),
        ],
    )
    def test_unsound_forms(
        self, passing: Gateway, upstream: ScriptedThread, body: bytes, said: str
    ) -> None:
        headers = {
            "authorization": f"Bearer {ACME}",
            "content-type": "multipart/form-data; boundary=B",
        }
        answer = httpx.post(f"{passing.url}/audio/transcriptions", content=body, headers=headers)
        assert answer.status_code == 400
        assert said in answer.json()["error"]["message"]
        assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
        assert not upstream.seen

    def test_json_where_a_form_is_needed(self, passing: Gateway) -> None:
        answer = httpx.post(
            f"{passing.url}/audio/transcriptions",
            json={"model": "listens"},
            headers={"authorization": f"Bearer {ACME}"},
        )
        assert answer.status_code == 400
        assert "multipart/form-data" in answer.json()["error"]["message"]
