"""Written text becomes what can be spoken: deltas go in, sentences come out, each with what was written for it."""

from voxtrad.conversation.speech_text.speech import Sentence, SpeechText, says_anything, speakable

__all__ = ["Sentence", "SpeechText", "says_anything", "speakable"]
