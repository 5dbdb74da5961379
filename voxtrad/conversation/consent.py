"""May the call be recorded? The question, and what counts as an answer: yes, no or the keys 1 and 2.

What is not clearly a yes is none: a call is recorded only when its caller agreed in so many words.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from voxtrad.conversation.call import Call

ATTEMPTS = 2
"""How often the question is asked."""
AGREE, DECLINE = "1", "2"
"""The keys."""
LONGEST = 12
"""Words of an answer; what is longer talks of something else, or has conditions."""

_YES: Mapping[str, Collection[str]] = {
    "en": ("yes", "yeah", "yep", "yup", "sure", "ok", "okay", "of course", "certainly", "absolutely", "fine", "agreed",
           "i agree", "go ahead", "please do", "no problem", "i don't mind"),
    "de": ("ja", "jo", "jawohl", "ok", "okay", "gerne", "klar", "natürlich", "einverstanden", "in ordnung",
           "kein problem", "von mir aus"),
    "fr": ("oui", "ouais", "d'accord", "ok", "okay", "bien sûr", "volontiers", "pas de problème", "allez-y"),
    "es": ("sí", "si", "claro", "vale", "de acuerdo", "por supuesto", "ok", "okay", "sin problema", "no hay problema"),
    "it": ("sì", "si", "certo", "va bene", "d'accordo", "ok", "okay", "nessun problema", "volentieri"),
    "pt": ("sim", "claro", "certo", "tudo bem", "pode ser", "de acordo", "ok", "okay", "sem problema"),
    "nl": ("ja", "jawel", "prima", "natuurlijk", "akkoord", "ok", "oké", "okay", "geen probleem", "is goed"),
}  # fmt: skip
_NO: Mapping[str, Collection[str]] = {
    "en": ("no", "nope", "nah", "not", "never", "don't", "do not", "rather not", "won't", "can't", "decline"),
    "de": ("nein", "nee", "nö", "nicht", "kein", "keine", "keinesfalls", "lieber nicht", "niemals"),
    "fr": ("non", "pas", "jamais", "refuse"),
    "es": ("no", "nunca", "tampoco", "jamás"),
    "it": ("no", "non", "mai", "nessuna"),
    "pt": ("não", "nao", "nunca", "jamais"),
    "nl": ("nee", "neen", "niet", "geen", "nooit", "liever niet"),
}  # fmt: skip


def understood(text: str, language: str) -> bool | None:
    """Whether an answer agrees; None where that is not clear.

    The longest expressions are looked for first ("no problem" is a yes), any no outweighs every yes.
    """
    words = " ".join(re.findall(r"[\w'-]+", text.lower().replace("’", "'")))
    if words in (AGREE, DECLINE):
        return words == AGREE
    if not words or len(words.split()) > LONGEST:
        return None
    tongue = language.partition("-")[0].lower()
    answers = dict.fromkeys((*_NO["en"], *_NO.get(tongue, ())), False)
    answers |= dict.fromkeys((*_YES["en"], *_YES.get(tongue, ())), True)
    found: set[bool] = set()
    for expression in sorted(answers, key=len, reverse=True):
        words, count = re.subn(rf"(?<![\w'-]){re.escape(expression)}(?![\w'-])", " ", words)
        if count:
            found.add(answers[expression])
    return None if not found else False not in found


async def ask_consent(call: Call) -> bool:
    """Ask the caller whether the call may be recorded, and begin to record where they agree. Asked and answered once a
    call. Raises `ProviderError` as `say` does.
    """
    recorder, config = call.recorder, call.config
    for _ in range(ATTEMPTS):
        if recorder.agreed is not None or not call.in_progress:
            break
        await call.say(call.render(config.consent))
        turn = await call.listen(timeout=config.idle.after)
        recorder.agreed = understood(turn.text, config.language) if turn is not None else None
    agreed = recorder.agreed is True
    if call.in_progress:
        recorder.agreed = agreed
        call.reporter.note("consent", "the caller agrees to a recording" if agreed else "no recording")
        await recorder.for_agent(config, "agreement")
    return agreed
