"""From the model's words to the voice's sentences: made speakable first (markup may span sentences), then cut."""

from __future__ import annotations

from dataclasses import dataclass

from voxtrad.conversation.speech_text.sentences import SentenceStream, sayable
from voxtrad.conversation.speech_text.speakable import Fragment, SpeakableStream


@dataclass(frozen=True, slots=True)
class Sentence:
    """A piece to speak. The sources of all pieces joined are what was written."""

    text: str
    """What to say. Empty only in the last piece, when nothing that can be said is left."""
    source: str
    """What was written for it, markup and all; what was written before it but cannot be said is in here too."""


_GLANCE = 64
"""Characters in which there is nearly always something to say."""


def speakable(text: str, language: str) -> str:
    """A whole text as it is to be said, in one line."""
    stream = SpeechText(language)
    return " ".join(sentence.text for sentence in (*stream.push(text), *stream.flush()) if sentence.text)


def says_anything(text: str) -> bool:
    """Whether anything is left of a text once it is made speakable: of an emoji, or of code alone, nothing is."""
    stream = SpeakableStream("")
    parts = (stream.push(text[at : at + _GLANCE]) for at in range(0, len(text), _GLANCE))
    return any(sayable(said.text) for part in parts for said in part) or any(sayable(r.text) for r in stream.flush())


class SpeechText:
    """One text: deltas in, sentences out. The sentences do not depend on how the text was split into deltas."""

    def __init__(self, language: str) -> None:
        self._speakable = SpeakableStream(language)
        self._sentences = SentenceStream(language)
        self._source = ""
        self._ends: list[int] = []
        """For each character in the cutter: where in `_source` that which was written for it ends."""
        self._space = ""
        self._space_end = 0
        """White space that waits for what follows it: of a run of it one character is kept."""
        self._gap = False
        """Something was left out after it."""
        self._begun = False

    def push(self, delta: str) -> list[Sentence]:
        """The sentences that are certain now."""
        return self._cut(self._speakable.push(delta))

    def flush(self) -> list[Sentence]:
        """The rest: the text has ended, and the next one may begin."""
        sentences = self._cut(self._speakable.flush())
        pieces = self._sentences.flush()
        for number, piece in enumerate(pieces, 1):
            sentences.append(self._sentence(piece, whole=number == len(pieces)))
        if self._source:
            sentences.append(Sentence("", self._source))
        self._source, self._space, self._begun = "", "", False
        return sentences

    def _cut(self, fragments: list[Fragment]) -> list[Sentence]:
        text = "".join(map(self._feed, fragments))
        return [self._sentence(piece) for piece in self._sentences.push(text)]

    def _feed(self, fragment: Fragment) -> str:
        """The characters of a fragment that go to the cutter, after their ends were noted."""
        start = len(self._source)
        self._source += fragment.source
        literal = fragment.text == fragment.source
        fed = ""
        self._gap |= not fragment.text
        for at, character in enumerate(fragment.text, start + 1):
            end = at if literal else len(self._source)
            if character == "\n" and self._begun:
                fed += self._keep("\n", end)
                self._space, self._begun = "", False
            elif character.isspace():
                if self._begun:
                    self._space, self._space_end, self._gap = " ", end, False
            else:
                # No space is left before a mark because of what was left out, or replaced by a comma.
                if self._space and not (character in ".,;:!?" and (self._gap or not literal)):
                    fed += self._keep(" ", self._space_end)
                fed += self._keep(character, end)
                self._space, self._begun = "", True
        return fed

    def _keep(self, character: str, end: int) -> str:
        self._ends.append(end)
        return character

    def _sentence(self, piece: str, *, whole: bool = False) -> Sentence:
        cut = len(self._source) if whole else self._ends[len(piece) - 1]
        source, self._source = self._source[:cut], self._source[cut:]
        self._ends = [end - cut for end in self._ends[len(piece) :]]
        self._space_end -= cut
        return Sentence(" ".join(piece.split()) if sayable(piece) else "", source)
