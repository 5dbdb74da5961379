"""`voxtrad init DIR`: writes the starter configuration, which runs without any key, network or PBX."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import voxtrad
from voxtrad.errors import VoxtradError, in_words

EXAMPLE = "voxtrad init ./config && voxtrad check -c ./config/voxtrad.yaml"


class InitError(VoxtradError):
    """The starter cannot be written there."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="where to; nothing that is there is overwritten")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0, or 1 when a file of the starter is there already."""
    source, target = starter(), arguments.directory
    files = sorted(file.relative_to(source) for file in source.rglob("*") if file.is_file())
    files = [file for file in files if file.parts[0] != "var"]
    taken = [file for file in files if (target / file).exists()]
    if taken:
        raise InitError(f"{target / taken[0]} is there already", hint="name a folder without a configuration")
    try:
        for file in files:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, target / file)
    except OSError as error:
        raise InitError(f"cannot write to {target}: {in_words(error)}") from None
    for file in files:
        print(target / file)
    print(f"\nNow: voxtrad check -c {target / 'voxtrad.yaml'}")
    return 0


def starter() -> Path:
    """The folder of the starter configuration: packaged with voxtrad, or in its source tree."""
    package = Path(voxtrad.__file__).parent
    packaged = package / "config" / "starter"
    return packaged if packaged.is_dir() else package.parent / "config"
