#!/usr/bin/env bash
# What observa-telemetry takes on one core over real sockets, what it costs on disk and in memory, and how
# long queries take. Server on core 0, load on core 1. Usage: bench/telemetry.sh [SPANS [LINES]]
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib.sh
spans=${1:-2000000} lines=${2:-2000000}
build=${BUILD:-build}
need curl; need taskset; need python3
ninja -C "$build" src/telemetry/observa-telemetry bench/bench-telemetry-load >/dev/null

taskset -c 0 "$build/src/telemetry/observa-telemetry" --listen tcp:127.0.0.1:0 --data "$BENCH_TMP/data" >"$BENCH_TMP/log" &
server=$!
BENCH_PIDS+=("$server")
for _ in $(seq 100); do grep -q '"serving"' "$BENCH_TMP/log" && break; sleep 0.05; done
port=$(grep -o 'tcp:127.0.0.1:[0-9]*' "$BENCH_TMP/log" | head -n 1 | cut -d: -f3)
echo "idle: $(pss_kb "$server") kB"

disk_bytes() { # of segments and logs now
    curl -sf "http://127.0.0.1:$port/metrics" | awk '/^telemetry_store_disk_bytes/ {d = $2} END {print d}'
}
before=$(disk_bytes)
taskset -c 1 "$build/bench/bench-telemetry-load" "$port" spans "$spans" 512 8
after=$(disk_bytes)
echo "spans: $(((after - before) / spans)) bytes each on disk, logs that are not sealed yet included"
taskset -c 1 "$build/bench/bench-telemetry-load" "$port" lines "$lines" 1000 8
echo "lines: $((($(disk_bytes) - after) / lines)) bytes each on disk"
grep VmHWM "/proc/$server/status"
taskset -c 1 python3 bench/telemetry_queries.py "$port" "$spans"
echo "after the queries: $(pss_kb "$server") kB"
