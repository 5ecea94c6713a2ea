"""The commands for keys, tenants, teams, users and administrators: arguments and their help."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from headrace.operate.command_line import whole_number

if TYPE_CHECKING:
    from headrace.config.loading import Loaded

ConfigOption = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="The file; else HEADRACE_CONFIG, ./headrace.yaml."),
]
JsonOption = Annotated[bool, Parameter(name="--json", help="Print JSON for machines.")]
KeyName = Annotated[str, Parameter(help="The key's id, or its name if no other has it.")]
Models = Annotated[
    list[str] | None, Parameter(name="--model", help="A model it may use; several, or a,b.")
]
Regions = Annotated[
    list[str] | None, Parameter(name="--region", help="A region that may answer; several, or a,b.")
]
IpRanges = Annotated[
    list[str] | None, Parameter(name="--ip", help="A range it may be used from: 10.0.0.0/8.")
]
Operations = Annotated[
    list[str] | None,
    Parameter(name="--operation", help="A request type: chat, completions, embeddings."),
]
Expires = Annotated[str | None, Parameter(help="When it ends: 30d, 2030-12-31, or an instant.")]
Tags = Annotated[list[str] | None, Parameter(name="--tag", help="NAME=WORD, to sort calls by.")]
PerMinute = Annotated[
    int | None, Parameter(converter=whole_number, help="Calls in a minute; 0 for no limit.")
]
TokensPerMinute = Annotated[
    int | None, Parameter(converter=whole_number, help="Tokens in a minute; 0 for no limit.")
]
MonthlyUsd = Annotated[
    str | None, Parameter(help="US dollars in a calendar month; 0 for no budget.")
]
Importance = Annotated[
    Literal["batch", "normal", "critical"] | None,
    Parameter(name="--priority", help="The most important class that its calls may claim."),
]
Tenant = Annotated[str, Parameter(help="The tenant.")]
TenantOfKey = Annotated[
    str | None, Parameter(help="Whose key it is: a tenant that was made; else `default`.")
]
OnlyTenant = Annotated[str | None, Parameter(help="Those of this tenant alone.")]
OnlyTeam = Annotated[str | None, Parameter(help="Those of this team alone.")]
OnlyUser = Annotated[str | None, Parameter(help="Those of this user alone.")]
Team = Annotated[str | None, Parameter(help="A team of the tenant, whose bounds hold too.")]
User = Annotated[str | None, Parameter(help="A user of the tenant, whose bounds hold too.")]
NewName = Annotated[str | None, Parameter(help="What the key is called from now on.")]
NewUnit = Annotated[str, Parameter(help="What it is called; that stays.")]
TenantName = Annotated[str, Parameter(help="As `headrace tenants list` names it.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a key may do, as options of a command."""

    team: Team = None
    user: User = None
    models: Models = None
    regions: Regions = None
    ip_ranges: IpRanges = None
    operations: Operations = None
    priority: Importance = None
    expires: Expires = None
    requests_per_minute: PerMinute = None
    tokens_per_minute: TokensPerMinute = None
    monthly_usd: MonthlyUsd = None
    tags: Tags = None

    def said(self) -> dict[str, Any]:
        """By the registry's names; None for what was left out."""
        from headrace.operate.registry_commands import words

        listed = ("models", "regions", "ip_ranges", "operations")
        return {f: words(v) if f in listed else v for f, v in vars(self).items()}


keys_app = App(
    name="keys",
    help=(
        "Virtual keys: make, list, rotate and revoke them, whether a gateway runs or not.\n\n"
        "A running gateway heeds a change within a second. A secret is shown once and kept "
        "nowhere: only its SHA-256 is. Keys of headrace.yaml are listed too, and changed there."
    ),
)
tenants_app = App(name="tenants", help="Tenants: whose keys, teams and users are kept apart.")
teams_app = App(name="teams", help="Teams of a tenant: what their keys have in common.")
users_app = App(name="users", help="Users of a tenant.")
admin_app = App(
    name="admin",
    help=(
        "Keys of the admin API, which `admin: {port: 8081}` in headrace.yaml switches on.\n\n"
        "Roles: viewer sees; operator also makes and revokes keys and takes backends out; admin "
        "also makes tenants, teams, users and admin keys."
    ),
)


def _found(config: Path | None) -> Loaded:
    from headrace.operate.finding import find_config

    return find_config(config)


@keys_app.command(name="create")
def create_key(
    name: Annotated[str, Parameter(help="What the key is for, such as `shop`.")],
    *,
    tenant: TenantOfKey = None,
    terms: Terms | None = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key and print it, this once. What is left out is not restricted.

    The key alone goes to standard output: `KEY=$(headrace keys create shop)`.

    Example: `headrace keys create shop --model gpt-4o --expires 90d`
    """
    from headrace.operate import registry_commands as commands

    options = {"name": name, "tenant": tenant, **(terms or Terms()).said()}
    sys.exit(commands.create_key(_found(config), options, as_json=json))


@keys_app.command(name="list")
def list_keys(
    *,
    tenant: OnlyTenant = None,
    team: OnlyTeam = None,
    user: OnlyUser = None,
    all: Annotated[bool, Parameter(help="Revoked ones too.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the keys, without their secrets."""
    from headrace.operate import registry_commands as commands

    sys.exit(
        commands.list_keys(
            _found(config), tenant=tenant, team=team, user=user, as_json=json, all_states=all
        )
    )


@keys_app.command(name="show")
def show_key(key: KeyName, *, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show all that is known of a key but its secret."""
    from headrace.operate import registry_commands as commands

    sys.exit(commands.show_key(_found(config), key, as_json=json))


@keys_app.command(name="update")
def update_key(
    key: KeyName,
    *,
    name: NewName = None,
    terms: Terms | None = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change what a key may do. What is left out stays; a list replaces the one before.

    Example: `headrace keys update shop --model gpt-4o,gpt-4o-mini`
    """
    from headrace.operate import registry_commands as commands

    options = {"name": name, **(terms or Terms()).said()}
    sys.exit(commands.update_key(_found(config), key, options, as_json=json))


@keys_app.command(name="rotate")
def rotate_key(
    key: KeyName,
    *,
    grace: Annotated[
        str, Parameter(help="How long the old secret goes on working: 30m, 24h, 7d or 0.")
    ] = "24h",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Give a key a new secret and print it, this once. The key keeps its id and its limits.

    Example: `headrace keys rotate shop --grace 7d`
    """
    from headrace.operate import registry_commands as commands

    sys.exit(commands.rotate_key(_found(config), key, grace, as_json=json))


@keys_app.command(name="revoke")
def revoke_key(key: KeyName, *, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Refuse a key for good, all its secrets. Running gateways do so within a second."""
    from headrace.operate import registry_commands as commands

    sys.exit(commands.revoke_key(_found(config), key, as_json=json))


@tenants_app.command(name="create")
def create_tenant(
    name: NewUnit,
    *,
    models: Models = None,
    regions: Regions = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a tenant. Its models and regions are the most that its keys may use.

    Example: `headrace tenants create acme --region westeurope,swedencentral`
    """
    from headrace.operate import unit_commands as commands
    from headrace.operate.registry_commands import words

    options = {"name": name, "models": words(models), "regions": words(regions)}
    sys.exit(commands.create_unit(_found(config), "tenant", name, options, as_json=json))


@tenants_app.command(name="list")
def list_tenants(*, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the tenants. The tenant `default` is there without being made."""
    from headrace.operate import unit_commands as commands

    sys.exit(commands.list_units(_found(config), "tenant", None, as_json=json))


@tenants_app.command(name="suspend")
def suspend_tenant(
    name: TenantName, *, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Refuse all keys of a tenant until it is resumed."""
    from headrace.operate import unit_commands as commands

    loaded = _found(config)
    sys.exit(commands.set_suspended(loaded, "tenant", name, name, True, as_json=json))


@tenants_app.command(name="resume")
def resume_tenant(
    name: TenantName, *, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Take a suspended tenant's keys again."""
    from headrace.operate import unit_commands as commands

    loaded = _found(config)
    sys.exit(commands.set_suspended(loaded, "tenant", name, name, False, as_json=json))


@teams_app.command(name="create")
def create_team(
    name: NewUnit,
    *,
    tenant: Tenant = "default",
    models: Models = None,
    regions: Regions = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a team. Its models and regions are the most that its keys may use.

    Example: `headrace teams create search --tenant acme`
    """
    from headrace.operate import unit_commands as commands
    from headrace.operate.registry_commands import words

    options = {"name": name, "models": words(models), "regions": words(regions)}
    sys.exit(commands.create_unit(_found(config), "team", tenant, options, as_json=json))


@teams_app.command(name="list")
def list_teams(
    *, tenant: OnlyTenant = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List the teams."""
    from headrace.operate import unit_commands as commands

    sys.exit(commands.list_units(_found(config), "team", tenant, as_json=json))


@users_app.command(name="create")
def create_user(
    name: NewUnit,
    *,
    tenant: Tenant = "default",
    team: Team = None,
    models: Models = None,
    regions: Regions = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a user. Example: `headrace users create ann@example.com --team search`"""
    from headrace.operate import unit_commands as commands
    from headrace.operate.registry_commands import words

    options = {
        "name": name,
        "team": team,
        "models": words(models),
        "regions": words(regions),
    }
    sys.exit(commands.create_unit(_found(config), "user", tenant, options, as_json=json))


@users_app.command(name="list")
def list_users(
    *, tenant: OnlyTenant = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List the users."""
    from headrace.operate import unit_commands as commands

    sys.exit(commands.list_units(_found(config), "user", tenant, as_json=json))


@admin_app.command(name="key")
def create_admin_key(
    name: Annotated[str, Parameter(help="Whose key it is.")] = "admin",
    *,
    role: Annotated[
        Literal["viewer", "operator", "admin"], Parameter(help="What it may do.")
    ] = "admin",
    tenants: Annotated[
        list[str] | None, Parameter(name="--tenant", help="For these tenants alone; else all.")
    ] = None,
    ip_ranges: IpRanges = None,
    expires: Expires = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key of the admin API and print it, this once.

    Example: `headrace admin key ann --role operator --tenant acme`
    """
    from headrace.operate import unit_commands as commands
    from headrace.operate.registry_commands import words

    options = {
        "name": name,
        "role": role,
        "tenants": words(tenants),
        "ip_ranges": words(ip_ranges),
        "expires": expires,
    }
    sys.exit(commands.create_admin_key(_found(config), options, as_json=json))


@admin_app.command(name="list")
def list_admin_keys(*, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the keys of the admin API, without their secrets."""
    from headrace.operate import unit_commands as commands

    sys.exit(commands.list_admin_keys(_found(config), as_json=json))


@admin_app.command(name="revoke")
def revoke_admin_key(
    key: Annotated[str, Parameter(help="The key's id.")],
    *,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Refuse a key of the admin API for good."""
    from headrace.operate import unit_commands as commands

    sys.exit(commands.revoke_admin_key(_found(config), key, as_json=json))
