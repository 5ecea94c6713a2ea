"""What is done with keys, tenants and teams, in a real browser."""

from __future__ import annotations

from playwright.sync_api import Browser as Chromium

from console.test_browser import check_access, pictured, tab_of
from console.world import World


def test_a_key_from_its_making_to_its_end(chromium: Chromium, world: World) -> None:
    world.api("POST", "/v1/keys", {"name": "printer", "models": ["large"]})
    with tab_of(chromium, world, "operator", "light", "desk") as tab:
        tab.click("nav >> text=Keys")
        tab.click("text=Make a key")
        tab.fill("#new-name", "till")
        tab.fill("#new-requests", "60")
        tab.fill("#new-usd", "5")
        pictured(tab, "keys-new-light-desk")
        check_access(tab, "keys, new")
        tab.click("button:has-text('Make the key')")
        secret = tab.text_content(".secret")
        assert secret is not None and secret.startswith("hr_")
        pictured(tab, "keys-made-light-desk")
        tab.click("text=To the key's page")
        assert tab.text_content("h1") == "till"
        assert secret not in tab.content()
        pictured(tab, "key-light-desk")
        check_access(tab, "key")
        tab.fill("#models", "large")
        tab.click("text=Change the key")
        assert "till is changed" in (tab.text_content("[role=status]") or "")
        tab.select_option("#grace_s", "0")
        tab.click("button:has-text('Rotate')")
        assert tab.text_content(".secret") != secret
        tab.check("#sure")
        tab.click("text=Revoke for good")
        assert "is revoked" in (tab.text_content("[role=status]") or "")
        assert tab.locator("text=Revoke for good").count() == 0


def test_a_tenant_with_its_teams(chromium: Chromium, world: World) -> None:
    with tab_of(chromium, world, "admin", "dark", "desk") as tab:
        tab.click("nav >> text=Teams")
        tab.fill("#name", "river")
        tab.click("text=Make the tenant")
        assert tab.text_content("h1") == "river"
        tab.fill("#new-team", "bank")
        tab.click("text=Make the team")
        tab.fill("#new-user", "ann")
        tab.click("text=Make the user")
        tab.click("summary:has-text('bank')")
        tab.fill("#team-1-budgets", '{"per": "team", "usd": "20", "every": "day"}')
        pictured(tab, "tenant-dark-desk")
        check_access(tab, "tenant")
        tab.click("section:has(#of-team) button:has-text('Change')")
        assert "budgets: 1" in (tab.text_content("section:has(#of-team)") or "")
        tab.click("summary:has-text('bank')")
        tab.click("section:has(#of-team) button:has-text('Suspend')")
        assert "suspended" in (tab.text_content("section:has(#of-team)") or "")


def test_savings_of_answers_given_again(chromium: Chromium, world: World) -> None:
    for number in range(3):
        for _ in range(number + 2):
            world.call("large", headers={"idempotency-key": f"browser-{number}"})
    with tab_of(chromium, world, "viewer", "light", "desk") as tab:
        tab.click("nav >> text=Savings")
        while tab.locator("text=repeats of a call").count() == 0:
            tab.reload()
        tab.select_option("#by", "team")
        tab.click("text=Show")
        assert "By team" in tab.content()
        pictured(tab, "savings-team-light-desk")
