"""What ids are hashed from: they last when the toolkit gains an axis, or a workload a field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from core.record import BornAs, Scalar
from experiments.engines import ENGINES
from experiments.engines.base import ARM_AXIS
from experiments.planning.axes import COMMON_AXES, PLACE_AXES, among


def canonical(params: Mapping[str, Scalar]) -> list[list[Scalar]]:
    """List axis values in an order that does not depend on how a matrix names them.

    An axis that was added later is left out where it has the value of then (`Axis.born_as`).
    """
    engine = ENGINES.get(str(params.get("engine")))
    axes = (*COMMON_AXES, *PLACE_AXES, ARM_AXIS, *(engine.axes if engine else ()))
    born = {axis.name: axis.born_as for axis in axes if axis.born_as is not None}
    return [
        [name, params[name]]
        for name in sorted(params)
        if name not in born or not among(params[name], (born[name],))
    ]


def content(record: BaseModel) -> dict[str, Any]:
    """Give a workload's fields, without those marked `BornAs` that have the value of then."""
    return {
        name: _plain(value)
        for name, field in type(record).model_fields.items()
        if BornAs(value := getattr(record, name)) not in field.metadata
    }


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return content(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def digest(value: object) -> str:
    """Hash a value as JSON: SHA-256 in hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
