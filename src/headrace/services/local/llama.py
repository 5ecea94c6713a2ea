"""Chat models by llama.cpp: the only module that imports `xllamacpp`."""

from __future__ import annotations

from typing import Any

from headrace.errors import Setup, install_extra
from headrace.services.local.protocol import WorkerOrder

_ERRORS_ONLY = 1
_SPARE_CONNECTIONS = 16


def load(order: WorkerOrder, threads: int) -> Any:
    """Loads the model and listens on a free loopback port with llama.cpp's OpenAI-style HTTP API,
    at the returned object's `listening_address`, as long as that object lives. Blocks, and holds
    the GIL, until loaded. Raises Setup."""
    try:
        import xllamacpp
    except ImportError as fault:
        raise Setup(
            f"chat models need the package xllamacpp: {fault}",
            install_extra("local"),
        ) from None
    params = xllamacpp.CommonParams()
    params.model.path = order.files["weights"]
    # Without an alias, answers show the path of the file as their `model`.
    params.model_alias = {order.model}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [order.key]
    params.n_parallel = order.parallel
    params.n_ctx = order.context_tokens * order.parallel
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    # Each open connection holds one of llama.cpp's HTTP threads, also while it is idle.
    params.n_threads_http = 2 * (order.parallel + order.queue) + _SPARE_CONNECTIONS
    # A cache of prompts in memory, 8 GB by default.
    params.cache_ram_mib = 0
    params.ui = False
    params.offline = True
    params.verbosity = _ERRORS_ONLY
    # Small models fall into loops without it, and into odd words with much more (measured on
    # SmolLM2: at 1.1 its answers drift). A client's own value wins.
    params.sampling.penalty_repeat = 1.02
    # An answer without `max_tokens` must end all the same, and leave room to be read.
    params.n_predict = order.context_tokens // 2
    if order.chat_template is not None:
        params.chat_template = order.chat_template
    try:
        return xllamacpp.Server(params)
    except RuntimeError as fault:
        raise Setup(
            f"llama.cpp cannot load the model {order.model}: {fault}",
            "its file may be damaged, newer than this llama.cpp, or larger than free memory",
        ) from None
