"""What the operator may write in `headrace.yaml`. The docstrings under the fields are the
documentation: the JSON Schema and the reference page are generated from them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from headrace.allowances import BudgetRule, LimitRule
from headrace.config.admin_oidc import AdminTokens
from headrace.config.alerting import Alerts
from headrace.config.backends import AnyBackend, Seconds, Timeouts
from headrace.config.caching import CachePolicy
from headrace.config.caps import Counting, TokenCapRule
from headrace.config.exporting import AnyExport
from headrace.config.oidc import Oidc
from headrace.config.policies import (
    BalancePolicy,
    BreakerPolicy,
    ConcurrencyPolicy,
    HedgePolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    SheddingPolicy,
    StructuredOutputPolicy,
    TranslationPolicy,
)
from headrace.config.pricing import OwnPrice, PricedModel
from headrace.config.realtime import RealtimePolicy
from headrace.config.references import SecretRef
from headrace.config.sharing import (
    AnswerCachePolicy,
    CoalescingPolicy,
    IdempotencyPolicy,
    Mode,
)
from headrace.config.storing import Store
from headrace.config.telemetry import Telemetry
from headrace.config.terms import Capability, IpRange, KeyTerms, Name
from headrace.config.tool_servers import (
    CommandToolServer,
    HttpToolServer,
    ServerName,
    ToolAccess,
    ToolLimit,
)
from headrace.config.units import Team, Tenant

Port = Annotated[int, Meta(ge=0, le=65_535)]
ModelName = Annotated[
    str,
    Meta(
        pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127})$",
        description='a name of letters, digits and `. _ : / @ -`, or `"*"` for every other name',
    ),
]
HostName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$",
        description="the name of a machine, such as `gateway.example.net`",
    ),
]


class Tls(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Certificate for the client port."""

    certificate: str
    """Path of the PEM certificate chain."""
    key: str
    """Path of the PEM private key."""


class Server(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The port that clients call."""

    host: str = "127.0.0.1"
    """Address to listen on. `0.0.0.0` serves other machines too."""
    port: Port = 8080
    """Port to listen on; 0 takes a free one."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Processes that serve the port."""
    body_limit_bytes: Annotated[int, Meta(ge=1024, le=1024**3)] = 20 * 1024 * 1024
    """Largest request body; a larger one is answered with 413."""
    header_limit_bytes: Annotated[int, Meta(ge=1024, le=1024**2)] = 32 * 1024
    """Largest request line and headers together; larger is answered with 431."""
    json_depth_limit: Annotated[int, Meta(ge=4, le=512)] = 64
    """Deepest nesting of a JSON body; deeper is answered with 400."""
    header_timeout_s: Seconds = 10.0
    """A client must send a request's headers within this time."""
    body_timeout_s: Seconds = 60.0
    """A client must send a request's body within this time."""
    keep_alive_s: Seconds = 75.0
    """An idle client connection is kept for this long."""
    max_connections: Annotated[int, Meta(ge=1)] = 10_000
    """Client connections held at once by one worker; more are answered with 503."""
    drain_s: Seconds = 30.0
    """On SIGTERM running calls may finish within this time."""
    trusted_proxies: list[IpRange] = field(default_factory=list)
    """Addresses of your proxies and load balancers, such as `10.0.0.0/8`. Only what they say of a
    client's address is believed; without any the socket's address is the client's."""
    client_address_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """The header that your proxies write; of the other nothing is believed."""
    tls: Tls | None = None
    """Serve HTTPS with this certificate."""


class ModelTimeouts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long backends may take for one model. What is left out is each backend's own."""

    connect_s: Seconds | None = None
    """To open a connection."""
    first_token_s: Seconds | None = None
    """Of a stream: to the first event."""
    idle_s: Seconds | None = None
    """Between two events of a stream."""
    whole_s: Seconds | None = None
    """Of a whole answer: to its end, over all attempts. One that need not be the last has two
    thirds of what is left."""
    stream_s: Seconds | None = None
    """Of a stream: to its end."""

    def over(self, own: Timeouts) -> Timeouts:
        """A backend's own ones, with those that are written here in their stead."""
        return Timeouts(
            connect_s=own.connect_s if self.connect_s is None else self.connect_s,
            first_token_s=own.first_token_s if self.first_token_s is None else self.first_token_s,
            idle_s=own.idle_s if self.idle_s is None else self.idle_s,
            whole_s=own.whole_s if self.whole_s is None else self.whole_s,
            stream_s=own.stream_s if self.stream_s is None else self.stream_s,
        )


class Key(KeyTerms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A credential that clients send as `Authorization: Bearer`, `api-key` or `x-api-key`."""

    secret: SecretRef
    """Where the key's text is: `env:NAME` or `file:PATH`. At least 16 characters."""


class Fallback(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client gets when no backend can answer."""

    cache: bool = False
    """Give the answer that the very same request had before, if it is kept. Complete answers of
    this model are then kept in memory, by tenant; see `resilience.kept_answers`."""
    message: str | None = None
    """A friendly sentence, else one that says what was the matter."""
    as_answer: bool = False
    """Give the message as a normal completion, marked by the header
    `x-headrace-answered-by: message`, in place of an error with status 503."""


class Model(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A name that clients ask for, and what answers it."""

    pools: list[list[Name]]
    """Tiers of backends: the first tier is used while any of it can answer."""
    context_fallback: list[Name] = field(default_factory=list)
    """Backends with a larger context window, asked only when a conversation is too long for the
    pools'. They and the pools' backends must say their `context_tokens`."""
    needs: list[Capability] = field(default_factory=list)
    """What a backend must have to be asked, whatever the request is: those whose `capabilities`
    lack it never are."""
    balance: BalancePolicy = BalancePolicy()
    """Which backend of a tier gets a call."""
    retry: RetryPolicy = RetryPolicy()
    """How often and when a failed attempt is repeated."""
    timeouts: ModelTimeouts = ModelTimeouts()
    """How long backends may take for this model."""
    fallback: Fallback = Fallback()
    """What a client gets when no backend can answer."""
    resume: bool = False
    """Let another backend go on with a stream that broke off after its first content, for chats of
    plain text. Two answers are spliced: what follows may repeat or contradict what was said."""
    structured_output: StructuredOutputPolicy = StructuredOutputPolicy()
    """Answers that have to fit a JSON schema of the client's."""
    hedge: HedgePolicy = HedgePolicy()
    """Asking a second backend for a whole answer that takes long."""
    cache: CachePolicy = CachePolicy()
    """Whether calls get an answer that was made for an earlier one."""
    coalesce: Mode | None = None
    """Whether equal calls in flight share one answer; leave out to take
    `resilience.coalescing.mode`."""


class Resilience(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the gateway stands up to faults, for all models."""

    breaker: BreakerPolicy = BreakerPolicy()
    """When a backend is taken out because it fails, and how it comes back."""
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy()
    """Calls that may run on one backend at once."""
    retry_budget: RetryBudgetPolicy = RetryBudgetPolicy()
    """Retries of all models together."""
    shedding: SheddingPolicy = SheddingPolicy()
    """When the gateway itself is overloaded and refuses calls."""
    idempotency: IdempotencyPolicy = IdempotencyPolicy()
    """What a repeated call gets instead of a second answer."""
    coalescing: CoalescingPolicy = CoalescingPolicy()
    """Equal calls in flight, answered by one upstream call."""
    kept_answers: AnswerCachePolicy = AnswerCachePolicy()
    """Answers kept for when no backend can answer."""


class Redis(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A Redis or Valkey server by which workers and replicas share what they know. While it is
    away, each goes on by itself. Needs `pip install 'headrace[redis]'`."""

    url: str
    """`redis://HOST:PORT/DATABASE`, or `rediss://` for TLS. User name and password stand below."""
    username: str | None = None
    """The user of an access list (ACL); leave out for servers with a password alone."""
    password: SecretRef | None = None
    """Where the password is: `env:NAME` or `file:PATH`. Leave out for servers without."""
    ca: str | None = None
    """Path of the PEM certificates that vouch for the server's; leave out to trust the system's."""
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:/-]{0,64}$")] = "headrace:"
    """What all names of keys and channels start with. Gateways with the same prefix share."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 2.0
    """A server that does not answer for this long counts as away."""
    share_breakers: bool = True
    """Tell each other which backends are out, so that one's failures spare all the others."""


class Admin(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The port by which keys, tenants and backends are administered, in a process of its own."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8081
    """Port to listen on; 0 takes a free one."""
    key: SecretRef | None = None
    """Where a key with all rights is, `env:NAME` or `file:PATH`: at least 32 characters that cannot
    be guessed. Leave out to use keys of `headrace admin key`; without any, one is made and printed
    at the first start."""
    oidc: dict[Name, AdminTokens] = field(default_factory=dict)
    """Whose access tokens administer too, by the names of issuers under `oidc.issuers`. With any,
    no key is made at the first start."""
    hosts: list[HostName] = field(default_factory=list)
    """Names by which the port is called, besides `localhost` and addresses. A request for another
    name is refused, so that no web page can reach the port through a browser."""
    tls: Tls | None = None
    """Serve HTTPS with this certificate."""
    console: bool = True
    """Serve the console, pages for people, at `/console` of this port."""


class Mcp(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One endpoint of the Model Context Protocol, `/mcp`, that gathers the tools of your servers,
    in a process of its own. Needs `pip install 'headrace[mcp]'`."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8082
    """Port to listen on; 0 takes a free one."""
    tls: Tls | None = None
    """Serve HTTPS with this certificate."""
    servers: dict[ServerName, HttpToolServer | CommandToolServer] = field(default_factory=dict)
    """Your MCP servers. A tool's name here is the server's, two underscores, and its own."""
    access: list[ToolAccess] = field(default_factory=list)
    """Who may see and call which tools: what any rule allows that is about the caller."""
    limits: list[ToolLimit] = field(default_factory=list)
    """How often tools may be called. A call must pass all that concern it."""
    argument_limit_bytes: Annotated[int, Meta(ge=256, le=16 * 1024 * 1024)] = 64 * 1024
    """Largest arguments of one call, as JSON."""
    answer_limit_bytes: Annotated[int, Meta(ge=256, le=256 * 1024 * 1024)] = 1024 * 1024
    """Largest answer of one call, as JSON; of a larger one the model is told that it is too large.
    """


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `headrace.yaml`."""

    server: Server = Server()
    """The port that clients call."""
    keys: dict[Name, Key] = field(default_factory=dict)
    """Credentials of clients by name; without any, one is generated and printed."""
    tenants: dict[Name, Tenant] = field(default_factory=dict)
    """Tenants with their teams and users: ceilings, limits and budgets for all keys and tokens
    under them. The registry's hold beside them."""
    teams: dict[Name, Team] = field(default_factory=dict)
    """Teams of those who name no tenant, which is the tenant `default`."""
    oidc: Oidc = Oidc()
    """Identity providers whose access tokens are credentials."""
    backends: dict[Name, AnyBackend] = field(default_factory=dict)
    """Deployments of models, by a name of your choice. Leave out to serve what is found."""
    models: dict[ModelName, Model] = field(default_factory=dict)
    """Names that clients ask for, and the backends that answer them. The name `"*"` catches every
    name that is not listed. Leave out to offer each backend by its own name and its model's."""
    limits: list[LimitRule] = field(default_factory=list)
    """Rates, and calls at once. A call must pass all that concern it."""
    budgets: list[BudgetRule] = field(default_factory=list)
    """Money or tokens for calendar periods. A call must pass all that concern it."""
    token_caps: list[TokenCapRule] = field(default_factory=list)
    """The default and the most of `max_tokens`, by kind of call."""
    prices: dict[PricedModel, OwnPrice] = field(default_factory=dict)
    """What you pay, where it is not the list price, by `MODEL` or `PROVIDER/MODEL`."""
    counting: Counting = Counting()
    """How tokens are counted before a call."""
    resilience: Resilience = Resilience()
    """How the gateway stands up to faults, for all models."""
    translation: TranslationPolicy = TranslationPolicy()
    """Calls whose client speaks another dialect than the backend."""
    realtime: RealtimePolicy = RealtimePolicy()
    """Sessions of speech over WebSockets."""
    redis: Redis | None = None
    """A server by which workers and replicas share what they know; leave out if each is to know
    only what it has seen."""
    store: Store = Store()
    """Where Headrace keeps what must not be lost."""
    admin: Admin | None = None
    """The port for administration; leave out for none."""
    mcp: Mcp | None = None
    """The port for tools; leave out for none."""
    telemetry: Telemetry = Telemetry()
    """What is measured and told of calls."""
    alerts: Alerts = Alerts()
    """What is watched, and who is told."""
    export: dict[Name, AnyExport] = field(default_factory=dict)
    """Where settled calls are told of, by a name of your choice."""
