"""The commands `cache ...`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from headrace.errors import Misused

ConfigOption = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="The file; else HEADRACE_CONFIG, ./headrace.yaml."),
]
JsonOption = Annotated[bool, Parameter(name="--json", help="Print JSON.", negative=())]

cache_app = App(name="cache", help="Answers given again: how they fare, and why.")


@cache_app.command
def stats(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show hit rates, what was saved, and the calls that were nearest to a hit."""
    from headrace.operate.cache_commands import show_stats
    from headrace.operate.finding import find_config

    sys.exit(show_stats(find_config(config), as_json=json))


@cache_app.command
def why(
    asked: Annotated[str, Parameter(help="A call's x-request-id; or a question.")],
    kept: Annotated[str | None, Parameter(help="A question whose answer might be given.")] = None,
    *,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Tell why a call got a kept answer or none; or what the guard says of two questions.

    Example: `headrace cache why "How do I reset my password?" "I forgot my password, how can I
    reset it?"`
    """
    from headrace.operate.cache_commands import explain_call, explain_texts
    from headrace.operate.finding import find_config

    if kept is None:
        sys.exit(explain_call(find_config(config), asked, as_json=json))
    sys.exit(explain_texts(asked, kept, as_json=json))


@cache_app.command
def purge(
    *,
    partition: Annotated[
        str | None, Parameter(help="shared, tenant/NAME, team/TENANT/NAME or key/TENANT/ID.")
    ] = None,
    tag: Annotated[
        str | None, Parameter(help="model=NAME, a key's NAME=VALUE, or one that clients gave.")
    ] = None,
    call: Annotated[
        str | None, Parameter(help="The call that paid for an answer, or was given one.")
    ] = None,
    everything: Annotated[
        bool, Parameter(name="--all", help="All answers of all partitions.", negative=())
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Drop kept answers: those for which all that is said is true."""
    from headrace.operate.cache_commands import drop_answers
    from headrace.operate.finding import find_config

    wish = {"partition": partition, "tag": tag, "call": call}
    if everything == any(wish.values()):
        raise Misused(
            "Say which answers: either --all, or some of --partition, --tag and --call.",
            "As in `headrace cache purge --partition tenant/acme --tag model=gpt-4o`.",
        )
    sys.exit(drop_answers(find_config(config), wish, as_json=json))


@cache_app.command
def tune(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """Plot hits against wrong hits for thresholds, by the calls that workers remember."""
    from headrace.operate.cache_commands import plot_thresholds
    from headrace.operate.finding import find_config

    sys.exit(plot_thresholds(find_config(config), as_json=json))


@cache_app.command
def flag(
    call: Annotated[str, Parameter(help="The x-request-id of a call that got a kept answer.")],
    *,
    verdict: Annotated[
        Literal["right", "wrong"], Parameter(help="What the answer was for that question.")
    ] = "wrong",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say that the kept answer of a call was wrong, or right. A wrong one is not given again for
    that question."""
    from headrace.operate.cache_commands import flag_answer
    from headrace.operate.finding import find_config

    sys.exit(flag_answer(find_config(config), call, right=verdict == "right", as_json=json))


@cache_app.command
def replay(
    file: Annotated[Path, Parameter(help='Lines like {"text": "...", "label": "..."}.')],
    *,
    model: Annotated[
        str | None, Parameter(help="Whose `cache` settings; else `answers: semantic` alone.")
    ] = None,
    max_wrong_rate: Annotated[
        float | None, Parameter(help="In place of the settings', as 0.01.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Tell what the cache would have done with a workload: hit rate, money saved, wrong hits.

    No model is asked and no gateway need run. Example: `headrace cache replay calls.jsonl`
    """
    from headrace.operate.cache_replay import policy_for
    from headrace.operate.cache_replay import replay as replayed
    from headrace.operate.finding import find_config

    policy = policy_for(find_config(config), model, max_wrong_rate)
    sys.exit(replayed(file, policy, as_json=json))
