#!/usr/bin/env python3
"""Checks that each room of src/ includes only the rooms that rooms.txt lets it include.

Prints TAP, one line a room. `check.py --self-test` proves that a wrong arrow is seen.
"""
import pathlib
import re
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z0-9_]+)/')


def read_table():
    table = {}
    for line in (HERE / "rooms.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            room, allowed = line.split(":")
            table[room] = set(allowed.split())
    return table


def wrong_arrows(source, room, allowed, rooms):
    for path in sorted((source / room).rglob("*.[ch]")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if match and match.group(1) in rooms - allowed - {room}:
                yield f"{path.relative_to(source)}:{number} includes {match.group(1)}/"


def check(source):
    table = read_table()
    failed = 0
    print(f"1..{len(table) + 1}")
    for number, (room, allowed) in enumerate(table.items(), 1):
        wrong = list(wrong_arrows(source, room, allowed, set(table)))
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} - {room} includes only {sorted(allowed) or 'itself'}")
        for arrow in wrong:
            print(f"# {arrow}: not in tests/layers/rooms.txt")
    unknown = [d.name for d in source.iterdir() if d.is_dir() and any(d.rglob("*.c")) and d.name not in table]
    failed += bool(unknown)
    print(f"{'not ok' if unknown else 'ok'} {len(table) + 1} - every room is in the table {unknown or ''}")
    return failed


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder) / "base"
        base.mkdir()
        (base / "x.c").write_text('#include "base/x.h"\n#include "otel/trace.h"\n')
        arrows = list(wrong_arrows(pathlib.Path(folder), "base", set(), {"base", "otel"}))
    print(f"1..1\n{'ok' if arrows == ['base/x.c:2 includes otel/'] else 'not ok'} 1 - a wrong arrow is seen")
    return arrows != ["base/x.c:2 includes otel/"]


if __name__ == "__main__":
    sys.exit(1 if (self_test() if "--self-test" in sys.argv else check(HERE.parents[1] / "src")) else 0)
