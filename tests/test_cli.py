"""The console script as a person or a script runs it: what it prints, and its exit codes."""

from __future__ import annotations

import errno
import http.server
import json
import os
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cyclopts import App

from headrace import __version__
from headrace.cli import app
from headrace.errors import Misused
from headrace.operate.chat import message
from headrace.operate.faults import of_system
from support import commands
from support.ambient import ambient

CONFIG = """
backends: {up: {provider: openai, url: "http://127.0.0.1:9/v1"}}
models: {one: {pools: [[up]]}}
"""


def headrace(
    *arguments: str, folder: Path, stdin: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """In a process of its own, of the code beside these tests: the console script may be made for
    another checkout."""
    return run([sys.executable, "-m", "headrace", *arguments], folder, {**ambient(), **env}, stdin)


def run(
    command: list[str], folder: Path, env: dict[str, str], stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "200", **env},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def answered(
    *arguments: str, folder: Path, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """By a fork, at a tenth of the cost: for what is told, however the command is started."""
    return commands.run(arguments, folder, env, stdin)


@contextmanager
def some_web_server(status: int, body: bytes, kind: str = "text/html") -> Iterator[str]:
    """Answers everything so. What it serves is no gateway."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "command",
    ["", "serve", "chat", "demo", "version", "config", "config check", "config show",
     "config schema", "models", "models list", "models pull", "backends", "why"],
)  # fmt: skip
def test_help(command: str, tmp_path: Path) -> None:
    done = headrace(*command.split(), "--help", folder=tmp_path)
    assert done.returncode == 0
    assert f"Usage: headrace {command}".strip() in done.stdout
    assert done.stderr == ""


def commands_of(group: App, *path: str) -> Iterator[tuple[str, App]]:
    for name in group:
        if not name.startswith("-"):
            inner = group[name]
            if inner.default_command is None:
                yield from commands_of(inner, *path, name)
            else:
                yield " ".join((*path, name)), inner


def test_every_option_says_what_it_is() -> None:
    silent = [
        f"{command} {argument.name}"
        for command, made in commands_of(app)
        for argument in made.assemble_argument_collection()
        if argument.parse and argument.name != "*" and not argument.parameter.help
    ]
    assert silent == []


@pytest.mark.parametrize(
    "arguments",
    ["nonsense", "serve --nonsense", "serve --port many", "chat", "config nonsense", "why",
     "models pull nix", "audit list --limit 0", "audit prove -1", "audit check p --key zz",
     "usage --since 999999w", "usage --until 0", "savings --where team", "top --every 1e400",
     "top --every nan", "cache purge --partition tenants/acme", "keys rotate k --grace 9y",
     "cache replay calls.jsonl --max-wrong-rate 7", "admin key ann --ip 10.0.0.1/8",
     "admin key ann --expires 2020-01-01", "usage --csv --json", "config check a.yaml -c b.yaml",
     "config show a.yaml --config b.yaml", "chat Hello --url nonsense", "chat Hello --url ftp://h/v1"],
)  # fmt: skip
def test_a_wrong_command_line(arguments: str, tmp_path: Path) -> None:
    done = answered(*arguments.split(), folder=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("keys create", "NAME is missing: `headrace keys create NAME`."),
        ("cache why", "ASKED is missing: `headrace cache why ASKED`."),
        ("serve --port", "--port needs a value behind it."),
        ("config check a.yaml b.yaml", "`headrace config check` has no use for 'b.yaml'."),
        ("config check a.yaml -c b.yaml", "Two files are named: a.yaml, and b.yaml by --config."),
        ("serve --port many", "--port takes a whole number, not 'many'."),
        ("serve --port 8080.5", "--port takes a whole number, not '8080.5'."),
        ("keys create k --requests-per-minute 0.5", "-minute takes a whole number, not '0.5'."),
        ("audit prove x", "NUMBER takes a whole number, not 'x'."),
        ("top --every soon", "--every takes a number, not 'soon'."),
        ("savngs", 'Did you mean "savings"?'),
    ],
)
def test_a_wrong_command_line_is_told_as_it_was_typed(
    arguments: str, told: str, tmp_path: Path
) -> None:
    done = answered(*arguments.split(), folder=tmp_path)
    assert done.returncode == 2
    first, second, *rest = done.stderr.splitlines()
    assert told in first
    assert second
    assert rest == []
    assert done.stdout == ""


def test_version(tmp_path: Path) -> None:
    by_module = run([sys.executable, "-m", "headrace.cli", "version"], tmp_path, ambient())
    assert by_module.stdout == f"{__version__}\n"
    assert headrace("version", folder=tmp_path).stdout == f"{__version__}\n"
    assert json.loads(headrace("version", "--json", folder=tmp_path).stdout) == {
        "version": __version__
    }


def test_config_commands(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(CONFIG)
    checked = headrace("config", "check", "--json", folder=tmp_path)
    assert checked.returncode == 0
    assert json.loads(checked.stdout)["ok"] is True
    shown = headrace("config", "show", folder=tmp_path)
    assert shown.returncode == 0
    assert "first_token_s" in shown.stdout  # with all defaults
    (tmp_path / "other.yaml").write_text(CONFIG.replace("one", "other"))
    for named in (["other.yaml"], ["-c", "other.yaml"]):
        assert "other:" in answered("config", "show", *named, folder=tmp_path).stdout
    told = json.loads(answered("config", "show", "--json", "other.yaml", folder=tmp_path).stdout)
    assert (told["source"], list(told["config"]["models"])) == ("other.yaml", ["other"])
    assert told["config"]["server"]["port"] == 8080  # with all defaults
    missing = headrace("config", "check", "nowhere.yaml", folder=tmp_path)
    assert missing.returncode == 3
    assert 'There is no file "nowhere.yaml".' in missing.stderr
    assert "--config" not in missing.stderr
    secret = CONFIG.replace('/v1"', '/v1", credential: "env:NO_SUCH_KEY"')
    (tmp_path / "headrace.yaml").write_text(secret)
    unset = headrace("config", "check", folder=tmp_path)
    assert unset.returncode == 3
    assert "NO_SUCH_KEY" in unset.stderr


NO_FOLDER = "store: {folder: /dev/null/store}\n"
CANNOT = {
    "store": (NO_FOLDER + "keys: {a: {secret: 'env:KEY'}}\n", [], "store.folder"),
    "own key": (NO_FOLDER, [], "store.folder"),
    "host": ("", ["--host", "no-such-host.invalid"], "Cannot listen on no-such-host.invalid"),
    "port": ("", ["--port", "70000"], "--port takes a whole number from 0 to 65535, not 70000."),
    "workers": ("", ["--workers", "0"], "--workers takes a whole number"),
    "log level": ("", ["--log-level", "LOUD"], "Use DEBUG, INFO"),
    "file": ("", ["--config", "nowhere.yaml"], "nowhere.yaml"),
}  # fmt: skip


MISUSED = {"port", "workers", "log level"}
"""What no set-up would make possible."""


@pytest.mark.parametrize("name", CANNOT)
def test_serve_says_what_has_to_be_mended(name: str, tmp_path: Path) -> None:
    more, options, told = CANNOT[name]
    (tmp_path / "headrace.yaml").write_text(CONFIG + more)
    done = answered("serve", *options, folder=tmp_path, KEY="app-key-0123456789abcdef0123")
    assert done.returncode == (2 if name in MISUSED else 3), done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_system_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(CONFIG + NO_FOLDER)
    done = answered("audit", "verify", folder=tmp_path)
    assert done.returncode == 1
    assert "Not a directory: /dev/null/store" in done.stderr
    assert "Traceback" not in done.stderr
    with open("/dev/full", "wb") as full:
        version = subprocess.run(
            [sys.executable, "-m", "headrace", "version"],
            env={"PYTHONPATH": str(Path(__file__).parents[1] / "src")},
            stdout=full, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert (version.returncode, version.stderr) == (
        1, b"It could not be done: No space left on device.\n",
    )  # fmt: skip
    mine = of_system(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "ledger.sqlite"))
    assert (mine.exit_code, "ledger.sqlite" in mine.problem) == (3, True)
    assert "the user that runs the gateway" in (mine.hint or "")


def test_nothing_to_serve(tmp_path: Path) -> None:
    """No file, no provider's key, and an interpreter that really lacks the embedded model's
    runtime: all packages of this environment but that one."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith("xllamacpp"):
            (packages / path.name).symlink_to(path)
    source = Path(__file__).parents[1] / "src"
    begin = "from headrace.cli import main; main()"
    done = run(
        [sys.executable, "-S", "-c", begin, "serve", "--port", "0"],
        tmp_path,
        {"PYTHONPATH": f"{packages}:{source}"},
    )
    assert done.returncode == 3, done.stderr
    assert "nothing to serve" in done.stderr
    assert "OPENAI_API_KEY" in done.stderr
    assert "headrace[local" in done.stderr


CHAT_FAULTS = {
    "nobody there": (["--url", "http://127.0.0.1:9/v1"], {"HEADRACE_KEY": "k"}, "headrace serve"),
    "no key": (["--url", "http://127.0.0.1:9/v1"], {}, "HEADRACE_KEY"),
    "a key of two lines": ([], {"HEADRACE_KEY": "one\ntwo"}, "HEADRACE_KEY"),
    "a key with an accent": ([], {"HEADRACE_KEY": "clé"}, "HEADRACE_KEY"),
}


@pytest.mark.parametrize("name", CHAT_FAULTS)
def test_chat_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    options, env, told = CHAT_FAULTS[name]
    done = answered("chat", "Hello", *options, folder=tmp_path, **env)
    assert done.returncode == 3, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_chat_says_what_comes_through_a_pipe(tmp_path: Path) -> None:
    """The question is read, since it is the gateway that is missed."""
    for arguments in ([], ["-"]):
        done = answered("chat", *arguments, folder=tmp_path, stdin="Hello", HEADRACE_KEY="k",
                        HEADRACE_URL="http://127.0.0.1:9/v1")  # fmt: skip
        assert done.returncode == 3
        assert "There is no gateway" in done.stderr


@pytest.mark.parametrize("stdin", ["", " \n"])
def test_chat_with_nothing_to_say(stdin: str, tmp_path: Path) -> None:
    done = answered("chat", folder=tmp_path, stdin=stdin)
    assert done.returncode == 2
    assert 'headrace chat "Hello"' in done.stderr
    assert answered("chat", "", folder=tmp_path).returncode == 2


def test_chat_on_a_terminal_does_not_wait_for_what_was_forgotten() -> None:
    ours, theirs = os.openpty()
    try:
        with (
            open(theirs, encoding="utf-8", closefd=False) as terminal,
            pytest.raises(Misused, match="nothing to say"),
        ):
            message(None, terminal)
    finally:
        os.close(ours)
        os.close(theirs)


def test_chat_with_what_is_no_text(tmp_path: Path) -> None:
    done = answered("chat", os.fsdecode(b"\xff"), folder=tmp_path)
    assert done.returncode == 2
    assert "UTF-8" in done.stderr


@pytest.mark.parametrize("options", [[], ["--model", "m"]], ids=["listing", "asking"])
@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>"), (404, b"<html>"), (500, b'{"error":"boom"}'), (200, b'{"data":[{}]}')],
)
def test_chat_with_what_is_no_gateway(
    status: int, body: bytes, options: list[str], tmp_path: Path
) -> None:
    with some_web_server(status, body) as url:
        done = answered("chat", "Hi", "--url", url, *options, folder=tmp_path, HEADRACE_KEY="k")
    assert done.returncode in (1, 3), done.stderr
    assert "gateway" in done.stderr or "broke off" in done.stderr
    assert "Traceback" not in done.stderr


def test_chat_asks_where_the_configuration_listens(tmp_path: Path) -> None:
    """And takes the key from its store, if no gateway runs there that could say where it is."""
    more = "server: {host: 0.0.0.0, port: 9}\nstore: {folder: kept}\n"
    (tmp_path / "named.yaml").write_text(CONFIG + more)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "key").write_text("hr_" + "k" * 40)
    done = answered("chat", "Hi", "-c", "named.yaml", folder=tmp_path)
    assert done.returncode == 3
    said = " ".join(done.stderr.split())
    assert "There is no gateway at http://127.0.0.1:9/v1" in said
    assert "Connection refused" in said and "Errno" not in said


def test_chat_tells_an_answer_that_broke_off_from_a_gateway_that_is_not_there(
    tmp_path: Path,
) -> None:
    def cut() -> None:
        line, _ = server.accept()
        with line:
            line.recv(65536)
            line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\ndata: {}\n\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=cut)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        options = ["--url", url, "--model", "m"]
        done = answered("chat", "Hi", *options, folder=tmp_path, HEADRACE_KEY="k")
        thread.join()
    assert done.returncode == 1
    assert "The answer broke off" in done.stderr
    assert "no gateway" not in done.stderr


@pytest.mark.parametrize("kept", [b"\xff\xfe\x00", b"", b"hr_short"])
def test_a_damaged_key_file_is_as_none(kept: bytes, tmp_path: Path) -> None:
    (tmp_path / ".headrace").mkdir()
    (tmp_path / ".headrace" / "key").write_bytes(kept)
    done = answered("chat", "Hi", "--url", "http://127.0.0.1:9/v1", folder=tmp_path)
    assert done.returncode == 3
    assert "There is no key" in done.stderr
