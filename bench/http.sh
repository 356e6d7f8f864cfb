#!/usr/bin/env bash
# CPU per request and memory of the smallest service, beside nginx serving a static file of the same size,
# in the same run. Server on core 0, wrk on core 1. Usage: bench/http.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib.sh
seconds=${1:-4}
build=${BUILD:-build}
need wrk; need nginx; need taskset
ninja -C "$build" bench/bench-http-service >/dev/null

start_ours() { # NAME TELEMETRY ENDPOINT: the pid goes to PID, the URL to URL
    taskset -c 0 "$build/bench/bench-http-service" --telemetry "$2" --endpoint "$3" \
        2>"$BENCH_TMP/$1.address" > >(cat >/dev/null) &
    PID=$!
    BENCH_PIDS+=("$PID")
    for _ in $(seq 100); do grep -q tcp: "$BENCH_TMP/$1.address" && break; sleep 0.02; done
    URL=http://$(sed -n 's/^tcp://p' "$BENCH_TMP/$1.address")
}

start_nginx() {
    chmod 755 "$BENCH_TMP" # started by root, nginx's worker is somebody else
    mkdir -p "$BENCH_TMP/nginx/html"
    printf 'hello world\n' >"$BENCH_TMP/nginx/html/index.txt"
    cat >"$BENCH_TMP/nginx/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $BENCH_TMP/nginx/$2.pid; error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log $1; open_file_cache max=10; keepalive_requests 100000000;
  client_body_temp_path $BENCH_TMP/nginx/b; proxy_temp_path $BENCH_TMP/nginx/p; fastcgi_temp_path $BENCH_TMP/nginx/f;
  uwsgi_temp_path $BENCH_TMP/nginx/u; scgi_temp_path $BENCH_TMP/nginx/s;
  server { listen 127.0.0.1:$2; root $BENCH_TMP/nginx/html; }
}
CONF
    taskset -c 0 nginx -e stderr -c "$BENCH_TMP/nginx/nginx.conf" &
    PID=$!
    BENCH_PIDS+=("$PID")
    URL=http://127.0.0.1:$2
    curl -sf -o /dev/null --retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 5 "$URL/index.txt"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

measure() { # LABEL PID URL
    local before after requests out
    out=$(taskset -c 1 wrk -t1 -c50 -d1 "$3") # warm up
    before=$(cpu_us "$2")
    out=$(taskset -c 1 wrk -t1 -c50 -d"$seconds" "$3")
    after=$(cpu_us "$2")
    requests=$(awk '/requests in/ {print $1}' <<<"$out")
    if grep -q 'Non-2xx' <<<"$out"; then echo "bench: $1 answered with errors" >&2; exit 1; fi
    printf '%-46s %9.1f %12.0f\n' "$1" "$(bc -l <<<"($after - $before) / $requests")" \
        "$(bc -l <<<"$requests / $seconds")"
}

need bc
printf '%-46s %9s %12s\n' "50 connections, 12-byte reply" "us CPU" "req/s"
start_nginx off "$(free_port)"; measure "nginx, static file, no log" "$PID" "$URL/index.txt"
start_nginx "$BENCH_TMP/access.log" "$(free_port)"; measure "nginx, static file, access log" "$PID" "$URL/index.txt"
start_ours bare none ""; bare=$PID
pss=$(pss_kb "$bare")
measure "ours, on the loop, bare" "$PID" "$URL/loop"
measure "ours, by a worker, bare" "$PID" "$URL/work"
start_ours sink none ""; sink=$URL
start_ours full full "$sink"
measure "ours, on the loop, metrics + log + 100 % traces" "$PID" "$URL/loop"
measure "ours, by a worker, metrics + log + 100 % traces" "$PID" "$URL/work"
echo "idle memory of the bare service before load: $pss kB PSS"
