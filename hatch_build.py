"""Compiles the steps of a call while Headrace is being installed, where that is possible."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent


class CompiledSteps(BuildHookInterface):  # type: ignore[type-arg]
    """Without a compiler Headrace is installed all the same, and takes all steps in Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, str(ROOT / "src"))
        from headrace.compiled.build import NotBuilt, build

        try:
            made = build()
        except NotBuilt as why:
            print(f"Steps are not compiled, all goes by Python: {why}.", file=sys.stderr)
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(str(made.relative_to(ROOT)))
