"""Who is alive and who has died, with real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.lease import FOLDER, Address, address_of_living, leased

PROGRAM = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from voxtrad.lease import leased
with leased(Path(sys.argv[1])) as lease:
    print(lease.instance, *sorted(lease.dead), flush=True)
    sys.stdin.readline()
    if sys.argv[2:] == ["forget"]:
        lease.forget()
"""


class Other:
    """Another server on the same folder."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.name, *self.dead = self.process.stdout.readline().split()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.communicate("\n", timeout=20)
        assert self.process.returncode == 0


@contextmanager
def other(folder: Path, *arguments: str) -> Iterator[Other]:
    one = Other(folder, *arguments)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.kill()
        for stream in (one.process.stdin, one.process.stdout):
            if stream is not None:
                stream.close()


def test_the_first_of_all_knows_no_dead(tmp_path: Path) -> None:
    with leased(tmp_path) as lease:
        assert not lease.dead and lease.instance.isalnum()
        assert [path.name for path in (tmp_path / FOLDER).glob("[!.]*")] == [lease.instance]
    assert not list((tmp_path / FOLDER).glob("[!.]*"))


def test_the_living_are_not_dead_and_the_killed_are(tmp_path: Path) -> None:
    with other(tmp_path) as alive, other(tmp_path) as killed:
        assert killed.dead == []
        killed.kill()
        with leased(tmp_path) as lease:
            assert lease.dead == {killed.name}
            with other(tmp_path) as third:
                assert third.dead == [], "one clears up after the dead, not two"
            lease.forget()
            assert not lease.dead
        with leased(tmp_path) as lease:
            assert lease.dead == frozenset({third.name})
            lease.forget()
        alive.stop()
        with leased(tmp_path) as lease:
            assert not lease.dead


def test_who_dies_while_clearing_up_leaves_it_to_the_next(tmp_path: Path) -> None:
    with other(tmp_path) as first:
        first.kill()
    with other(tmp_path) as second:
        assert second.dead == [first.name]
        second.kill()
    with other(tmp_path) as third:
        assert third.dead == sorted([first.name, second.name])
        third.stop()
    with other(tmp_path, "forget") as fourth:
        assert fourth.dead == sorted([first.name, second.name])
        fourth.stop()
    with leased(tmp_path) as lease:
        assert not lease.dead


def test_a_folder_that_cannot_be_used_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("no folder")
    with leased(tmp_path) as lease:
        assert not lease.dead and lease.instance
    assert (tmp_path / FOLDER).read_text() == "no folder"


def test_the_address_of_the_living_is_found_and_that_of_the_dead_is_not(tmp_path: Path) -> None:
    assert address_of_living(tmp_path) is None
    here = Address("http://127.0.0.1:8090", "a key")
    with leased(tmp_path) as lease:
        assert address_of_living(tmp_path) is None, "nothing is announced yet"
        lease.announce(Address("http://127.0.0.1:80900", "a longer key"))
        lease.announce(here)
        assert address_of_living(tmp_path) == here
        assert "a key" not in repr(here)
        (dead,) = (tmp_path / FOLDER).glob("[!.]*")
        left = dead.read_bytes()
    (tmp_path / FOLDER / "dead").write_bytes(left)
    assert address_of_living(tmp_path) is None


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=60) | st.from_regex(rb'\{"url": "[a-z]*"(, "key": (1|"k"))?(, "x": 1)?\}', fullmatch=True))
def test_whatever_stands_in_the_file_is_an_address_or_none(left: bytes) -> None:
    with TemporaryDirectory() as folder, leased(Path(folder)) as lease:
        (Path(folder) / FOLDER / lease.instance).write_bytes(left)
        found = address_of_living(Path(folder))
        assert found is None or (isinstance(found.url, str) and isinstance(found.key, str))
