"""Runs the README's queries with DuckDB, and compares the tables with the trace:
duck.py TRACE CSV NDJSON README"""

import json
import re
import sys

import duckdb

trace_file, csv, ndjson, readme = sys.argv[1:]
trace = json.load(open(trace_file))
starts = trace["starts"]


def quoted(path):
    return "'" + path.replace("'", "''") + "'"


# The queries that the README shows, in the order of the README, on the files that it names.
queries = re.findall(r"duckdb -c \"(.*?)\"", open(readme).read(), re.S)
assert len(queries) >= 3, queries
for query in queries:
    here = query.replace("'demo.csv'", quoted(csv)).replace("'demo.ndjson'", quoted(ndjson))
    assert here != query, query
    assert duckdb.sql(here).fetchall(), query

rows = duckdb.sql(f"SELECT start_id, pid, method, duration_ns, exit_code, argv FROM {quoted(csv)}").fetchall()
assert sorted(rows) == sorted(
    (
        s["start_id"],
        s["pid"],
        s["method"]["name"],
        s["timeline"]["duration_ns"],
        s["exit"] and s["exit"]["code"],
        # Unknown is an empty cell.
        None if s["argv"] is None else json.dumps(s["argv"], ensure_ascii=False, separators=(",", ":")),
    )
    for s in starts
), rows
rows = duckdb.sql(
    f"SELECT start_id, method.name, timeline.duration_ns, argv FROM {quoted(ndjson)} WHERE type = 'start'"
).fetchall()
wanted = [(s["start_id"], s["method"]["name"], s["timeline"]["duration_ns"], s["argv"]) for s in starts]
assert sorted(rows, key=str) == sorted(wanted, key=str)
print(len(rows), "rows,", len(queries), "queries of the README")
