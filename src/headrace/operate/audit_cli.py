"""`headrace audit`: the commands' arguments. What they do is in `audit_commands`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from headrace.operate.command_line import whole_number

audit_app = App(name="audit", help="The log of what administrators did and who was refused.")

ConfigOption = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="The file; else HEADRACE_CONFIG, ./headrace.yaml."),
]
FolderOption = Annotated[
    Path | None, Parameter(help="The store's folder, or an exported one; else the config's.")
]
KeyOption = Annotated[
    str | None,
    Parameter(help="The public key you keep elsewhere: in hexadecimal, or a file that holds it."),
]
JsonOption = Annotated[bool, Parameter(name="--json", help="Print JSON for machines.")]


@audit_app.command(name="list")
def list_events(
    *,
    action: Annotated[str | None, Parameter(help="Only such as `keys` or `keys.create`.")] = None,
    actor: Annotated[str | None, Parameter(help="Only by this one.")] = None,
    limit: Annotated[int, Parameter(converter=whole_number, help="The last so many.")] = 50,
    folder: FolderOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the last events.

    Example: `headrace audit list --action auth.refused`
    """
    from headrace.operate.audit_commands import list_events as listed
    from headrace.operate.audit_commands import log_folder

    listed(log_folder(folder, config), action, actor, limit, as_json=json)


@audit_app.command
def verify(
    *,
    checkpoint: Annotated[
        Path | None, Parameter(help="A file with the last checkpoint that you keep elsewhere.")
    ] = None,
    key: KeyOption = None,
    partial: Annotated[
        bool, Parameter(negative=(), help="Its first files were moved elsewhere: check the rest.")
    ] = False,
    folder: FolderOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Check the whole log: its chain, its checkpoints, their signatures. Exit code 1 if anything
    was changed, cut, moved or made up.

    Only a checkpoint kept elsewhere shows that the end was cut, or all made anew.

    Example: `headrace audit verify --checkpoint kept/audit-checkpoints.jsonl`
    """
    from headrace.operate.audit_commands import log_folder, verify_log

    where = log_folder(folder, config)
    sys.exit(verify_log(where, checkpoint, key, partial=partial, as_json=json))


@audit_app.command
def rotate(
    *, folder: FolderOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Put the log's file aside and begin another, in which the chain goes on. It is done by itself
    at 64 MiB, and can be done while gateways run.

    Example: `headrace audit rotate`
    """
    from headrace.operate.audit_commands import log_folder, rotate_log

    rotate_log(log_folder(folder, config), as_json=json)


@audit_app.command
def erase(
    text: Annotated[str, Parameter(help="Who or where, as listed: `local:ann`, an address.")],
    *,
    yes: Annotated[bool, Parameter(negative=(), help="Do it. It cannot be undone.")] = False,
    folder: FolderOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Erase a person's name or address from the log, wherever a field says exactly this. Its chain,
    checkpoints and proofs stay good: they hold a hash in its place.

    Example: `headrace audit erase token:entra:ann@example.com --yes`
    """
    from headrace.operate.audit_commands import erase_from_log, log_folder

    erase_from_log(log_folder(folder, config), text, sure=yes, as_json=json)


@audit_app.command
def prove(
    number: Annotated[
        int, Parameter(converter=whole_number, help="The event's number, `n` in the list.")
    ],
    *,
    folder: FolderOption = None,
    config: ConfigOption = None,
) -> None:
    """Print a proof that one event is in the log: whoever has the public key can check it without
    the log, by `headrace audit check`.

    Example: `headrace audit prove 17 > event-17.json`
    """
    from headrace.operate.audit_commands import log_folder, print_proof

    print_proof(log_folder(folder, config), number)


@audit_app.command
def check(
    file: Annotated[Path, Parameter(help="What `headrace audit prove` printed.")],
    *,
    key: KeyOption = None,
) -> None:
    """Check a proof that `headrace audit prove` printed. Exit code 1 if it does not hold.

    Example: `headrace audit check event-17.json --key audit-key.pub`
    """
    from headrace.operate.audit_commands import check_proof_file

    sys.exit(check_proof_file(file, key))


@audit_app.command
def export(
    to: Annotated[Path, Parameter(help="A folder that is not there yet, or empty.")],
    *,
    folder: FolderOption = None,
    config: ConfigOption = None,
) -> None:
    """Copy the log, its checkpoints and the public key, to be kept or checked elsewhere.

    Example: `headrace audit export kept && headrace audit verify --folder kept`
    """
    from headrace.operate.audit_commands import export_log, log_folder

    export_log(log_folder(folder, config), to)
