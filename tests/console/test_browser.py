"""Every page in a real browser: no error in its console, no serious fault that axe finds, and
pictures to look at in `artefacts/console/`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page as Tab

from console.world import World, until

PICTURES = Path(__file__).parents[2] / "artefacts" / "console"
SIZES = {"desk": (1360, 850), "phone": (390, 844)}
PAGES = {
    "overview": "/",
    "usage": "/usage?period=1",
    "backends": "/backends",
    "calls": "/calls",
    "savings": "/savings",
    "keys": "/keys",
    "teams": "/teams",
    "playground": "/playground",
    "config": "/config",
    "alerts": "/alerts",
    "cache": "/cache",
}
DARK = ("overview", "calls", "backends", "playground")
"""What is looked at in the dark when it is not a soak: each kind of part once."""
SOAK = os.environ.get("HEADRACE_SOAK") == "1"
SERIOUS = ("serious", "critical")
COLOURS = {"runOnly": ["color-contrast"]}
"""What is the same in light and dark is checked once."""


@contextmanager
def tab_of(chromium: Chromium, world: World, role: str, scheme: str, size: str) -> Iterator[Tab]:
    """Signed in by the form; fails if anything was written to the browser's console."""
    wide, high = SIZES[size]
    context = chromium.new_context(
        base_url=world.url,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": wide, "height": high},
    )
    context.set_default_timeout(60_000)
    tab, said = context.new_page(), []
    tab.on("console", lambda message: said.append(message.text)
           if message.type in ("error", "warning") else None)  # fmt: skip
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto("/console/")
    pictured(tab, f"sign-in-{scheme}-{size}")
    tab.fill("#credential", world.keys[role])
    tab.press("#credential", "Enter")
    tab.wait_for_selector("nav")
    yield tab
    context.close()
    assert said == []


def pictured(tab: Tab, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def check_access(tab: Tab, name: str, options: dict[str, Any] | None = None) -> None:
    """By axe."""
    options = {"resultTypes": ["violations"], **(options or {})}
    found = Axe().run(tab, options=options).response["violations"]
    faults = [
        (fault["id"], node["html"][:200], node.get("failureSummary"))
        for fault in found
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ]
    assert faults == [], name


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", "desk"), ("dark", "desk"), ("light", "phone")]
)
def test_every_page_is_sound(chromium: Chromium, world: World, scheme: str, size: str) -> None:
    with tab_of(chromium, world, "admin", scheme, size) as tab:
        for name, path in PAGES.items():
            if scheme == "dark" and name not in DARK and not SOAK:
                continue
            tab.goto(f"/console{path}")
            tab.wait_for_selector("h1")
            pictured(tab, f"{name}-{scheme}-{size}")
            if size == "desk":
                check_access(tab, name, COLOURS if scheme == "dark" else None)
            wide = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{name} is wider than the screen"
            here = tab.locator("nav [aria-current]").bounding_box()
            assert here is not None
            assert 0 <= here["x"] <= SIZES[size][0] - here["width"], f"{name} is out of sight"


def test_the_form_for_signing_in_is_sound(chromium: Chromium, world: World) -> None:
    context = chromium.new_context(base_url=world.url)
    tab = context.new_page()
    tab.goto("/console/")
    tab.fill("#credential", "hra_wrong")
    tab.press("#credential", "Enter")
    tab.wait_for_selector("[role=alert]")
    check_access(tab, "sign-in")
    context.close()


def test_the_overview_is_live(chromium: Chromium, world: World) -> None:
    with tab_of(chromium, world, "viewer", "light", "desk") as tab:
        # Playwright's own waiting evaluates text in the page, which our policy forbids.
        until(lambda: tab.evaluate("document.querySelector('[data-part]')?.lastHtml !== undefined"))
        before = tab.text_content("[data-part=overview]")
        for _ in range(5):
            world.call("large")
        until(lambda: tab.text_content("[data-part=overview]") != before)
        assert tab.text_content("[data-live-word]") == "Live"


def test_a_backend_that_was_just_taken_out_is_not_shown_in_use(
    chromium: Chromium, world: World
) -> None:
    """What the sampler knew is of the moment before."""
    place = '[data-part="backend west"]'
    is_live = f"document.querySelector('{place}')?.lastHtml !== undefined"
    with tab_of(chromium, world, "operator", "light", "phone") as tab:
        tab.goto("/console/backends")
        until(lambda: tab.evaluate(is_live))
        tab.click("[aria-label='Take out west']")
        tab.wait_for_selector("text=west is taken out")
        until(lambda: tab.evaluate(is_live))
        assert "isolated" in str(tab.text_content(place))
        tab.click("[aria-label='Bring back west']")
        tab.wait_for_selector("text=west is back")
        assert "isolated" not in str(tab.text_content(place))


def test_it_is_used_by_keyboard(chromium: Chromium, world: World) -> None:
    with tab_of(chromium, world, "viewer", "light", "desk") as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == "content"
        tab.focus("text=Sign out")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#credential")
