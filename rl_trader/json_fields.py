"""Typed reading of the exchange's JSON objects, in which numbers may be strings."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from rl_trader.errors import ContractError

_MOST_DIGITS: Final = 30  # of a whole number; to write out one with many more takes long


class FieldReader:
    """Reads the fields of one JSON object; every fault names the object and the field.

    Args:
        data: The object.
        where: What a message calls it, for example ``terms of BTCUSDT``.

    Raises:
        ContractError: From each method, if the field is missing or of another kind.
    """

    def __init__(self, data: Mapping[str, object], where: str) -> None:
        self.data = data
        self.where = where

    def text(self, name: str) -> str:
        """Return a field that holds text."""
        value = self._value(name)
        if not isinstance(value, str):
            raise self._fault(name, "text", value)
        return value

    def decimal(self, name: str) -> Decimal:
        """Return a number exactly as it is written, be it a string or a JSON number."""
        value = self._value(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            raise self._fault(name, "a number", value)
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise self._fault(name, "a number", value) from None
        if number.is_snan():  # no float can hold it
            raise self._fault(name, "a number", value)
        return number

    def number(self, name: str) -> float:
        """Return a number as a float."""
        return float(self.decimal(name))

    def whole(self, name: str) -> int:
        """Return a whole number."""
        value = self.decimal(name)
        if not value.is_finite() or value.adjusted() > _MOST_DIGITS or value != int(value):
            raise self._fault(name, "a whole number", value)
        return int(value)

    def list(self, name: str) -> list[object]:
        """Return a field that holds a list."""
        value = self._value(name)
        if not isinstance(value, list):
            raise self._fault(name, "a list", value)
        return value

    def child(self, name: str) -> "FieldReader":
        """Return the reader of an object inside this one."""
        return self._reader(name, self._value(name))

    def children(self, name: str) -> "tuple[FieldReader, ...]":
        """Return the readers of a list of objects."""
        return tuple(self._reader(name, value) for value in self.list(name))

    def _reader(self, name: str, value: object) -> "FieldReader":
        if not isinstance(value, Mapping):
            raise self._fault(name, "an object", value)
        return FieldReader(value, f"{name} in {self.where}")

    def _value(self, name: str) -> object:
        if name not in self.data:
            found = ", ".join(self.data) or "nothing"
            raise ContractError(
                f"{self.where} must have {name} and have {found}; read the terms again with scripts.download"
            )
        return self.data[name]

    def _fault(self, name: str, wanted: str, value: object) -> ContractError:
        return ContractError(
            f"{name} in {self.where} must be {wanted} and is {value!r}; read the terms again with scripts.download"
        )


def read_json_object(path: Path) -> dict[str, object]:
    """Return the JSON object in a file.

    Raises:
        ContractError: If the file cannot be read or holds something else.
    """
    try:
        data: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ContractError(f"{path} is not readable as JSON ({error}); run scripts.download again") from error
    if not isinstance(data, dict):
        raise ContractError(f"{path} must hold a JSON object; run scripts.download again")
    return data
