"""An exported ledger as Parquet: amounts as decimal128(19, 9) beside whole nano-units, times as UTC beside their ms.

Needs pyarrow (``pip install 'gotoai[parquet]'``). The files are converted in batches, whatever their size.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from .errors import ConfigurationError, InvalidRequestError

BATCH_BYTES = 8 << 20


def require() -> None:
    """Raises ``ConfigurationError`` when pyarrow is missing: better before a long export than after it."""
    try:
        import pyarrow.parquet  # noqa: F401 - only whether it is there
    except ImportError:
        why = "Parquet needs pyarrow: pip install 'gotoai[parquet]', or export as csv"
        raise ConfigurationError(why, code="configuration", status=500) from None


def column_types(columns: dict[str, str]) -> dict[str, Any]:
    """Arrow types of a table's columns as they stand in the CSV, from their kinds in the manifest."""
    import pyarrow as pa

    types: dict[str, Any] = {}
    for name, kind in columns.items():
        if kind == "amount":
            types |= {name: pa.decimal128(19, 9), f"{name}_nano": pa.int64()}
        elif kind == "time":
            types |= {name: pa.timestamp("ms", tz="UTC"), f"{name}_ms": pa.int64()}
        else:
            types[name] = pa.int64() if kind == "number" else pa.string()
    return types


def convert(folder: str | Path, target: str | Path) -> None:
    """Writes the CSV export ``folder`` once more as Parquet, to a new folder ``target``: all of it or nothing."""
    require()
    folder, target = Path(folder), Path(target)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    with aside(target) as place:
        files = {}
        for name, facts in manifest["files"].items():
            written = place / name.replace(".csv", ".parquet")
            convert_file(folder / name, written, column_types(facts["columns"]))
            with written.open("rb") as file:
                files[written.name] = {**facts, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
                os.fsync(file.fileno())
        shutil.copyfile(folder / "verify.py", place / "verify.py")
        text = json.dumps({**manifest, "files": files}, indent=2, ensure_ascii=False)
        (place / "manifest.json").write_text(text + "\n", "utf-8")
        place.rename(target)


def convert_file(source: Path, target: Path, types: dict[str, Any]) -> None:
    """One file, batch by batch."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    schema = pa.schema(list(types.items()))
    with source.open("rb") as file:
        is_empty = bool(file.readline()) and not file.readline()
    if is_empty:  # the head alone: a reader of batches refuses that
        pyarrow.parquet.write_table(schema.empty_table(), target)
        return
    reader = pyarrow.csv.open_csv(
        source,
        read_options=pyarrow.csv.ReadOptions(block_size=BATCH_BYTES),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True),
    )
    with reader, pyarrow.parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """A folder beside the target, for its owner only; gone afterwards. Refuses a target that holds anything."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        why = f"'{target}' is not empty; an export goes to a new folder"
        raise InvalidRequestError(why, code="invalid_request", param="dir", status=400)
    target.parent.mkdir(parents=True, exist_ok=True)
    place = Path(mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
