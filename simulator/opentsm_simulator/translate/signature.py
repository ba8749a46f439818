"""Signatures in kinds: what a method takes and gives, as far as the JVM's verifier must know it in translated code.

A kind is `S` (boolean, byte or short: one word on a Java Card's stack), `I` (int: two words), `A` (a reference) or, for
result, `V` (nothing). In translated code S and I are both JVM ints; what references are, `types` finds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from opentsm_card.errors import CapError

__all__ = ["Member", "Signature", "SignatureVariable", "parameters", "result_of", "words_of"]

_SECOND_WORD: Final = "J"


def words_of(kinds: str) -> int:
    """Return the 16-bit words that values of these kinds take on a Java Card's stack."""
    return len(kinds) + kinds.count("I")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a method takes, its receiver among it where it has one, and gives.

    Args:
        params: kinds.
        result: a kind, or V.
    """

    params: str
    result: str

    @classmethod
    def of_descriptor(cls, descriptor: str, *, receiver: bool) -> Self:
        """Make one of a JVM method descriptor."""
        kinds = "A" if receiver else ""
        return cls(kinds + "".join(_kind(each[0]) for each in parameters(descriptor)), _kind(result_of(descriptor)[0]))

    @property
    def words(self) -> int:
        """Words of its arguments."""
        return words_of(self.params)


def parameters(descriptor: str) -> list[str]:
    """Split the parameters of a JVM method descriptor."""
    text = descriptor[1 : descriptor.index(")")]
    found = []
    at = 0
    while at < len(text):
        start = at
        while text[at] == "[":
            at += 1
        at = text.index(";", at) + 1 if text[at] == "L" else at + 1
        found.append(text[start:at])
    return found


def result_of(descriptor: str) -> str:
    """Return the result in a JVM method descriptor."""
    return descriptor[descriptor.index(")") + 1 :]


def _kind(first: str) -> str:
    return {"Z": "S", "B": "S", "S": "S", "I": "I", "V": "V"}.get(first, "A")


@dataclass(frozen=True, slots=True)
class Member:
    """A method or field of a class that exists: of an API, or of a package translated before.

    Args:
        owner: the class, in internal form.
        name: in the class file.
        descriptor: in the class file.
        signature: of a method.
        protected: only subclasses may use it.
    """

    owner: str
    name: str
    descriptor: str
    signature: Signature
    protected: bool = False


@dataclass(slots=True)
class _Facts:
    """What is known of a signature: the kind that begins at each word of the arguments, and the result's."""

    words: list[str | None]
    result: str | None = None


class SignatureVariable:
    """A signature that is being inferred; methods that override each other share one.

    Without the Descriptor component nothing in a CAP file says what a method takes: its own loads of its arguments, its
    returns, and the calls of it do.

    Args:
        words: of the arguments.
    """

    def __init__(self, words: int) -> None:
        self._own = _Facts([None] * words)
        self._same: SignatureVariable | None = None

    @property
    def _facts(self) -> _Facts:
        """What is known of all variables that this one was made equal to."""
        return self.root._own  # noqa: SLF001 - of its own kind

    @property
    def root(self) -> SignatureVariable:
        """The variable that stands for all it was made equal to."""
        at = self
        while at._same is not None:
            at = at._same
        return at

    @property
    def words(self) -> int:
        """Words of the arguments."""
        return len(self._facts.words)

    @property
    def result(self) -> str | None:
        """The result's kind; None while it is not known."""
        return self._facts.result

    def fix(self, signature: Signature) -> None:
        """Say what it is, from an API.

        Raises:
            CapError: it is used in another way.
        """
        expanded = "".join(kind + _SECOND_WORD if kind == "I" else kind for kind in signature.params)
        if len(expanded) != self.words:
            raise CapError(f"a method takes {self.words} words where its signature says {len(expanded)}")
        for index, kind in enumerate(expanded):
            self._set(index, kind)
        self.returns(signature.result)

    def takes(self, word: int, kind: str) -> None:
        """Say what kind of argument begins at a word.

        Raises:
            CapError: another one does, or there is no such word.
        """
        self._set(word, kind)
        if kind == "I":
            self._set(word + 1, _SECOND_WORD)

    def returns(self, kind: str) -> None:
        """Say what it gives.

        Raises:
            CapError: it gives something else, too.
        """
        facts = self._facts
        if facts.result not in {None, kind}:
            raise CapError(f"a method returns both {facts.result} and {kind}")
        facts.result = kind

    def unify(self, other: SignatureVariable) -> None:
        """Make two the same.

        Raises:
            CapError: they contradict each other.
        """
        mine, theirs = self.root, other.root
        if mine is theirs:
            return
        if mine.words != theirs.words:
            raise CapError(f"methods that override each other take {mine.words} and {theirs.words} words")
        for index, kind in enumerate(theirs._facts.words):  # noqa: SLF001 - of its own kind
            if kind is not None:
                mine._set(index, kind)  # noqa: SLF001 - of its own kind
        if theirs.result is not None:
            mine.returns(theirs.result)
        theirs._same = mine  # noqa: SLF001 - of its own kind

    def save(self) -> tuple[tuple[str | None, ...], str | None]:
        """Return what is known now, for `restore`."""
        return tuple(self._facts.words), self.result

    def restore(self, saved: tuple[tuple[str | None, ...], str | None]) -> None:
        """Forget what was learnt since `save`."""
        self._facts.words[:], self._facts.result = saved

    def settle(self) -> Signature:
        """Return what was found; what nobody reads or gives is taken for a short."""
        kinds = "".join(kind or "S" for kind in self._facts.words)
        return Signature(kinds.replace(_SECOND_WORD, ""), self.result or "V")

    def _set(self, word: int, kind: str) -> None:
        words = self._facts.words
        if word >= len(words):
            raise CapError(f"argument word {word} of {len(words)}")
        if words[word] not in {None, kind}:
            raise CapError(f"argument word {word} is used as {words[word]} and as {kind}")
        words[word] = kind
