"""When a model's answers are given again: settings of `gateway/cache/`. The docstrings under the
fields are the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Answers = Literal["off", "exact", "semantic"]
Partition = Literal["tenant", "team", "key", "shared"]


class CachePolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether calls get an answer that was made for an earlier one. Kept in memory, by
    worker, within the bounds of `resilience.kept_answers`."""

    answers: Answers = "off"
    """`exact` gives the answer of the very same request; `semantic` also that of a request that
    differs in its last question alone, where that asks the same in other words. `semantic` needs
    `pip install 'headrace[semantic]'` and the model of `headrace models pull all-minilm-l6-v2`."""
    partition: Partition = "tenant"
    """Who share answers: those of a tenant, a team, one key, or all. Callers without a team have
    their key's."""
    keep_s: Annotated[float, Meta(gt=0, le=2_592_000, description="a duration in seconds")] = 3600.0
    """How long an answer is given again."""
    survive_restarts: bool = True
    """Keep answers and their questions in the store's folder, too, in `answers.db`."""
    most_temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    """Calls that ask for a higher `temperature` want variety: each gets an answer of its own."""
    least_score: Annotated[float, Meta(ge=0.5, le=1)] | None = None
    """For `semantic`: how sure the guard must be that two questions ask the same. Leave out for the
    one that it was measured with."""
    max_wrong_rate: Annotated[float, Meta(ge=0.0001, le=0.5)] | None = None
    """For `semantic`: at most this share of the answers given to other words may be wrong. Which
    may be given is then learned from feedback, by partition and neighbourhood of questions; what is
    in doubt is not given. `0.01` begins with what the guard was measured to get right; a smaller
    share gives nothing to other words until feedback shows that it may. See `docs/cache.md`."""
    check_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """With `max_wrong_rate`: of answers given to other words, the share for which the model is
    asked all the same, behind the client's back, to see whether it says the same. These calls cost
    what calls cost; in the ledger they have the tag `cache=check`."""
    wait_s: Annotated[float, Meta(ge=0, le=600)] = 0.0
    """A call that asks what another call is being answered at this moment, in the same words or,
    with `semantic`, in others, waits so long for that answer before it asks the model itself. 0
    lets each ask for itself. A stream that waited begins when the other answer has ended."""
