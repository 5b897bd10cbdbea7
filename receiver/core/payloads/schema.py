"""Schemas that lose no more than the values that cannot be read, and read a value by one call.

marshmallow's own way through a field that has no validators takes several times as long as reading the value.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from receiver.core.payloads.errors import Errors

T = TypeVar("T")


class LiberalField(fields.Field[T | None]):
    """A field that is never required and has no validator beside its own `read`; `null` is no value."""

    def __init__(self, *, data_key: str | None = None) -> None:
        super().__init__(allow_none=True, data_key=data_key)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> T | None:
        return self.read(value)

    def read(self, value: Any) -> T | None:
        """The value of a JSON value that is not `null`, or None; raises `ValidationError`."""
        raise NotImplementedError


class LiberalSchema(Schema):
    """Unknown fields are no error (the raw body keeps them); every field is a `LiberalField`."""

    class Meta:
        unknown = EXCLUDE

    @cached_property
    def _readers(self) -> Sequence[tuple[str, str, Callable[[Any], Any]]]:
        declared: Mapping[str, Any] = self.load_fields
        return [(name, field.data_key or name, field.read) for name, field in declared.items()]

    def read(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], Errors]:
        """The values that are there and could be read, and why others could not: as `load`."""
        read: dict[str, Any] = {}
        errors: dict[str, list[str]] = {}
        for name, key, read_value in self._readers:
            raw = values.get(key)
            if raw is None:
                continue
            try:
                value = read_value(raw)
            except ValidationError as error:
                errors[key] = [str(message) for message in error.messages]
                continue
            if value is not None:
                read[name] = value
        return read, errors

    def read_but(
        self, values: Mapping[str, Any], *, needed: Collection[str]
    ) -> tuple[dict[str, Any], Errors]:
        """What `read` says; raises `ValidationError` where a `needed` value is bad."""
        read, errors = self.read(values)
        if errors and not errors.keys().isdisjoint(needed):
            raise ValidationError(dict(errors))
        return read, errors
