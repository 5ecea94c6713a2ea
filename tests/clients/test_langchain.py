"""LangChain's own standard tests for chat models, run by its OpenAI integration through the
gateway. docs/clients.md lists what is left out and why.

The scripted upstream does not think: for a test that wants a certain answer it is told that
answer, by the test's name. What is tested is the way there and back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from clients.conftest import CLIENT_KEY
from support.gateway_process import Gateway
from support.scripted import ScriptedThread


def _calls(name: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"tool_calls": [{"name": name, "arguments": arguments}]}]


JOKE = [{"text": '{"setup": "Why did the cat 🐈 sit?", "punchline": "It was tired."}'}]
_CUSTOMERS = ("你好啊集团", "こんにちは株式会社")

SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "test_tool_calling": _calls("magic_function", {"input": 3}),
    "test_tool_calling_async": _calls("magic_function", {"input": 3}),
    "test_bind_runnables_as_tools": _calls("greeting_generator", {"answer_style": "Pirate"}),
    "test_agent_loop": [
        *_calls("get_weather", {"location": "San Francisco, CA"}),
        {"text": "It is sunny."},
    ],
    "test_structured_output": JOKE,
    "test_structured_output_async": JOKE,
    "test_structured_output_pydantic_2_v1": [
        *_calls("Joke", {"setup": "Why?", "punchline": "So."}),
        *_calls("Joke", {"setup": "Why?", "punchline": "So."}),
        *JOKE,
    ],
    "test_structured_output_optional_param": JOKE,
    "test_json_mode": JOKE,
    "test_unicode_tool_call_integration": [
        script
        for name in _CUSTOMERS
        for script in _calls("unicode_customer", {"customer_name": name, "description": "x"})
    ],
}
"""Answers by test. All but the last are given once, the last as often as it is asked for."""


def _without_internet(url: str, **_: Any) -> httpx2.Response:
    """The standard tests download a picture, a sound and a PDF. What is in them does not matter
    to a gateway, so they get bytes from here."""
    return httpx2.Response(200, content=bytes(range(256)) * 40)


@pytest.mark.filterwarnings(
    # LangChain on schemas of Pydantic 1 and on PDFs without a name, Pydantic on LangChain.
    "ignore:Received a Pydantic BaseModel V1 schema:UserWarning",
    "ignore:Pydantic serializer warnings:UserWarning",
    "ignore:OpenAI may require a filename:UserWarning",
)
class TestThroughTheGateway(ChatModelIntegrationTests):
    """Each standard test against the scripted upstream."""

    @pytest_asyncio.fixture(autouse=True)
    async def _prepared(
        self,
        request: pytest.FixtureRequest,
        gateway: Gateway,
        upstream: ScriptedThread,
        monkeypatch: pytest.MonkeyPatch,
    ) -> AsyncIterator[None]:
        monkeypatch.setattr("httpx.get", _without_internet)
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "none is sent")
        self._url = gateway.url
        self._upstream = upstream
        *once, last = SCRIPTS.get(request.node.originalname, [{"text": "Hello from the mill."}])
        for script in once:
            upstream.script(script)
        upstream.script(last, times=None)
        # Of its own clients LangChain leaves connections open. Without the system's certificates
        # they are made a hundred times faster, and nothing here speaks TLS.
        with httpx2.Client(verify=False) as self._http:
            async with httpx2.AsyncClient(verify=False) as self._async_http:
                yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "gpt-4o",
            "base_url": self._url,
            "api_key": CLIENT_KEY,
            "max_retries": 0,
            "stream_usage": True,
            "http_client": self._http,
            "http_async_client": self._async_http,
        }

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str | None:
        return "gpt-4o-mini"

    @property
    def supported_usage_metadata_details(self) -> Any:
        details = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        message = self._with_usage(stream, {"output": 40, "reasoning": 30})
        assert message.usage_metadata is not None
        assert message.usage_metadata["output_token_details"]["reasoning"] == 30
        return message

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        message = self._with_usage(stream, {"input": 500, "cached": 400})
        assert message.usage_metadata is not None
        assert message.usage_metadata["input_token_details"]["cache_read"] == 400
        return message

    def _with_usage(self, stream: bool, usage: dict[str, int]) -> AIMessage:
        self._upstream.reset()
        self._upstream.script({"usage": usage}, times=None)
        model = self.chat_model_class(**self.chat_model_params)
        if not stream:
            message = model.invoke("Hello")
            assert isinstance(message, AIMessage)
            return message
        first, *rest = model.stream("Hello")
        whole = first
        for chunk in rest:
            whole += chunk
        return whole
