"""The same rules for Prometheus, and a dashboard for Grafana: generated, so that both say what the
gateway itself says."""

from __future__ import annotations

import json
from typing import Any

from headrace.config.alerting import Alerts
from headrace.operate.alerting import rules
from headrace.operate.alerting.messages import link

_FAILED = 'status=~"429|5.."'
_VALUE = {
    rules.Unit.NUMBER: "{{ $value | humanize }}",
    rules.Unit.SHARE: "{{ $value | humanizePercentage }}",
    rules.Unit.SECONDS: "{{ $value | humanizeDuration }}",
}


def rules_yaml(alerts: Alerts) -> str:
    """A rule file; `promtool check rules` accepts it."""
    lines = ["groups:", "  - name: headrace", "    rules:"]
    for rule, expression, lasting_s in expressions(alerts):
        lines += [
            f"      - alert: {alert_name(rule)}",
            f"        expr: {json.dumps(expression)}",
            f"        for: {int(lasting_s)}s",
            f"        labels: {{severity: {rule.severity}}}",
            "        annotations:",
            f"          summary: {json.dumps(f'{rule.about}: {_VALUE[rule.unit]}')}",
            f"          description: {json.dumps(rule.do)}",
        ]
        where = link(rule, alerts.runbook_url)
        if where is not None:
            lines.append(f"          runbook_url: {json.dumps(where)}")
    return "\n".join(lines) + "\n"


def alert_name(rule: rules.Rule) -> str:
    """In the manner of Prometheus."""
    return "Headrace" + "".join(word.capitalize() for word in rule.name.split("-"))


def expressions(alerts: Alerts) -> list[tuple[rules.Rule, str, float]]:
    """Each rule in PromQL, and for how many seconds it must hold."""
    windows = (f"{int(alerts.short_window_s)}s", f"{int(alerts.long_window_s)}s")
    calls = "sum by (model) (increase(headrace_calls_total[{0}]))"
    enough = f" and {calls.format(windows[0])} >= {alerts.least_calls}"
    p95 = (
        "histogram_quantile(0.95, sum by (model, le) "
        f"(rate(headrace_call_duration_seconds_bucket[{{0}}]))) > {alerts.latency_p95_s:g}"
    )
    errors = (
        f"(sum by (model) (increase(headrace_calls_total{{{{{_FAILED}}}}}[{{0}}])) + "
        "sum by (model) (increase(headrace_content_filtered_total[{0}]))) / "
        f"{calls} > {alerts.error_share:g}"
    )
    both = [" and ".join(one.format(window) for window in windows) + enough
            for one in (p95, errors)]  # fmt: skip
    judged = f'{{{{measure="{rules.GROUNDEDNESS}"}}}}[{{0}}]'
    scores = f"sum by (model) (increase(headrace_evaluation_scores_total{judged}))"
    mean = (
        f"sum by (model) (increase(headrace_evaluation_points_total{judged})) / {scores} "
        f"< {alerts.groundedness_mean:g}"
    )
    grounded = " and ".join(mean.format(window) for window in windows)
    grounded += f" and {scores.format(windows[0])} >= {alerts.least_scores}"
    used = 'max by (budget) (headrace_budget_used_ratio{unit="%s"}) > %g'
    return [
        (rules.SLOW, both[0], 0),
        (rules.ERRORS, both[1], 0),
        (rules.GROUNDED, grounded, 0),
        (rules.TOKENS, used % ("tokens", alerts.tokens_over_budget), 0),
        (rules.COST, used % ("usd", alerts.cost_over_budget), 0),
        (
            rules.BREAKER,
            'max by (backend) (headrace_backend_breaker_state{state="open"}) > 0',
            alerts.breaker_open_s,
        ),
        (
            rules.WRONG,
            "max(headrace_cache_wrong_hits_certain_ratio) > "
            "min(headrace_cache_wrong_hits_bound_ratio)",
            0,
        ),
        (rules.REDIS, "headrace_workers_without_redis > 0", alerts.redis_away_s),
        (rules.LEDGER, f"headrace_ledger_behind_seconds > {alerts.ledger_behind_s:g}", 0),
    ]


def dashboard() -> dict[str, Any]:
    """For Grafana's import; asks which Prometheus to read."""
    rate, by = "$__rate_interval", "by (model)"
    quantile = "histogram_quantile({}, sum by (model, le) (rate(headrace_{}_bucket[" + rate + "])))"
    lag = f"sum by (le) (rate(headrace_event_loop_lag_seconds_bucket[{rate}]))"
    cost = f"sum {by} (rate(headrace_cost_usd_total[{rate}])) * 3600"
    shown = [
        ("Calls a second", "reqps", f"sum {by} (rate(headrace_calls_total[{rate}]))"),
        ("Failed", "percentunit",
         f"sum {by} (rate(headrace_calls_total{{{_FAILED}}}[{rate}])) / "
         f"sum {by} (rate(headrace_calls_total[{rate}]))"),
        ("P50", "s", quantile.format(0.5, "call_duration_seconds")),
        ("P95", "s", quantile.format(0.95, "call_duration_seconds")),
        ("P99", "s", quantile.format(0.99, "call_duration_seconds")),
        ("P95 to the first token", "s", quantile.format(0.95, "time_to_first_token_seconds")),
        ("P95 between tokens", "s", quantile.format(0.95, "inter_token_seconds")),
        ("Tokens a second", "short", f"sum by (kind) (rate(headrace_tokens_total[{rate}]))"),
        ("Dollars an hour", "currencyUSD", cost),
        ("Dollars of the day by tenant", "currencyUSD",
         "sum by (tenant) (increase(headrace_tenant_cost_usd_total[24h]))"),
        ("Refused a second", "reqps", f"sum by (reason) (rate(headrace_refused_total[{rate}]))"),
        ("Failed attempts a second", "reqps",
         f"sum by (backend, kind) (rate(headrace_attempt_failures_total[{rate}]))"),
        ("Breakers that are open", "short",
         'sum by (backend) (headrace_backend_breaker_state{state="open"})'),
        ("Budgets used", "percentunit", "headrace_budget_used_ratio"),
        ("Dollars an hour that caches and repeats saved", "currencyUSD",
         f"sum {by} (rate(headrace_saved_usd_total[{rate}])) * 3600"),
        ("Answered without a backend", "percentunit",
         f"sum by (by) (rate(headrace_calls_without_upstream_total[{rate}])) / "
         f"scalar(sum(rate(headrace_calls_total[{rate}])))"),
        ("Retries a second", "reqps", f"sum {by} (rate(headrace_retries_total[{rate}]))"),
        ("Mean groundedness", "short",
         f'sum {by} (rate(headrace_evaluation_points_total{{measure="groundedness"}}[{rate}])) / '
         f'sum {by} (rate(headrace_evaluation_scores_total{{measure="groundedness"}}[{rate}]))'),
        ("Wrong hits of the cache that are certain", "percentunit",
         "headrace_cache_wrong_hits_certain_ratio"),
        ("Attempts on backends of their limit", "percentunit",
         "headrace_backend_running / headrace_backend_limit"),
        ("Telemetry dropped a second", "short",
         f"sum by (kind) (rate(headrace_telemetry_dropped_total[{rate}]))"),
        ("Calls running", "short", "headrace_calls_running"),
        ("P99 of the loop's lag", "s",
         f"histogram_quantile(0.99, {lag})"),
        ("The ledger is behind", "s", "headrace_ledger_behind_seconds"),
    ]  # fmt: skip
    source = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": title,
            "datasource": source,
            "gridPos": {"h": 8, "w": 8, "x": 8 * (number % 3), "y": 8 * (number // 3)},
            "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
            "targets": [{"refId": "A", "expr": expression, "datasource": source}],
        }
        for number, (title, unit, expression) in enumerate(shown)
    ]
    return {
        "__inputs": [{"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource",
                      "pluginId": "prometheus"}],
        "title": "Headrace",
        "uid": "headrace",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": panels,
    }  # fmt: skip
