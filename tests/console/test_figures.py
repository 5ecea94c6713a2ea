"""How figures are written and charts are drawn."""

from __future__ import annotations

import pytest

from headrace.console import charts, figures


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (figures.usd(0), "$0.00"),
        (figures.usd(None), "–"),
        (figures.usd(12), "$0.000012"),
        (figures.usd(4_800), "$0.0048"),
        (figures.usd(12_345_678), "$12.35"),
        (figures.usd(12_345_678_901), "$12,346"),
        (figures.count(9_999), "9,999"),
        (figures.count(12_345), "12.3 k"),
        (figures.count(1_234_567), "1.23 M"),
        (figures.rate(0), "0"),
        (figures.rate(3.14), "3.1"),
        (figures.rate(1234.5), "1,234"),
        (figures.duration(0.0042), "4.2 ms"),
        (figures.duration(0.42), "420 ms"),
        (figures.duration(1.234), "1.23 s"),
        (figures.duration(75), "1 min 15 s"),
        (figures.duration(3_661), "1 h 01 min"),
        (figures.duration(60), "1 min"),
        (figures.duration(7_200), "2 h"),
        (figures.share(0.0004), "<0.1 %"),
        (figures.share(0.042), "4.2 %"),
        (figures.share(0.42), "42 %"),
        (figures.share(None), "–"),
        (figures.instant(0), "1970-01-01 00:00:00"),
    ],
)
def test_figures_are_short(said: str, text: str) -> None:
    assert said.replace("\u202f", " ") == text


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.3, 0.5), (1, 1), (1.1, 2), (2.2, 2.5), (26, 50), (7e6, 1e7)]
)
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert charts.ceiling(value) == pytest.approx(top)


def test_lines_break_where_nothing_is_known() -> None:
    chart = charts.lines("of it", [0, 1, 2, 3, 4], [("calls", [1, 2, None, 2, 4])], (0, 4))
    assert chart.svg.count("<polyline") == 2
    assert chart.top == 5
    assert "600.0,32.0" in chart.svg, "the last point: 4 of 5 high, at the right edge"


def test_columns_are_stacked_and_their_words_are_text() -> None:
    chart = charts.columns("<b>", [[(0, 1.0, "<i>"), (9, 3.0, "b")], []])
    assert "<b>" not in chart.svg and "<i>" not in chart.svg
    assert chart.svg.count("<rect") == 2
    assert f'class="c{charts.COLOURS - 1}"' in chart.svg


def test_a_meter_is_never_longer_than_full() -> None:
    assert 'class="over" width="100.00"' in charts.meter(1.7, "m")
    assert 'class="near" width="90.00"' in charts.meter(0.9, "m")
    assert 'class="well" width="0.00"' in charts.meter(None, "m")
