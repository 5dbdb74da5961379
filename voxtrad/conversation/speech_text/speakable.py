"""Makes written text speakable while it is being written: markup goes, what it marks stays.

Models write Markdown whatever they are told. Emphasis, headings, bullets, links, tables and HTML lose their signs; code
blocks, pictures' addresses, emoji and control characters are left out; signs that mean a word become it. A rule waits
until it has seen enough, so the result does not depend on how the text was split. Cutting sentences is done after it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

from voxtrad.conversation.speech_text.signs import words_of


@dataclass(frozen=True, slots=True)
class Fragment:
    """What is to be said for a part of what was written; often the same, or nothing."""

    text: str
    source: str


_EMOJI = "\U0001f000-\U0001faff\U0001fb00-\U0001fbff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\u3030\u303d\u3297\u3299"
_SILENT = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffd"
    "\ufe00-\ufe0f\u20e3©®™\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff\ud800-\udfff"
)
_ARROWS = "\u2190-\u21ff\u27f0-\u27ff\u2900-\u297f"
_SIGNS = r"*_~`\[\]<>&|\\#!=•‣◦\-\n" + "\u200d"

_PLAIN = re.compile(f"[^A-Za-z0-9{_SIGNS}{_EMOJI}{_SILENT}{_ARROWS}]+")
_SILENT_RUN = re.compile(f"[{_EMOJI}{_SILENT}]+")
_ARROW = re.compile(f"[{_ARROWS}]")
_WORD = re.compile(r"[A-Za-z0-9]+")
_MAIL_REST = re.compile(r"_+[A-Za-z0-9._%+-]{1,100}@[A-Za-z0-9]")
_URL = re.compile(r"(?:https?://|www\.)[!#-&(-;=?@A-Z_a-z~]{1,2000}")
_URL_BEGINNINGS = ("https://", "http://", "www.")
_TAG = re.compile(r"<([A-Za-z/!?][^<>\n]{0,500})>")
_ENTITY = re.compile(r"&#?[A-Za-z0-9]{1,12};")
_LINK_END = re.compile(r"\]\((?:[^()\n]|\([^()\n]{0,200}\)){0,2000}\)|\]\[[^\[\]\n]{0,200}\]")
_FOOTNOTE = re.compile(r"\[\^[^\[\]\n]{0,50}\]")
_CHECKBOX = re.compile(r"\[[ xX]\]")
_TABLE_RULE = re.compile(r"\|[ \t:|-]*-[ \t:|-]*")
_CELL = re.compile(r"[|•‣◦][|•‣◦ \t]*")
_NUMBERED = re.compile(r"\d{1,3}[.)]\s")
_BREAKING_TAG = re.compile(r"/?(?:br|p|li|tr|div|h[1-6]|ul|ol|table)\b", re.IGNORECASE)
_HIDDEN_TAG = re.compile(r"(think|script|style)\b", re.IGNORECASE)
_STOPS = ".!?:;…。！？｡।॥۔؟\"'”’»)」』）"
"""A line that ends so is a line of its own; another may go on in the next."""


_Step = tuple[int, str]
"""How many characters were read, and what is to be said for them."""


class SpeakableStream:
    """Reads one text. The sources of all fragments joined are the text; a line that ends for good gives `"\\n"`."""

    def __init__(self, language: str) -> None:
        self._words = words_of(language)
        self._signs: dict[str, Callable[[], _Step | None]] = {
            "*": self._star, "_": self._underscore, "~": self._tilde, "`": self._backtick, "#": self._hash,
            "\\": self._backslash, "!": self._exclamation, "[": self._bracket, "]": self._bracket_end,
            "<": self._less, ">": self._greater, "&": self._ampersand, "-": self._dash, "=": self._dash,
            "|": self._cell, "•": self._cell, "‣": self._cell, "◦": self._cell, "\u200d": self._joiner,
        }  # fmt: skip
        self._begin()

    def _begin(self) -> None:
        self._buffer = ""
        self._at = 0
        self._ended = False
        self._before = ""  # the last character that was read
        self._spoken = ""  # the last one of this line that is said, but for space
        self._line_start = True
        self._block_line = False  # the line is a heading, an item, a row: the next one does not continue it
        self._hidden_until = ""

    def push(self, delta: str) -> list[Fragment]:
        """What is certain now."""
        self._buffer += delta
        return self._read()

    def flush(self) -> list[Fragment]:
        """The rest: the text has ended, and the next one may begin."""
        self._ended = True
        fragments = self._read()
        self._begin()
        return fragments

    def _read(self) -> list[Fragment]:
        fragments = []
        while self._at < len(self._buffer) and (step := self._step(self._buffer[self._at])):
            length, text = step
            source = self._buffer[self._at : self._at + length]
            self._at += length
            self._before = source[-1]
            self._spoken = text.rstrip()[-1:] or self._spoken
            fragments.append(Fragment(text, source))
        self._buffer, self._at = self._buffer[self._at :], 0
        return fragments

    def _step(self, character: str) -> _Step | None:
        """Read what begins here; `None` while it is undecided."""
        if self._hidden_until:
            return self._hidden()
        if character == "\n":
            return self._newline()
        if self._line_start:
            if character in " \t\r":
                return 1, " "
            decided, step = self._block(character)
            if not decided or step:
                return step
        step = self._inline(character)
        if step:
            self._line_start = False
        return step

    # --- what a line begins with ---

    def _block(self, character: str) -> tuple[bool, _Step | None]:
        """Whether it is known how the line begins, and the step when it is with a mark of its own."""
        length, after = self._run()
        if character in "#>-+*_=~`•‣◦–" and after is None:
            return False, None
        blank = after is not None and (not after or after.isspace())
        if character == ">":
            return True, (length, "")
        if (character in "-+*•‣◦–" and length == 1 and blank) or (character == "#" and length <= 6 and blank):
            self._block_line = True
            return True, (length, "")
        if (character in "-*_" and length >= 3 and blank) or (character == "=" and length >= 2 and blank):
            return True, (length, "")
        if character == "~" and length >= 3:
            self._hidden_until = character * length
            return True, (length, "")
        if character == "|":
            return self._row()
        if character == "[" and self._block_line:
            if self._may_become(3, r"\[([ xX]\]?)?"):
                return False, None
            if box := _CHECKBOX.match(self._buffer, self._at):
                return True, (len(box[0]), "")
        if character.isdigit():
            if self._may_become(5, r"\d{1,3}[.)]?"):
                return False, None
            self._block_line |= bool(_NUMBERED.match(self._buffer, self._at))
        return True, None

    def _row(self) -> tuple[bool, _Step | None]:
        """A row of a table; the rule under its head is left out."""
        cell = _CELL.match(self._buffer, self._at)
        assert cell  # the caller saw its first character
        after = self._peek(cell.end())
        if after is None:
            return False, None
        if after and after in "-:":
            end = self._buffer.find("\n", self._at)
            if end < 0 and not self._ended and len(self._buffer) - self._at < 500:
                return False, None
            if _TABLE_RULE.fullmatch(self._buffer, self._at, end if end >= 0 else len(self._buffer)):
                return True, ((end if end >= 0 else len(self._buffer)) - self._at, "")
        self._block_line = True
        return True, (len(cell[0]), "")

    def _newline(self) -> _Step | None:
        """A line may go on in the next one, as in a text broken at 80 columns; then this is only a space."""
        hard = self._block_line or not self._spoken or self._spoken in _STOPS
        if not hard:
            following = self._buffer[self._at + 1 :].lstrip(" \t\r")
            if not self._ended and (not following or re.fullmatch(r"\d{1,3}[.)]?", following)):
                return None
            hard = following[:1] in "\n#>-+*•‣◦|`~=" or bool(_NUMBERED.match(following))
        self._line_start = True
        if not hard:
            return 1, " "
        self._block_line = False
        self._spoken = ""
        return 1, "\n"

    def _hidden(self) -> _Step | None:
        """Inside a code block, or a tag whose content is not for the reader."""
        end = re.compile(re.escape(self._hidden_until), re.IGNORECASE).search(self._buffer, self._at)
        if end:
            self._hidden_until = ""
            self._block_line = True
            return end.end() - self._at, ""
        length = len(self._buffer) - self._at - (0 if self._ended else len(self._hidden_until) - 1)
        return (length, "") if length > 0 else None

    # --- what stands in a line ---

    def _inline(self, character: str) -> _Step | None:
        if plain := _PLAIN.match(self._buffer, self._at):
            return len(plain[0]), plain[0]
        if sign := self._signs.get(character):
            return sign()
        if silent := _SILENT_RUN.match(self._buffer, self._at):
            return len(silent[0]), ""
        if _ARROW.match(character):
            return 1, ", "
        return self._word()

    def _word(self) -> _Step | None:
        """Letters and digits in ASCII, with which an address may begin."""
        buffer, at = self._buffer, self._at
        if not self._before.isalnum():
            if not self._ended and any(beginning.startswith(buffer[at:]) for beginning in _URL_BEGINNINGS):
                return None
            if found := _URL.match(buffer, at):
                if found.end() == len(buffer) and len(found[0]) < 2000 and not self._ended:
                    return None
                url = found[0].rstrip(".,;:!?*_~)&")
                return len(url), _spoken_url(url)
        word = _WORD.match(buffer, at)
        assert word  # all else was taken by another rule
        return len(word[0]), word[0]

    def _star(self) -> _Step | None:
        length, after = self._run()
        if after is None:
            return None
        between = (self._before.isspace() and after.isspace()) or (self._before.isdigit() and after.isdigit())
        return length, "×" if length == 1 and between else ""

    def _underscore(self) -> _Step | None:
        """Emphasis, or part of a name; only a mail address keeps it."""
        length, after = self._run()
        if after is None:
            return None
        if not (self._before.isalnum() and after.isalnum()):
            return length, ""
        if self._may_become(100, r"_+[A-Za-z0-9._%+-]*@?"):
            return None
        return length, "_" * length if _MAIL_REST.match(self._buffer, self._at) else " "

    def _tilde(self) -> _Step | None:
        length, after = self._run()
        if after is None:
            return None
        return length, f"{self._words.about} " if length == 1 and after.isdigit() else ""

    def _hash(self) -> _Step | None:
        length, after = self._run()
        if after is None:
            return None
        return length, f"{self._words.number} " if length == 1 and after.isdigit() else ""

    def _backtick(self) -> _Step | None:
        length, after = self._run()
        if after is None:
            return None
        if length >= 3:
            self._hidden_until = "`" * length
        return length, ""

    def _dash(self) -> _Step | None:
        """`-` and `=`, and the arrows drawn with them."""
        length, after = self._run()
        if after is None:
            return None
        if after == ">":
            return length + 1, ", "
        return length, "" if length >= 3 else self._buffer[self._at : self._at + length]

    def _backslash(self) -> _Step:
        return 1, ""

    def _joiner(self) -> _Step:
        """It joins emoji, and letters in Persian and the scripts of India."""
        return 1, "" if not self._before or _SILENT_RUN.match(self._before) else "\u200d"

    def _exclamation(self) -> _Step | None:
        after = self._peek(self._at + 1)
        if after is None:
            return None
        return 1, "" if after == "[" else "!"

    def _bracket(self) -> _Step | None:
        after = self._peek(self._at + 1)
        if after == "^":
            if note := _FOOTNOTE.match(self._buffer, self._at):
                return len(note[0]), ""
            if self._may_become(60, r"\[\^[^\[\]\n]*"):
                return None
        return None if after is None else (1, "")

    def _bracket_end(self) -> _Step | None:
        """The end of a link's text: where it leads is not said."""
        after = self._peek(self._at + 1)
        if after and after in "([":
            if link := _LINK_END.match(self._buffer, self._at):
                return len(link[0]), ""
            if self._may_become(2300, r"[^\n]*"):
                return None
        return None if after is None else (1, "")

    def _less(self) -> _Step | None:
        if tag := _TAG.match(self._buffer, self._at):
            return len(tag[0]), self._tag(tag[1])
        after = self._peek(self._at + 1)
        if after is None or self._may_become(502, r"<[A-Za-z/!?][^<>\n]*"):
            return None
        return 1, f" {self._words.less} " if after.isspace() or after.isdigit() or after == "=" else ""

    def _tag(self, inner: str) -> str:
        if re.match(r"https?://|mailto:|[^\s@]+@[^\s@]+$", inner):
            return _spoken_url(inner)
        if hidden := _HIDDEN_TAG.match(inner):
            self._hidden_until = f"</{hidden[1]}>"
        return "\n" if _BREAKING_TAG.match(inner) else ""

    def _greater(self) -> _Step | None:
        after = self._peek(self._at + 1)
        if after is None:
            return None
        return 1, f" {self._words.greater} " if self._before.isspace() and (after.isspace() or after.isdigit()) else ""

    def _ampersand(self) -> _Step | None:
        if entity := _ENTITY.match(self._buffer, self._at):
            text = html.unescape(entity[0])
            if text != entity[0]:
                return len(entity[0]), "".join(map(self._unescaped, text))
        elif self._may_become(14, r"&#?[A-Za-z0-9]*"):
            return None
        return 1, f" {self._words.ampersand} "

    def _unescaped(self, character: str) -> str:
        words = {"&": self._words.ampersand, "<": self._words.less, ">": self._words.greater}
        if character in words:
            return f" {words[character]} "
        if character.isspace():
            return " "
        return character if character.isalnum() or _PLAIN.match(character) else ""

    def _cell(self) -> _Step | None:
        """What parts the cells of a row, or items in a line."""
        cell = _CELL.match(self._buffer, self._at)
        assert cell  # the caller saw its first character
        after = self._peek(cell.end())
        if after is None:
            return None
        return len(cell[0]), "" if after in "\r\n" else ", "

    # --- looking ahead ---

    def _peek(self, at: int) -> str | None:
        """The character there; nothing where the text has ended, `None` where it has not come yet."""
        if at < len(self._buffer):
            return self._buffer[at]
        return "" if self._ended else None

    def _run(self) -> tuple[int, str | None]:
        """How often the character here is repeated, and what follows."""
        character, end = self._buffer[self._at], self._at + 1
        while end < len(self._buffer) and self._buffer[end] == character:
            end += 1
        return end - self._at, self._peek(end)

    def _may_become(self, length: int, pattern: str) -> bool:
        """Whether all that has come is the beginning of something, of `length` characters at most."""
        here = len(self._buffer) - self._at
        return not self._ended and here < length and bool(re.compile(pattern).fullmatch(self._buffer, self._at))


def _spoken_url(url: str) -> str:
    """The host, and the path where it is short and plain: nobody wants to hear the rest."""
    bare = re.sub(r"^(?:https?://|mailto:)?(?:www\.)?", "", url)
    host, _, path = re.split(r"[?#]", bare, maxsplit=1)[0].partition("/")
    path = path.rstrip("/")
    plain = path and len(path) <= 30 and re.fullmatch(r"[A-Za-z0-9./-]+", path)
    host = re.sub(r"[<>&*~`#|\\\[\]]", "", host)
    return f"{host}/{path}" if plain else host
