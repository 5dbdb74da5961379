"""The table of events that back-end developers read says of each event what it really has."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args

import pytest

from voxtrad.events.types import Outcome, PromisedEvent

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "config/README.md").read_text(encoding="utf-8").partition("\n## Events\n")[2].partition("\n## ")[0]
ROWS = dict(re.findall(r"^\| `([a-z_.]+)` \|(.*)\|$", TEXT, re.MULTILINE))
KINDS = {kind.name: kind for kind in PromisedEvent.__subclasses__()}


def example(kind: type[PromisedEvent]) -> PromisedEvent:
    needed = (f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)
    return kind(**dict.fromkeys(needed, "x"))  # type: ignore[arg-type]  # only the names matter here


def test_every_event_stands_in_it() -> None:
    assert ROWS.keys() == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_it_has_the_fields_that_are_told(name: str) -> None:
    told = re.findall(r"`([a-z_]+)`", re.sub(r"\([^)]*\)", "", ROWS[name]).partition(";")[0])
    assert told == [field for field in example(KINDS[name]).data() if field not in ("call_id", "agent")]


def test_every_outcome_of_a_call_is_told() -> None:
    (sentence,) = re.findall(r"`outcome` of a call is (.*?)\.\n", TEXT, re.DOTALL)
    assert set(re.findall(r"`([a-z_]+)`", sentence)) == set(get_args(Outcome))
