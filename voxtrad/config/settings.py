"""Settings of the process, not of the service: which configuration, how to log, where to write.

They come from the environment (`VOXTRAD_CONFIG`, `VOXTRAD_LOG_LEVEL`, `VOXTRAD_LOG_FORMAT`, `VOXTRAD_DATA_DIR`): a
laptop, a container and a unit file that share one configuration differ in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from voxtrad.errors import VoxtradError

DEFAULT_CONFIG = Path("config/voxtrad.yaml")


class SettingsError(VoxtradError):
    """An environment variable of voxtrad's own has a value that it cannot have."""


def _small(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """The environment, read once."""

    model_config = SettingsConfigDict(env_prefix="VOXTRAD_", frozen=True, env_ignore_empty=True, extra="ignore")

    config: Path = DEFAULT_CONFIG
    """The configuration, where no `-c` names one."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_small)] = "info"
    """The least important thing to log."""
    log_format: Annotated[Literal["auto", "console", "json"], BeforeValidator(_small)] = "auto"
    """`auto`: console on a terminal, JSON otherwise."""
    data_dir: Path | None = None
    """Instead of `server.data_dir`."""


def read_settings() -> Settings:
    """The settings of this process. Raises `SettingsError`."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = f"VOXTRAD_{str(first['loc'][0]).upper()}"
        raise SettingsError(f"{name}: {first['msg'].replace('Input should be', 'must be')}") from None
