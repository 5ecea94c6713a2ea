"""The same rules for Azure Monitor, as templates of Azure Resource Manager: over its managed
Prometheus, or over the traces that Application Insights has.

The resources' properties are those of
https://learn.microsoft.com/azure/templates/microsoft.alertsmanagement/prometheusrulegroups and
https://learn.microsoft.com/azure/templates/microsoft.insights/scheduledqueryrules.
"""

from __future__ import annotations

import math
from typing import Any

from headrace.config.alerting import Alerts
from headrace.config.telemetry import AnyTraces, AzureMonitorTraces
from headrace.edge.faces import FACES
from headrace.errors import Reason, Setup
from headrace.operate.alerting import rules
from headrace.operate.alerting.messages import link
from headrace.operate.alerting.prometheus import alert_name, expressions

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_SEVERITY = {"critical": 1, "warning": 2}
"""Of Azure's 0 to 4."""
_WINDOWS_MIN = (5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440)
"""That a rule over logs may have."""
_ACTIONS = "actions"


def prometheus_template(alerts: Alerts) -> dict[str, Any]:
    """All rules, for an Azure Monitor workspace whose Prometheus reads the page of metrics."""
    found = []
    for rule, expression, lasting_s in expressions(alerts):
        annotations = {"summary": f"{rule.about}: {{{{ $value }}}}", "description": rule.do}
        where = link(rule, alerts.runbook_url)
        if where is not None:
            annotations["runbook_url"] = where
        made: dict[str, Any] = {
            "alert": alert_name(rule),
            "enabled": True,
            "expression": expression,
            "severity": _SEVERITY[rule.severity],
            "labels": {"severity": rule.severity},
            "annotations": annotations,
            "resolveConfiguration": {
                "autoResolved": True,
                "timeToResolve": _minutes(rules.CALM_S),
            },
            "actions": f"[variables('{_ACTIONS}')]",
        }
        if lasting_s:
            made["for"] = _minutes(lasting_s)
        found.append(made)
    group = {
        "type": "Microsoft.AlertsManagement/prometheusRuleGroups",
        "apiVersion": "2023-03-01",
        "name": "headrace",
        "location": "[parameters('location')]",
        "properties": {
            "description": "What Headrace watches",
            "enabled": True,
            "interval": "PT1M",
            "scopes": ["[parameters('workspaceId')]"],
            "rules": found,
        },
    }
    groups = (
        "[if(empty(parameters('actionGroupId')), createArray(), "
        "createArray(createObject('actionGroupId', parameters('actionGroupId'))))]"
    )
    about = "Resource id of the Azure Monitor workspace"
    return _template({"workspaceId": about}, groups, [group])


def log_template(alerts: Alerts, traces: AnyTraces | None) -> dict[str, Any]:
    """The rules on calls, over Application Insights' traces. Those on budgets, breakers and the
    ledger are in no trace. Raises Setup where traces do not hold every call."""
    if not isinstance(traces, AzureMonitorTraces):
        raise Setup(
            "Rules over Application Insights need its traces, and telemetry.traces sends none.",
            "Set `telemetry: {traces: {to: azure_monitor, connection_string: env:NAME, "
            "sample_share: 1}}`, or leave out --source for rules over Prometheus.",
        )
    if traces.sample_share < 1:
        raise Setup(
            f"Of a share of {traces.sample_share:g} of the traces, with all that failed or were "
            "slow, P95 and error shares would come out too high.",
            "Set telemetry.traces.sample_share to 1, or leave out --source for rules over "
            "Prometheus.",
        )
    short_s = int(alerts.short_window_s)
    window_min = next((m for m in _WINDOWS_MIN if m * 60 >= alerts.long_window_s), _WINDOWS_MIN[-1])
    calls = (
        "requests\n"
        f"| where timestamp > ago({int(alerts.long_window_s)}s)\n"
        "| where isnotempty(customDimensions['headrace.call.id'])\n"
        "| extend model = tostring(customDimensions['gen_ai.request.model'])\n"
        f"| extend fresh = timestamp > ago({short_s}s)\n"
    )
    enough = (
        f"| where calls >= {alerts.least_calls}\n| project model, value = min_of(recent, whole)"
    )

    slow = (
        "| summarize calls = countif(fresh), recent = percentileif(duration, 95, fresh) / 1000.0,"
        " whole = percentile(duration, 95) / 1000.0 by model\n"
    )
    reasons = ", ".join(f"'{reason}'" for reason in sorted(_counted_reasons()))
    failed = (
        f"| extend failed = tostring(customDimensions['error.type']) in ({reasons})"
        " and tostring(customDimensions['headrace.answered_by']) != 'message'\n"
        "| summarize calls = countif(fresh), recent = 1.0 * countif(fresh and failed) / "
        "countif(fresh), whole = 1.0 * countif(failed) / count() by model\n"
    )
    resources = [
        _log_rule(rules.SLOW, calls + slow + enough, alerts.latency_p95_s, window_min, alerts),
        _log_rule(rules.ERRORS, calls + failed + enough, alerts.error_share, window_min, alerts),
    ]
    groups = (
        "[if(empty(parameters('actionGroupId')), createArray(), "
        "createArray(parameters('actionGroupId')))]"
    )
    about = "Resource id of the Application Insights component"
    return _template({"applicationInsightsId": about}, groups, resources)


def _log_rule(
    rule: rules.Rule, query: str, threshold: float, window_min: int, alerts: Alerts
) -> dict[str, Any]:
    where = link(rule, alerts.runbook_url)
    condition = {
        "query": query,
        "timeAggregation": "Maximum",
        "metricMeasureColumn": "value",
        "dimensions": [{"name": "model", "operator": "Include", "values": ["*"]}],
        "operator": "GreaterThan",
        "threshold": threshold,
        "failingPeriods": {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1},
    }
    return {
        "type": "Microsoft.Insights/scheduledQueryRules",
        "apiVersion": "2023-12-01",
        "name": f"headrace-{rule.name}",
        "location": "[parameters('location')]",
        "kind": "LogAlert",
        "properties": {
            "displayName": f"Headrace: {rule.about}",
            "description": rule.do if where is None else f"{rule.do} {where}",
            "severity": _SEVERITY[rule.severity],
            "enabled": True,
            "scopes": ["[parameters('applicationInsightsId')]"],
            "evaluationFrequency": "PT5M",
            "windowSize": f"PT{window_min}M" if window_min < 1440 else "P1D",
            "criteria": {"allOf": [condition]},
            "autoMitigate": True,
            "actions": {"actionGroups": f"[variables('{_ACTIONS}')]"},
        },
    }


def _counted_reasons() -> set[str]:
    """Those of calls that count as failed: 429, 5xx, or a content filter."""
    return {
        reason.value
        for reason, (status, _) in FACES.items()
        if status == 429 or status >= 500 or reason is Reason.CONTENT_FILTERED
    }


def _template(
    parameters: dict[str, str], actions: str, resources: list[dict[str, Any]]
) -> dict[str, Any]:
    texts = {name: {"type": "string", "metadata": {"description": d}} for name, d in
             parameters.items()}  # fmt: skip
    return {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": {
            "location": {"type": "string", "defaultValue": "[resourceGroup().location]"},
            **texts,
            "actionGroupId": {
                "type": "string",
                "defaultValue": "",
                "metadata": {"description": "Resource id of the action group that is told"},
            },
        },
        "variables": {_ACTIONS: actions},
        "resources": resources,
    }


def _minutes(seconds: float) -> str:
    """A duration of ISO 8601, whole minutes."""
    return f"PT{max(1, math.ceil(seconds / 60))}M"
