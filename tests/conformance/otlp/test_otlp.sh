#!/usr/bin/env bash
# OpenTelemetry's JavaScript exporters against observa-telemetry: what they sent is found again, as they
# meant it. Needs node and npm; packages are installed as the lock file says.
# Usage: test_otlp.sh PROGRAM
set -euo pipefail
program=$1
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../integration/tap.sh"

for tool in node npm; do
    command -v "$tool" >/dev/null || { echo "1..0 # SKIP $tool is missing: the exporters are written in JavaScript"; exit 0; }
done
scratch=$(mktemp -d /tmp/observa-test-XXXXXX)
pid=
finish() {
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" || true; }
    rm -rf "$scratch"
}
trap finish EXIT
if [ ! -d "$here/node_modules" ] && ! npm ci --prefix "$here" --no-audit --no-fund --ignore-scripts >"$scratch/npm" 2>&1; then
    echo "1..0 # SKIP the packages of package-lock.json cannot be installed: $(tail -n 1 "$scratch/npm")"
    exit 0
fi

"$program" --listen tcp:127.0.0.1:0 --data "$scratch/data" >"$scratch/log" &
pid=$!
await 10 grep -q '"message":"serving"' "$scratch/log"
url=http://$(grep -o 'tcp:127.0.0.1:[0-9]*' "$scratch/log" | head -n 1 | cut -c5-)

has() { grep -qF -- "$1" "$2" || { echo "$1 is not in:"; cat "$2"; return 1; }; }
whole_trace() { # FILE ENCODING
    has '"name":"root"' "$1" && has '"name":"child"' "$1" && has "conformance-$2" "$1" &&
        has '"key":"text","value":{"stringValue":"value é"}' "$1" && has '"key":"whole","value":{"intValue":"42"}' "$1" &&
        has '"key":"big","value":{"intValue":"9007199254740991"}' "$1" && has '"key":"half","value":{"doubleValue":0.5}' "$1" &&
        has '"key":"yes","value":{"boolValue":true}' "$1" && has 'exception.message' "$1" &&
        has '"name":"happened"' "$1" && has 'it broke' "$1" && has 'SPAN_KIND_CLIENT' "$1"
}

check "the exporters are told that all was kept" sh -c "node '$here/send.js' '$url' >'$scratch/sent'"
while read -r encoding compression trace_id; do
    curl -sf "$url/api/traces/$trace_id" >"$scratch/trace" || true
    check "the trace is whole ($encoding, $compression)" whole_trace "$scratch/trace" "$encoding"
    curl -sfG "$url/loki/api/v1/query_range" --data-urlencode "query={service_name=\"conformance-$encoding\", level=\"error\"}" >"$scratch/lines" || true
    check "the log record is there, with its trace ($encoding, $compression)" \
        sh -c "grep -qF 'said in $encoding' '$scratch/lines' && grep -qF $trace_id '$scratch/lines'"
done <"$scratch/sent"
check "both encodings were sent, plain and compressed" [ "$(wc -l <"$scratch/sent")" -eq 4 ]
tap_end
