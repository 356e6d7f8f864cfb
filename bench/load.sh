#!/usr/bin/env bash
# The load generator beside wrk and hey, in the same run against the same nginx: requests per second and CPU
# per request on one core, accuracy of the rate, the stall test, memory of 10,000 users. nginx on core 0, the
# generators on core 1. Usage: bench/load.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib.sh
seconds=${1:-5}
build=${BUILD:-build}
need wrk; need hey; need nginx; need taskset
[ -x "${OBSERVA_LOAD:=$build/src/load/observa-load}" ] || ninja -C "$build" src/load/observa-load >/dev/null
ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)"

start_nginx() { # sets URL, NGINX (the worker's pid)
    local port=$((20000 + RANDOM % 8000)) master
    chmod 755 "$BENCH_TMP"
    mkdir -p "$BENCH_TMP/nginx"
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    cat >"$BENCH_TMP/nginx/nginx.conf" <<CONF
daemon off; worker_processes 1; worker_rlimit_nofile 16384; pid $BENCH_TMP/nginx/pid; error_log stderr crit;
events { worker_connections 16000; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  client_body_temp_path $BENCH_TMP/nginx/b; proxy_temp_path $BENCH_TMP/nginx/p; fastcgi_temp_path $BENCH_TMP/nginx/f;
  uwsgi_temp_path $BENCH_TMP/nginx/u; scgi_temp_path $BENCH_TMP/nginx/s;
  server { listen 127.0.0.1:$port backlog=8192; location / { return 200 "hello world\n"; } }
}
CONF
    taskset -c 0 nginx -e stderr -c "$BENCH_TMP/nginx/nginx.conf" &
    master=$!
    BENCH_PIDS+=("$master")
    URL=http://127.0.0.1:$port/
    curl -sf -o /dev/null --retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 5 "$URL"
    NGINX=$(cat "/proc/$master/task/$master/children"); NGINX=${NGINX%% *}
}

# CPU seconds (user and system) of a command on core 1; its output goes to $BENCH_TMP/out.
on_core_1() {
    local TIMEFORMAT='%U %S'
    { time taskset -c 1 "$@" >"$BENCH_TMP/out" 2>"$BENCH_TMP/err"; } 2>"$BENCH_TMP/time"
    awk '{print $1 + $2}' "$BENCH_TMP/time"
}
of_report() { python3 -c "import json,sys; r=json.load(open('$BENCH_TMP/report')); print($1)"; }
row() { printf '%-34s %12s %12s %12s\n' "$@"; }

throughput() {
    local cpu n
    printf '\nclosed loop, 50 connections, %s s, one core\n' "$seconds"
    row generator 'requests/s' 'CPU us/req' ''
    for round in 1 2; do
        cpu=$(on_core_1 wrk -t1 -c50 -d"${seconds}s" "$URL")
        n=$(awk '/requests in/ {print $1}' "$BENCH_TMP/out")
        row wrk "$(awk '/Requests\/sec/ {printf "%.0f", $2}' "$BENCH_TMP/out")" "$(awk "BEGIN {printf \"%.1f\", $cpu * 1e6 / $n}")" ''
        cpu=$(on_core_1 "$OBSERVA_LOAD" run "$URL" --users 50 --threads 1 --duration "${seconds}s" --json "$BENCH_TMP/report")
        n=$(of_report 'r["counters"]["requests"]')
        row 'observa-load, traceparent' "$(of_report 'round(r["rates"]["replies_per_s"])')" "$(awk "BEGIN {printf \"%.1f\", $cpu * 1e6 / $n}")" ''
        cpu=$(on_core_1 "$OBSERVA_LOAD" run "$URL" --users 50 --threads 1 --duration "${seconds}s" --trace-sample off --json "$BENCH_TMP/report")
        n=$(of_report 'r["counters"]["requests"]')
        row 'observa-load' "$(of_report 'round(r["rates"]["replies_per_s"])')" "$(awk "BEGIN {printf \"%.1f\", $cpu * 1e6 / $n}")" ''
        cpu=$(on_core_1 hey -cpus 1 -c 50 -z "${seconds}s" "$URL")
        n=$(awk '/\[200\]/ {print $2}' "$BENCH_TMP/out")
        row hey "$(awk '/Requests\/sec/ {printf "%.0f", $2}' "$BENCH_TMP/out")" "$(awk "BEGIN {printf \"%.1f\", $cpu * 1e6 / $n}")" ''
    done
}

accuracy() {
    local rate
    printf '\nopen loop, 10 s, one core\n'
    row 'wanted/s' 'sent/s' 'off by %' 'late %'
    for rate in 10 100 1000 10000 30000; do
        on_core_1 "$OBSERVA_LOAD" run "$URL" --rate "$rate" --threads 1 --duration 10s --json "$BENCH_TMP/report" >/dev/null
        row "$rate" "$(of_report 'r["counters"]["requests"]/r["length_s"]')" \
            "$(of_report "round(100*(r['counters']['requests']/r['length_s']/$rate-1),3)")" \
            "$(of_report 'round(100*r["counters"]["late"]/r["counters"]["scheduled"],3)')"
    done
}

stall() {
    printf '\n5,000/s for 10 s, the server is stopped for 1 s in the middle\n'
    row generator p95 p99 p99.9
    (sleep 5; kill -STOP "$NGINX"; sleep 1; kill -CONT "$NGINX") &
    on_core_1 "$OBSERVA_LOAD" run "$URL" --rate 5000 --threads 1 --duration 10s --json "$BENCH_TMP/report" >/dev/null
    wait $!
    row observa-load $(of_report '"%.0fms %.0fms %.0fms" % tuple(r["latency_ms"][k] for k in ("p95","p99","p99.9"))')
    row '  from when it was sent' $(of_report '"%.1fms %.0fms %.0fms" % tuple(r["service_ms"][k] for k in ("p95","p99","p99.9"))')
    (sleep 5; kill -STOP "$NGINX"; sleep 1; kill -CONT "$NGINX") &
    on_core_1 hey -cpus 1 -c 50 -q 100 -z 10s "$URL" >/dev/null
    wait $!
    row hey "$(awk '/95% in/ {print $3 * 1000 "ms"}' "$BENCH_TMP/out")" "$(awk '/99% in/ {print $3 * 1000 "ms"}' "$BENCH_TMP/out")" -
}

memory_of() { # USERS: peak resident kB while all have a connection
    local pid peak=0
    taskset -c 1 "$OBSERVA_LOAD" run "$URL" --users "$1" --think 1s --threads 1 --duration 4s --json - >"$BENCH_TMP/report" 2>/dev/null &
    pid=$!
    while [ -r "/proc/$pid/status" ]; do
        peak=$(awk '/VmHWM/ {print $2}' "/proc/$pid/status" 2>/dev/null || true)
        [ -n "$peak" ] && echo "$peak" >"$BENCH_TMP/peak"
        sleep 0.2
    done
    wait "$pid" || true
    cat "$BENCH_TMP/peak"
}

memory() {
    local few many
    printf '\nmemory, users with open connections\n'
    few=$(memory_of 10)
    many=$(memory_of 10000)
    row '10 users' "$few kB" '' ''
    row '10,000 users' "$many kB" "$(awk "BEGIN {printf \"%.2f\", ($many - $few) / 9990}") kB each" "$(of_report 'str(r["counters"]["connects"]) + " conns"')"
}

start_nginx
printf 'load average before: %s\n' "$(cut -d' ' -f1-3 /proc/loadavg)"
throughput
accuracy
stall
memory
