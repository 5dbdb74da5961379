"""PCM, G.711, resampling, frames, levels and WAV files: plain functions and small classes on bytes.

Audio is mono 16-bit little-endian linear PCM unless a name says otherwise. It waits for nothing and knows no call.
"""
