"""voxtrad: the self-hosted voice-agent server for Asterisk."""

__version__ = "0.1.0"
