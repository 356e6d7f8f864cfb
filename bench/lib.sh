# Shared by the benchmarks: processes started here, CPU time, memory, tables.
# shellcheck shell=bash
BENCH_TMP=$(mktemp -d)
BENCH_PIDS=()
bench_cleanup() {
    local pid
    for pid in "${BENCH_PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${BENCH_PIDS[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$BENCH_TMP"
}
trap bench_cleanup EXIT

need() { command -v "$1" >/dev/null || { echo "bench: $1 is missing: run scripts/install --groups bench" >&2; exit 1; }; }

# CPU time of a process (its children too, when they are still there), in microseconds.
cpu_us() {
    local pid total=0
    for pid in "$1" $(pgrep -P "$1"); do
        total=$((total + $(awk '{print $14 + $15}' "/proc/$pid/stat")))
    done
    echo $((total * 1000000 / $(getconf CLK_TCK)))
}

# Proportional memory of the given processes, in kB.
pss_kb() {
    local pid
    for pid in "$@"; do awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup"; done | awk '{s += $1} END {print s + 0}'
}
