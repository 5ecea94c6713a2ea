"""The commands: parses arguments, calls the rest, prints."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from headrace import __version__
from headrace.errors import Setup
from headrace.operate import command_line, registry_cli
from headrace.operate.audit_cli import audit_app
from headrace.operate.cache_cli import cache_app
from headrace.operate.command_line import whole_number
from headrace.operate.telemetry_cli import alerts_app, top
from headrace.operate.usage_cli import ledger_app, savings, usage

EXIT_CODES = """
Exit codes: 0 done; 1 the work failed; 2 the command line is wrong; 3 something has to be there or
mended first: the configuration, a running gateway, what the command names; 130 interrupted.
"""

app = App(
    name="headrace",
    version=__version__,
    help=f"One URL in front of every AI model you use.\n{EXIT_CODES}",
    help_format="markdown",
    default_parameter=Parameter(negative=()),
    error_formatter=command_line.told,
)
config_app = App(name="config", help="Check, show and describe headrace.yaml.")
models_app = App(name="models", help="Embedded models: what there is, and how to get it.")
backends_app = App(name="backends", help="How the backends of a running gateway fare.")
app.command(alerts_app)
app.command(audit_app)
app.command(backends_app)
app.command(cache_app)
app.command(config_app)
app.command(ledger_app)
app.command(top)
app.command(usage)
app.command(savings)
app.command(models_app)
for registry_app in (
    registry_cli.keys_app,
    registry_cli.tenants_app,
    registry_cli.teams_app,
    registry_cli.users_app,
    registry_cli.admin_app,
):
    app.command(registry_app)
app.register_install_completion_command()

FileArgument = Annotated[Path | None, Parameter(help="The file; the same as --config.")]
ConfigOption = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="The file; else HEADRACE_CONFIG, ./headrace.yaml."),
]
BackendArgument = Annotated[str, Parameter(help="As `headrace backends list` names it.")]
JsonOption = Annotated[bool, Parameter(name="--json", help="Print JSON for machines.")]


@app.command
def serve(
    *,
    config: ConfigOption = None,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, Parameter(converter=whole_number, help="Port to listen on; 0 takes a free one.")
    ] = None,
    workers: Annotated[
        int | None, Parameter(converter=whole_number, help="Processes that serve the port.")
    ] = None,
    log_level: Annotated[str, Parameter(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    json: JsonOption = False,
) -> None:
    """Serve the gateway until SIGTERM or Ctrl-C; SIGHUP reloads the file.

    Without a file it serves what it finds: providers whose key is in the environment
    (OPENAI_API_KEY, AZURE_OPENAI_API_KEY, ...), else the embedded model.

    Example: `headrace serve --port 8080`
    """
    from headrace.operate import terminal
    from headrace.operate.finding import find_config

    terminal.check_log_level(log_level)
    loaded = terminal.with_options(find_config(config), host, port, workers)
    terminal.run_gateway(loaded, log_level=log_level.upper(), as_json=json)


@app.command
def demo(
    question: Annotated[str, Parameter(help="What the model is asked.")] = (
        "What is the capital of France?"
    ),
    *,
    upstream: Annotated[
        str, Parameter(help="`local`: the embedded model; `fake`: the scripted upstream.")
    ] = "local",
    json: JsonOption = False,
) -> None:
    """Start a gateway, make real calls through it with the OpenAI SDK, show what happened.

    Needs no account and no key. Example: `headrace demo "Why is the sky blue?"`
    """
    from headrace.operate.demo import run_demo

    sys.exit(run_demo(question, upstream, as_json=json))


@app.command
def chat(
    text: Annotated[
        str | None,
        Parameter(
            help="What to say; `-`, or nothing before a pipe, reads standard input.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    *,
    model: Annotated[
        str | None, Parameter(help="Model to ask; else the first of the configuration.")
    ] = None,
    system: Annotated[str | None, Parameter(help="System prompt.")] = None,
    url: Annotated[
        str | None,
        Parameter(
            help="The gateway's base URL; else that of the one which runs here.",
            env_var="HEADRACE_URL",
        ),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a running gateway and stream the answer to the terminal.

    The key is HEADRACE_KEY, else the generated one in the store's folder, `.headrace`.

    Example: `headrace chat "Write a haiku about rivers"`, or `headrace chat < letter.txt`
    """
    from headrace.operate.chat import message, run_chat
    from headrace.operate.finding import find_config, gateway_url

    said = message(text, sys.stdin)
    loaded = find_config(config)
    where = gateway_url(loaded) if url is None else url
    folder = loaded.store_folder
    sys.exit(run_chat(said, model=model, system=system, url=where, folder=folder, as_json=json))


@app.command
def version(*, json: JsonOption = False) -> None:
    """Print the version."""
    print(f'{{"version":"{__version__}"}}' if json else __version__)


@config_app.command
def check(
    file: FileArgument = None,
    *,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Check a file, and that every secret it refers to can be read.

    Prints each problem with its line and what to write instead. Exit code 3 if there is any.
    """
    from headrace.operate.config_commands import check_config
    from headrace.operate.finding import named_once

    sys.exit(check_config(named_once(file, config), as_json=json))


@config_app.command
def show(
    file: FileArgument = None, *, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Show the configuration in force with all defaults; secrets stay hidden."""
    from headrace.config import show as shown
    from headrace.operate.finding import find_config, named_once

    loaded = find_config(named_once(file, config))
    print(shown.as_json(loaded) if json else shown.show(loaded))


@config_app.command
def schema() -> None:
    """Print the JSON Schema of headrace.yaml, for editors."""
    from headrace.operate.config_commands import schema_text

    print(schema_text())


@models_app.command(name="list")
def list_models(*, json: JsonOption = False) -> None:
    """List the embedded models that can be used, and which are on this machine."""
    from headrace.operate.models_commands import list_models as listed

    listed(as_json=json)


@models_app.command
def pull(
    name: Annotated[str, Parameter(help="A name that `headrace models list` shows.")],
) -> None:
    """Fetch an embedded model's files, with a progress bar.

    Example: `headrace models pull smollm2-135m-instruct`
    """
    from headrace.operate.models_commands import pull_model

    pull_model(name)


@backends_app.command(name="list")
def list_backends(*, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show each backend's state, load and failures, by worker."""
    from headrace.operate.control_client import list_backends as listed
    from headrace.operate.finding import find_config

    sys.exit(listed(find_config(config), as_json=json))


@backends_app.command
def isolate(
    name: BackendArgument, *, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Take a backend out of use, until it is restored or the gateway starts anew."""
    from headrace.operate.control_client import change_backend
    from headrace.operate.finding import find_config

    sys.exit(change_backend(find_config(config), name, "isolate", as_json=json))


@backends_app.command
def restore(
    name: BackendArgument, *, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Bring a backend back: nothing is held against it, its traffic grows slowly."""
    from headrace.operate.control_client import change_backend
    from headrace.operate.finding import find_config

    sys.exit(change_backend(find_config(config), name, "restore", as_json=json))


@app.command
def why(
    call: Annotated[str, Parameter(help="The call's x-request-id.")],
    *,
    config: ConfigOption = None,
    json: Annotated[bool, Parameter(name="--json", help="Print a line of JSON for each.")] = False,
) -> None:
    """Tell the decisions taken for a call that was refused or met with trouble; of any other, what
    the ledger has."""
    from headrace.operate.control_client import explain_call
    from headrace.operate.finding import find_config

    sys.exit(explain_call(find_config(config), call, as_json=json))


def main() -> None:
    """The console script."""
    # What is imported stays: to look for garbage in it each 700 objects takes a tenth of a start.
    gc.set_threshold(50_000, 20, 50)
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a full disk can still be told
    except Setup as fault:
        from headrace.operate.faults import print_fault

        print_fault(fault)
        sys.exit(fault.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone, as in `headrace ... | head`.
        _forget_output()
        sys.exit(1)
    except OSError as error:
        from headrace.operate.faults import of_system, print_fault

        refused = of_system(error)
        print_fault(refused)
        if error.filename is None:
            _forget_output()
        sys.exit(refused.exit_code)


def _forget_output() -> None:
    """What could not be written is not tried again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    main()  # `python -m headrace.cli`, as who looks for the commands may write it
