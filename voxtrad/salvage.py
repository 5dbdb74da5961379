"""Recordings that wait at the PBX, of a server that died or could not fetch them then: the next start does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import structlog

from voxtrad.conversation.report import recording_location
from voxtrad.events.types import Event, RecordingReady
from voxtrad.ledger.ledger import Ledger
from voxtrad.ledger.queries import show_call
from voxtrad.ledger.recordings import FOLDER
from voxtrad.ledger.schema import LedgerError
from voxtrad.leg import LegError, Recording

log = structlog.stdlib.get_logger(__name__)


async def fetch_recordings(
    found: Mapping[str, Recording],
    ledger: Ledger,
    data_dir: Path,
    publish: Callable[[Event], None],
    busy: Callable[[str], bool],
) -> None:
    """Keep what was recorded of calls that have a record and whose privacy lets them be recorded; delete the rest, and
    what was fetched already.

    `found` is by the calls' ids; what is `busy` is left alone. Never raises for what fails: that stays at the PBX, and
    the log says so.
    """
    for call_id, recording in found.items():
        if busy(call_id):
            continue
        try:
            record = await ledger.read(partial(show_call, call_id=call_id))
            await recording.stop()
            if record is None or record["privacy"] == "none" or record["recording"] is not None:
                await recording.discard()
                continue
            seconds = await recording.save(data_dir / FOLDER / f"{call_id}.wav")
        except (LedgerError, LegError) as error:
            log.warning("a recording stays at the PBX", call_id=call_id, reason=error.message)
        except OSError as error:
            log.warning("a recording stays at the PBX", call_id=call_id, reason=error.strerror)
        else:
            log.info("a recording was fetched that an earlier run had left", call_id=call_id, seconds=round(seconds, 1))
            location = recording_location(call_id)
            agent = str(record["agent"])
            publish(RecordingReady(call_id=call_id, agent=agent, location=location, seconds=round(seconds, 3)))
            try:
                await recording.discard()
            except LegError as error:
                log.warning("a recording that was fetched stays at the PBX", call_id=call_id, reason=error.message)
