"""Says at the file's own lines which secrets kept a changed file from being taken up."""

from __future__ import annotations

from headrace.config.loading import Loaded
from headrace.config.located import Located
from headrace.config.problems import ConfigError, Findings
from headrace.config.references import references
from headrace.errors import Setup
from headrace.platform.secrets import Secrets

_ENVIRONMENT = (
    "A gateway that runs does not see new variables: start it again with this one, or write "
    "`file:PATH`, which is read anew."
)


def at_its_line(fault: Setup, loaded: Loaded, secrets: Secrets, now: float) -> Setup:
    """The same fault, told of each reference in the file that cannot be resolved; `fault` itself
    where all of them can, so that something else is wrong. `now` is monotonic seconds."""
    findings = Findings(str(loaded.source))
    located = Located(dict(loaded.places), findings)
    for path, reference in references(loaded.config):
        try:
            secrets.get(reference, now)
        except Setup as unread:
            hint = _ENVIRONMENT if reference.startswith("env:") else unread.hint or ""
            located.problem(path, unread.problem.rstrip("."), hint)
    return ConfigError(findings.problems) if findings.problems else fault
