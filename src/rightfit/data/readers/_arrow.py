"""Arrow tables as pandas frames."""

from __future__ import annotations

from typing import Any


def columns(table: Any) -> Any:
    """Every stored column as a column: one that pandas had used as an index too, unless it was only the row count."""
    import pyarrow as pa

    counted = [name for name in table.column_names if name.startswith("__index_level_")]
    table = table.drop_columns(counted) if counted else table
    for position, field in enumerate(table.schema):
        if pa.types.is_nested(field.type) and not pa.types.is_dictionary(field.type):
            texts = [None if value is None else str(value) for value in table.column(position).to_pylist()]
            table = table.set_column(position, field.name, pa.array(texts, pa.large_string()))
    return table.to_pandas(ignore_metadata=True)
