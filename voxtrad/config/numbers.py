"""Telephone numbers: 020…, 4420…, 0044… and +4420… are one number where the country is GB; patterns with `*`.

What is no number of the public network (extensions, names, feature codes) is compared as it stands.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, ValidationResult

ANONYMOUS = "anonymous"
"""What a route says for a caller who gives no number."""

COUNTRIES: tuple[str, ...] = tuple(sorted(phonenumbers.SUPPORTED_REGIONS))
"""Codes of two capitals."""

_WITHHELD = frozenset({"", "anonymous", "unknown", "restricted", "private"})


def known_country(country: str) -> bool:
    """Whether there is such a country in the numbering plans."""
    return country in COUNTRIES


def canonical(number: str, country: str | None) -> str:
    """E.164 (`+442071234567`) where the number is one of the public network; otherwise the number as it stands."""
    cleaned = _cleaned(number)
    return _international(cleaned, country) or cleaned


def number_matches(pattern: str, number: str, country: str | None) -> bool:
    """Whether a number fits a pattern in which `*` stands for any number of digits."""
    if number.strip().lower() in _WITHHELD:
        return pattern.lower() == ANONYMOUS or pattern == "*"
    cleaned = _cleaned(number)
    forms = {cleaned, _international(cleaned, country) or cleaned}
    return any(text_matches(form, candidate) for form in _pattern_forms(pattern, country) for candidate in forms)


def text_matches(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern in which `*` stands for any text."""
    if "*" not in pattern:
        return pattern == text
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text, re.DOTALL) is not None


def covers(wider: str, narrower: str, country: str | None) -> bool:
    """Whether every number that fits `narrower` also fits `wider`, as far as the patterns tell.

    What a pattern may mean besides a number of the public network must be covered too: `2*` is also extension 200.
    """
    if wider == "*":
        return True
    if narrower == "*" or narrower.lower() == ANONYMOUS:  # who gives no number fits these alone
        return wider.lower() == narrower.lower()
    wide, narrow = _pattern_forms(wider, country), _pattern_forms(narrower, country)
    if "*" not in narrower:
        narrow = narrow[-1:]  # a number of the public network is one however it is dialled
    return all(any(text_matches(form, text) for form in wide) for text in narrow)


def _cleaned(number: str) -> str:
    """Without the marks that people put between digits; names stay whole."""
    stripped = re.sub(r"[\s().\-/]", "", number)
    return stripped if re.fullmatch(r"\+?[0-9*#]+", stripped) else number.strip()


def _international(cleaned: str, country: str | None) -> str | None:
    if not re.fullmatch(r"\+?[0-9]{3,20}", cleaned):
        return None
    if country is None and cleaned.startswith("00"):
        cleaned = "+" + cleaned[2:]
    try:
        parsed = phonenumbers.parse(cleaned, country)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


@lru_cache(maxsize=4096)
def _pattern_forms(pattern: str, country: str | None) -> tuple[str, ...]:
    """The pattern as written and, last, as it reads for international numbers.

    Kept, as every call is held against every route, and every route against those before it.
    """
    cleaned = _cleaned(pattern)
    if "*" not in cleaned:
        return cleaned, _international(cleaned, country) or cleaned
    prefix, star, rest = cleaned.partition("*")
    international = _international_prefix(prefix, country)
    return (cleaned,) if international is None else (cleaned, international + star + rest)


def _international_prefix(prefix: str, country: str | None) -> str | None:
    """`020` -> `+4420` in GB: the beginning of a number, as E.164 begins."""
    if prefix.startswith("+") or not prefix.isdigit():
        return None
    if country is None:
        return "+" + prefix[2:] if prefix.startswith("00") else None
    code = str(phonenumbers.country_code_for_region(country))
    metadata = PhoneMetadata.metadata_for_region(country)
    abroad = re.match(f"(?:{metadata.international_prefix})(?=[1-9])", prefix) if metadata else None
    if abroad:
        return "+" + prefix[abroad.end() :]
    national = metadata.national_prefix if metadata else None
    if national and national != code and prefix.startswith(national):
        return "+" + code + prefix.removeprefix(national)
    if prefix.startswith(code):
        return "+" + prefix
    # Countries in which a number is dialled without a prefix, such as Spain or the United States.
    return "+" + code + prefix if national in (None, code) else None
