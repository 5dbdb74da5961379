"""A wall clock that is put on a day by SIGUSR1 and back two days by SIGUSR2; for the server of test_faults.py."""

import signal
import time

DAY = 86400.0
_real, _offset = time.time, [0.0]


def _jump(number: int, frame: object) -> None:
    _offset[0] += DAY if number == signal.SIGUSR1 else -2 * DAY


time.time = lambda: _real() + _offset[0]
signal.signal(signal.SIGUSR1, _jump)
signal.signal(signal.SIGUSR2, _jump)
