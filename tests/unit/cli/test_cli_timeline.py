"""What of a call's events is a line for a person: the last ones, which come after the call."""

from __future__ import annotations

import pytest

from voxtrad.cli.timeline import line
from voxtrad.events.types import CallAnalyzed, RecordingReady

WHO = {"call_id": "c_1", "agent": "support"}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            {"summary": "Wanted an order.", "fields": {"id": "A17", "urgent": None}, "success": False, "reason": "No."},
            "analysed: Wanted an order.; id 'A17', success False, reason 'No.'",
        ),
        ({"summary": "Wanted an order.", "fields": {}, "success": None, "reason": ""}, "analysed: Wanted an order."),
        ({"summary": None, "fields": {"id": 7}, "success": None, "reason": ""}, "analysed: id 7"),
    ],
)
def test_an_analysis(found: dict[str, object], told: str) -> None:
    assert line(CallAnalyzed(**WHO, **found), 61.5) == f"   61,500 ms  call     {told}"  # type: ignore[arg-type]  # its fields


def test_a_recording() -> None:
    assert line(RecordingReady(**WHO, location="/x", seconds=4.21), 0.5) == "      500 ms  call     recorded: 4.2 s"
