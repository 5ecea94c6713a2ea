"""Makes `_steps` of the C files beside this one, for the interpreter that runs it, if there are a
compiler and Python's headers: `python -m headrace.compiled.build`.

Of the standard library alone, for it runs while Headrace is being installed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from headrace.compiled import HERE, digest, sources

FLAGS = (
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-ffp-contract=off",  # sums of floats must be those that Python makes
)


class NotBuilt(Exception):  # noqa: N818 - says what happened
    """Why there is none, and what would help."""


def module_path() -> Path:
    """Where the module for this interpreter stands."""
    return HERE / f"_steps{sysconfig.get_config_var('EXT_SUFFIX')}"


def build(extra: tuple[str, ...] = ()) -> Path:
    """Raises NotBuilt. A module that is in use is replaced, not written over."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise NotBuilt("steps are compiled for CPython with its lock alone")
    if sys.platform != "linux" or sys.byteorder != "little":
        raise NotBuilt("steps are compiled for Linux on little-endian machines alone")
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        raise NotBuilt("Python's headers are not here; Debian has them in python3-dev")
    path = module_path()
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        made = Path(folder) / path.name
        run = subprocess.run(  # noqa: S603 - what the interpreter itself was compiled with
            [
                *_compiler(),
                *FLAGS,
                *extra,
                f"-I{headers}",
                f'-DSOURCES="{digest()}"',
                *(str(file) for file in sources() if file.suffix == ".c"),
                "-o",
                str(made),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if run.returncode:
            raise NotBuilt(f"the compiler failed: {run.stderr.strip()}")
        made.replace(path)
    return path


def _compiler() -> list[str]:
    """The one that is asked for, that of the interpreter, or any."""
    for named in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang"):
        words = shlex.split(named or "")[:1]
        if words and shutil.which(words[0]):
            return words
    raise NotBuilt("there is no C compiler here; Debian has one in gcc")


def main() -> int:
    try:
        path = build(tuple(sys.argv[1:]))
    except NotBuilt as why:
        print(f"Steps are not compiled, all goes by Python: {why}.", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
