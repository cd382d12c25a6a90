"""SQL databases through SQLAlchemy: `URL::table` or `URL::SELECT ...`; without `::`, the only table of the database.

    sqlite:///shop.db::orders
    sqlite:///shop.db::SELECT age, churn FROM customers WHERE age > 18
    postgresql+psycopg://user:password@host/shop::public.customers
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rightfit.data.readers._files import locate
from rightfit.data.table import Reader, shown
from rightfit.errors import DataError, UnknownName, UsageError
from rightfit.records import Need

_SHAPE = re.compile(r"(?P<url>[a-zA-Z][a-zA-Z0-9+]*://(?:[^:\[]|\[[^\]]*\]|:(?!:))*)(?:::(?P<what>.*))?", re.DOTALL)


def accepts(source: Any) -> bool:
    """A text that is a database URL."""
    return isinstance(source, str) and re.match(r"[a-zA-Z][a-zA-Z0-9+]*://", source) is not None


def read(source: Any, need: Need) -> tuple[Any, dict[str, Any]]:
    """The rows of a table or query. Raises UsageError for a bad URL, UnknownName for a table, DataError otherwise."""
    import pandas as pd

    try:
        import sqlalchemy as sa
    except ImportError:
        raise UsageError("a database needs the package SQLAlchemy; got none, install rightfit[sql].") from None
    shape = _SHAPE.fullmatch(source)
    try:
        url = sa.engine.make_url(shape["url"] if shape else source)
        if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
            # SQLite would create a file that does not exist
            locate(Path(url.database))
        engine = sa.create_engine(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError) as error:
        raise UsageError(f"a database URL must be one that SQLAlchemy knows, such as sqlite:///file.db::table; got "
                         f"source={shown(source)}.") from error
    except ImportError as error:
        raise UsageError(f"the database needs its driver; got {error}, install it (PostgreSQL: pip install "
                         f"'rightfit[sql]').") from None
    place = url.render_as_string(hide_password=True)
    what = (shape["what"] or "").strip() if shape else ""
    try:
        with engine.connect() as connection:
            query = _query(sa, connection, what)
            frame = pd.read_sql_query(query, connection)
    except (sa.exc.SQLAlchemyError, pd.errors.DatabaseError) as error:
        cause = error.__cause__ if isinstance(error, pd.errors.DatabaseError) else error
        reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
        raise DataError(f"the database must answer the query; got url={place!r}: {reason}.") from error
    finally:
        engine.dispose()
    return frame, {"path": place, "query": what}


def _query(sa: Any, connection: Any, what: str) -> Any:
    if re.match(r"(select|with|values|table)\s", what, re.IGNORECASE):
        return sa.text(what.replace(":", r"\:"))
    inspector = sa.inspect(connection)
    known = [*inspector.get_table_names(), *inspector.get_view_names()]
    if not what:
        if len(known) != 1:
            raise UsageError(f"a database URL must name a table or a query after '::'; got {len(known)} tables "
                             f"({', '.join(known[:10])}).")
        what = known[0]
    schema, _, name = what.rpartition(".")
    if what in known:
        schema, name = "", what
    elif not schema:
        raise UnknownName("table", what, known)
    return sa.select(sa.text("*")).select_from(sa.table(name, schema=schema or None))


SPEC = Reader(name="sql", accepts=accepts, read=read)
