"""What must never leave the trader: a request to another exchange than its own, and a secret.

Every checker is a function of the record alone: it yields a sentence for what is broken, and counts what it looks at.
"""

from collections.abc import Iterator

from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.tally import Tally


def nowhere_else(record: Record, tally: Tally) -> Iterator[str]:
    """Every request goes to the venue that is traded on."""
    if not record.origin:
        return
    tally.look(len(record.asked))
    for asked in record.asked:
        if asked.origin != record.origin:
            yield f"{asked.name} was sent to {asked.origin} at {asked.sent_ms}, and the venue is at {record.origin}"


def no_secret_told(record: Record, tally: Tally) -> Iterator[str]:
    """No secret is in the journal, in what a person is told, in a failure, or in what is asked for.

    The listen key goes with what asks about it.
    """
    if not record.secrets:
        return
    told = {"the journal": "\n".join(record.lines), "an alert": "\n".join(record.alerts), "a failure": record.failure}
    keys = record.secrets[:2]
    asked = "\n".join(" ".join(each.sent.values()) for each in record.asked)
    for where, text in told.items():
        tally.look()
        yield from (f"a secret stands in {where}" for secret in record.secrets if secret in text)
    tally.look()
    yield from ("a key or its secret stands in the parameters of a request" for secret in keys if secret in asked)
