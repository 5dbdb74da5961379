"""Calls through an Asterisk PBX: ARI for control, and chan_websocket or AudioSocket for the audio."""
