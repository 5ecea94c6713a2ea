"""LiteLLM's proxy with what its production guide advises, and nothing that slows it.

One worker (uvicorn on uvloop), `LITELLM_MODE=PRODUCTION`, logs at ERROR, a master key, no
database, no callbacks, no telemetry, the model cost map from the package instead of the network.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.base import BENCH_FOLDER, CLIENT_KEY, UPSTREAM_KEY, Command, Endpoint

_PROGRAM = BENCH_FOLDER / "litellm" / "bin" / "litellm"
_CONFIG = """\
model_list:
  - model_name: gpt-4o-mini
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: {url}
      api_key: os.environ/UP_KEY
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
litellm_settings:
  set_verbose: false
  request_timeout: 600
  telemetry: false
"""


class LiteLLM:
    name = "litellm"
    title = "LiteLLM"

    def missing(self) -> str | None:
        return None if _PROGRAM.exists() else "make bench-peers"

    def version(self) -> str:
        found = sorted(BENCH_FOLDER.glob("litellm/lib/*/site-packages/litellm-*.dist-info"))
        return found[-1].name.removeprefix("litellm-").removesuffix(".dist-info") if found else ""

    def command(self, upstream_url: str, port: int, folder: Path) -> Command | None:
        config = folder / "litellm.yaml"
        config.write_text(_CONFIG.format(url=upstream_url))
        return Command(
            [
                *(str(_PROGRAM), "--config", str(config), "--host", "127.0.0.1"),
                *("--port", str(port), "--num_workers", "1"),
            ],
            {
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
                "LITELLM_MODE": "PRODUCTION",
                "LITELLM_MASTER_KEY": CLIENT_KEY,
                "UP_KEY": UPSTREAM_KEY,
            },
        )

    def endpoint(self, upstream_url: str, port: int) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{port}/v1")
