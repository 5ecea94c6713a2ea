"""Templates for Azure Monitor: the properties that are published, and the rules of the gateway."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from headrace.config.alerting import Alerts
from headrace.config.telemetry import AzureMonitorTraces, OtlpTraces
from headrace.errors import Setup
from headrace.operate.alerting.azure import log_template, prometheus_template
from headrace.operate.alerting.prometheus import expressions
from headrace.operate.alerting.rules import RULES

GROUP = {"description", "enabled", "interval", "clusterName", "scopes", "rules"}
"""Of Microsoft.AlertsManagement/prometheusRuleGroups@2023-03-01."""
RULE = {"alert", "record", "enabled", "expression", "severity", "for", "labels", "annotations",
        "actions", "resolveConfiguration"}  # fmt: skip
QUERY_RULE = {
    "actions", "autoMitigate", "checkWorkspaceAlertsStorageConfigured", "criteria", "description",
    "displayName", "enabled", "evaluationFrequency", "muteActionsDuration",
    "overrideQueryTimeRange", "ruleResolveConfiguration", "scopes", "severity",
    "skipQueryValidation", "targetResourceTypes", "windowSize",
}  # fmt: skip
"""Of Microsoft.Insights/scheduledQueryRules@2023-12-01."""
CONDITION = {"dimensions", "failingPeriods", "metricMeasureColumn", "metricName", "operator",
             "query", "resourceIdColumn", "threshold", "timeAggregation"}  # fmt: skip
TEMPLATE = {"$schema", "contentVersion", "parameters", "variables", "resources"}
RESOURCE = {"type", "apiVersion", "name", "location", "kind", "properties"}
ALL = AzureMonitorTraces(connection_string="env:CONNECTION", sample_share=1.0)


def checked(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Its resources. What it refers to is there."""
    text = json.dumps(template)
    assert set(template) == TEMPLATE
    for kind in ("parameters", "variables"):
        assert set(re.findall(rf"{kind}\('(\w+)'\)", text)) <= set(template[kind])
    for resource in template["resources"]:
        assert set(resource) <= RESOURCE
        assert resource["location"] == "[parameters('location')]"
    return list(template["resources"])


def test_all_rules_stand_in_one_group_for_prometheus() -> None:
    alerts = Alerts(error_share=0.07, runbook_url="https://runbook.example.net")
    (group,) = checked(prometheus_template(alerts))
    properties = group["properties"]
    assert set(properties) <= GROUP
    assert properties["scopes"] == ["[parameters('workspaceId')]"]
    assert [r["expression"] for r in properties["rules"]] == [e for _, e, _ in expressions(alerts)]
    assert len(properties["rules"]) == len(RULES)
    for rule in properties["rules"]:
        assert set(rule) <= RULE
        assert 0 <= rule["severity"] <= 4
        assert re.fullmatch(r"PT([1-9]|1[0-5])M", rule["resolveConfiguration"]["timeToResolve"])
        assert re.fullmatch(r"PT\d+M", rule.get("for", "PT1M"))
        assert rule["annotations"]["runbook_url"].startswith("https://runbook.example.net#")
        assert not any(t.startswith("[") for t in rule["annotations"].values()), "no expression"


def test_rules_on_calls_over_traces() -> None:
    resources = checked(log_template(Alerts(latency_p95_s=3, long_window_s=5000), ALL))
    assert [r["name"] for r in resources] == ["headrace-latency-p95", "headrace-error-share"]
    for resource in resources:
        properties = resource["properties"]
        assert set(properties) <= QUERY_RULE
        assert properties["windowSize"] == "PT120M", "the least one that holds the long window"
        (condition,) = properties["criteria"]["allOf"]
        assert set(condition) <= CONDITION
        assert "ago(300s)" in condition["query"]
        assert "calls >= 20" in condition["query"]
        assert re.search(r"\bvalue = min_of\(recent, whole\)", condition["query"])
    slow, failed = (r["properties"]["criteria"]["allOf"][0] for r in resources)
    assert (slow["threshold"], failed["threshold"]) == (3, 0.05)
    assert "'content_filter" in failed["query"]
    assert "'rate_limit" in failed["query"]
    assert "'invalid_api_key'" not in failed["query"]


@pytest.mark.parametrize(
    ("traces", "told"),
    [
        (None, "azure_monitor"),
        (OtlpTraces(sample_share=1.0), "azure_monitor"),
        (AzureMonitorTraces(connection_string="env:CONNECTION"), "sample_share to 1"),
    ],
)
def test_traces_that_do_not_hold_every_call_make_no_rules(traces: Any, told: str) -> None:
    with pytest.raises(Setup) as refused:
        log_template(Alerts(), traces)
    assert told in str(refused.value) + str(vars(refused.value))
