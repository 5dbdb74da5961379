"""The one place that imports `audioop`: the standard library's up to Python 3.12, the `audioop-lts` package after it.

3.11 and 3.12 announce its removal with a warning at import; we have the replacement already, so it is not shown.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["audioop"]
