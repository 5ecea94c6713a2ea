"""Warns of models and regions that a key or a unit of the registry may use and nobody offers.

In the file such a name is found by its check. The registry takes any, since a model may be written
down later than the key for it; but most of them are misspelt, and their calls are refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from headrace.config.key_rules import ANY_MODEL
from headrace.config.loading import Loaded
from headrace.config.masking import quoted
from headrace.config.words import suggestion


def unknown_names(
    loaded: Loaded, models: Iterable[str] | None, regions: Iterable[str] | None
) -> list[str]:
    """A sentence or two for each name that the file does not have; None stands for all names.
    Without a file there are none: what the gateway finds depends on its own environment."""
    if loaded.source is None:
        return []
    config, found = loaded.config, []
    if ANY_MODEL not in config.models:
        for model in models or ():
            if model not in config.models:
                hint = suggestion(model, config.models, "Add it under `models`.")
                found.append(f"Warning: there is no model {quoted(model)}. {hint}")
    known = {one.region for one in config.backends.values() if one.region is not None}
    for region in regions or ():
        if region not in known:
            hint = suggestion(region, known, "Write the `region` of a backend.")
            found.append(f"Warning: no backend is in the region {quoted(region)}. {hint}")
    return found
