"""What is measured and told of calls. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from headrace.config.policies import Share
from headrace.config.references import SecretRef

HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$", description="a header's name")]
LogForm = Literal["json", "text"]


class TraceTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which traces are kept, wherever they go."""

    sample_share: Share = 0.1
    """Share of calls whose trace is kept. Calls that failed, were slow or met with trouble are
    always kept, and so are those whose client says that its trace is."""
    slow_s: Annotated[float, Meta(gt=0, le=86_400)] = 5.0
    """A whole answer, or a stream's first content, that takes longer is slow. In seconds."""
    propagate: bool = True
    """Send `traceparent` to the backends, so that their spans join the trace."""
    service: str = "headrace"
    """The name under which its spans are found."""
    queue: Annotated[int, Meta(ge=16, le=1_000_000)] = 2048
    """Calls whose trace may wait to be sent, for each worker; more are dropped and counted."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 10.0
    """A batch that is not taken within this time is lost."""
    capture_content: bool = False
    """Put prompts and answers of chats into the spans of calls that are kept: whoever reads traces
    then reads what your users write. Known secrets, and text that looks like one, are taken out;
    names, addresses and all else that is personal is not."""
    content_kib: Annotated[int, Meta(ge=1, le=1024)] = 16
    """So much text of what was asked, and of what was answered, in each span at most. Of a long
    conversation the beginning is left out."""


class OtlpTraces(
    TraceTerms, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="otlp"
):
    """Traces to a collector, by OpenTelemetry's protocol over HTTP."""

    url: str = "http://127.0.0.1:4318"
    """The collector; `/v1/traces` is added if no path is written."""
    headers: dict[HeaderName, SecretRef] = field(default_factory=dict)
    """Headers that the collector wants, such as a key: by name, where each one's text is."""


class AzureMonitorTraces(
    TraceTerms,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="to",
    tag="azure_monitor",
):
    """Traces to Azure Monitor. Needs `pip install 'headrace[azure-monitor]'`."""

    connection_string: SecretRef
    """Where the resource's connection string is: `env:NAME` or `file:PATH`."""


class ConsoleTraces(
    TraceTerms, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="console"
):
    """Traces to standard error, for trying. Needs `pip install 'headrace[otel]'`."""


AnyTraces = OtlpTraces | AzureMonitorTraces | ConsoleTraces


class OtlpMetrics(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="otlp"
):
    """Metrics to a collector, by OpenTelemetry's protocol over HTTP."""

    url: str = "http://127.0.0.1:4318"
    """The collector; `/v1/metrics` is added if no path is written."""
    headers: dict[HeaderName, SecretRef] = field(default_factory=dict)
    """Headers that the collector wants, such as a key: by name, where each one's text is."""
    every_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    """Sums are sent this often, in seconds."""
    service: str = "headrace"
    """The name under which they are found."""
    queue: Annotated[int, Meta(ge=1024, le=1_000_000)] = 65_536
    """Calls that may wait to be counted, for each worker, while the collector keeps its thread
    waiting; more are dropped and counted as such."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Sums that are not taken within this time are in what is sent next."""


class Telemetry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is measured and told of calls. Never a word of a prompt or an answer, but by
    `traces.capture_content`."""

    metrics: bool | None = None
    """Count calls, times, tokens and cost for `/metrics` on the admin port. Leave out to do so if
    there is an admin port, or somebody to be told of alerts."""
    send_metrics: OtlpMetrics | None = None
    """Where metrics by OpenTelemetry's conventions go, beside `/metrics` or without it; leave out
    for none."""
    tenant_labels: Annotated[int, Meta(ge=0, le=10_000)] = 100
    """Tenants that metrics tell apart; all further ones are counted as `other`."""
    logs: LogForm | None = None
    """Write a line for each call into the log: as JSON like all others, or as text for eyes. Leave
    out to log only what a person should look at."""
    traces: AnyTraces | None = None
    """Where spans of calls and of their attempts go; leave out for none."""
