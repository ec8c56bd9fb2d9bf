#!/usr/bin/env python3
"""Another engine opens our blocks and counts the same rows: DuckDB (pip install duckdb), which knows nothing of us."""
import json
import pathlib

from harness import Load, Server, check, figures, folder, main, say, skip

try:
    import duckdb
except ImportError:
    duckdb = None

TENANTS = 2
SIGNALS = {
    "logs": ("logs", ["--rows", "60000", "--streams", "40"]),
    "metrics": ("samples", ["--rows", "120000", "--series", "3000"]),
    "traces": ("spans", ["--rows", "20000"]),
}


def run():
    if duckdb is None:
        skip("the Python package duckdb is not installed")
    with folder() as d, Server(d) as server:
        loads = {}
        for name, (_, arguments) in SIGNALS.items():
            loads[name] = Load(server, name, d / f"{name}.journal", "--tenants", TENANTS, "--late", "0.1", "--duration", "60s", *arguments)
            say(name, figures(loads[name].wait()))
        server.flush()
        check(server.metric("watchfire_runs") == 0, "after a flush there are runs that no block holds")
        for name, (table, _) in SIGNALS.items():
            expected = loads[name].verify()["acknowledged"]
            of_tenant = [rows(server.data, table, f"load-{t}") for t in range(TENANTS)]
            check(all(of_tenant), f"{table}: a tenant has no rows: {of_tenant}")
            total = sum(of_tenant)
            check(total == expected, f"{table}: DuckDB counts {total} rows, {expected} were acknowledged")
            say(f"{table}: DuckDB counts {total} rows, as many as were acknowledged")
        contents(server.data)


def live(data, table, tenant):
    """Data files of the blocks that no other block supersedes: a block names its ancestors in its meta."""
    blocks = {}
    for meta in pathlib.Path(data, "blocks", table, tenant).glob("*/*/meta.json"):
        blocks[meta.parent] = json.loads(meta.read_text().splitlines()[0])
    gone = {ancestor for meta in blocks.values() for ancestor in meta["ancestors"]}
    return [str(path / "data.parquet") for path in blocks if path.name not in gone]


def rows(data, table, tenant):
    files = live(data, table, tenant)
    return duckdb.sql("SELECT count(*) FROM read_parquet($files)", params={"files": files}).fetchall()[0][0] if files else 0


def contents(data):
    """Not only the number of rows: what is in them can be asked for."""
    for tenant in range(TENANTS):
        files = live(data, "logs", f"load-{tenant}")
        sql = "SELECT count(DISTINCT regexp_extract(line, '(seq=|\"seq\":)([0-9]+)', 2)), count(*), min(time_ns), max(time_ns) FROM read_parquet($files)"
        distinct, total, first, last = duckdb.sql(sql, params={"files": files}).fetchall()[0]
        check(distinct == total, f"logs of load-{tenant}: {total} rows but {distinct} numbers")
        check(0 < first < last, f"logs of load-{tenant}: times {first} to {last}")
        files = live(data, "spans", f"load-{tenant}")
        distinct, total = duckdb.sql("SELECT count(DISTINCT span_id), count(*) FROM read_parquet($files)", params={"files": files}).fetchall()[0]
        check(distinct == total, f"spans of load-{tenant}: {total} rows but {distinct} ids")
    say("lines, times and ids read as they were written")


if __name__ == "__main__":
    main(run)
