"""Tools of `verify` that answer what they were recorded to say."""

import json

from zosstorage.verification.tools import Said, Tools


class Recorded(Tools):
    """Answers by the start of the command line; the longest that fits counts."""

    def __init__(self) -> None:
        super().__init__(1)
        self.answers: dict[str, Said] = {}

    def add(self, start: str, stdout: object = "", stderr: str = "", status: int = 0) -> None:
        """Set the answer to command lines that begin with `start`; a `stdout` that is not text becomes JSON."""
        text = stdout if isinstance(stdout, str) else json.dumps(stdout)
        self.answers[start] = Said(status, text, stderr)

    def __call__(self, name: str, *words: str) -> Said:
        """Answer; a KeyError names a command line that nobody expected."""
        line = " ".join((name, *words))
        return self.answers[max((start for start in self.answers if line.startswith(start)), key=len, default=line)]
