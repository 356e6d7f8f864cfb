#!/usr/bin/env python3
"""What the running system costs: time to start, memory of each process, time to readiness of one service.

Starts an installation of its own, leaves it idle for a moment, prints tables, removes it.
usage: bench/system.py BUILD_FOLDER
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/system"))
from installation import Installation, http, wait_until  # noqa: E402

SHARED = {"postgres", "rabbitmq", "epmd"}
QUIET_SECONDS = 15


def tree_of(pid):
    """The pids of a unit: its leader and all that descends from it."""
    parents = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found


def memory_kb(pid, field):
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.split(":")[0] in field)


def show(rows, head):
    print(f"{head[0]:<28}" + "".join(f"{title:>14}" for title in head[1:]))
    for row in rows:
        print(f"{row[0]:<28}" + "".join(f"{cell:>14}" for cell in row[1:]))
    print()


def footprint(one):
    rows, tenant, agent = [], 0, one.agent_pid("solo")
    units = [("solo/agent", agent)] + [("/".join(name), unit["pid"]) for name, unit in one.units().items() if unit["pid"]]
    for name, pid in units:
        if name == "platform/tenant-solo":
            continue  # solo's agent again
        pids = [pid] if name == "solo/agent" else tree_of(pid)
        pss = sum(memory_kb(p, ("Pss",)) for p in pids)
        private = sum(memory_kb(p, ("Private_Clean", "Private_Dirty")) for p in pids)
        rows.append((name, len(pids), f"{pss / 1024:.2f}", f"{private / 1024:.2f}"))
        tenant += pss if name.startswith("solo/") else 0
    show(rows, ("idle process", "processes", "PSS MB", "private MB"))
    print(f"one tenant without PostgreSQL and RabbitMQ: {tenant / 1024:.1f} MB PSS (budget 60, aim 30)\n")


def readiness(one):
    """Milliseconds from fork to the first good answer of /healthz, best and median of nine."""
    rows = []
    for service in ("storefront", "catalog", "orders", "fulfilment"):
        line = pathlib.Path(f"/proc/{one.units()[('solo', service)]['pid']}/cmdline").read_bytes().split(b"\0")[:-1]
        times = []
        for _ in range(9):
            with tempfile.TemporaryDirectory(dir="/tmp") as folder:
                port = free_port()
                words = [word.decode() for word in line]
                words = [f"--listen=unix:{folder}/a" if w.startswith("--listen") else
                         f"--admin=tcp:127.0.0.1:{port}" if w.startswith("--admin") else
                         f"--state={folder}" if w.startswith("--state") else w for w in words]
                began = time.monotonic()
                process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    wait_until("healthy", 5, lambda: http("GET", f"http://127.0.0.1:{port}/healthz").status == 200, pause=0.001)
                    times.append((time.monotonic() - began) * 1000)
                finally:
                    process.kill()
                    process.wait()
        times.sort()
        rows.append((service, f"{times[0]:.0f}", f"{times[len(times) // 2]:.0f}"))
    show(rows, ("fork to /healthz, ms", "best", "median"))


def free_port():
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    one = Installation(os.path.abspath(sys.argv[1]))
    try:
        cold = one.up()
        began = time.monotonic()
        one.down()
        down = time.monotonic() - began
        warm = one.up()
        show([("up, first time (initdb, seed)", f"{cold:.1f}"), ("down", f"{down:.1f}"), ("up, again", f"{warm:.1f}")],
             ("make up, built: seconds", "measured"))
        began = time.monotonic()
        one.observa("config", "set", "storefront", "server.workers=9")
        wait_until("the change shows", 10, lambda: one.prometheus('app_worker_limit{service="storefront"} == 9'))
        print(f"a changed setting shows in Prometheus after {time.monotonic() - began:.1f} s (budget 5)\n")
        one.down()
        one.up()
        one.observa("load", "pause")
        time.sleep(QUIET_SECONDS)  # idle is what is measured
        footprint(one)
        readiness(one)
    finally:
        one.remove()


if __name__ == "__main__":
    main()
