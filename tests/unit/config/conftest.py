from __future__ import annotations

import pytest
from provider_models import TYPES

from voxtrad.config.providers import ProviderTypes


@pytest.fixture
def types() -> ProviderTypes:
    """Provider types of the tests' own, which do not change with what voxtrad brings."""
    return TYPES
