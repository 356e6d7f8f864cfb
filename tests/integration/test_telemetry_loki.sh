#!/bin/bash
#
# Logs through the real program: test_telemetry_loki.sh OBSERVA-TELEMETRY
set -u
. "$(dirname "$0")/tap.sh"
telemetry=$1
folder=$(mktemp -d /tmp/test-loki-XXXXXX)
now=$(date +%s)

# Checks run in subshells: what they start is noted in files.
end() {
    local noted
    for noted in "$folder"/*.pid; do
        kill -9 "$(cat "$noted")" 2>/dev/null
    done
    rm -rf "$folder"
}
trap end EXIT

call() {
    curl -sS --max-time 20 --unix-socket "$folder/t.sock" "$@"
}

# The program says when it serves; nothing is asked before.
start() {
    "$telemetry" --listen "unix:$folder/t.sock" --data "$folder/data" >"$folder/out" 2>&1 &
    echo $! >"$folder/telemetry.pid"
    await 20 grep -q '"serving"' "$folder/out"
}

push() { # SERVICE NANOSECONDS LINE [TRACE]
    call -o "$folder/reply" -w '%{http_code}' -H 'Content-Type: application/json' http://x/loki/api/v1/push -d \
        "{\"streams\":[{\"stream\":{\"service_name\":\"$1\"},\"values\":[[\"$2\",\"$3\",{\"trace_id\":\"${4:-0}\"}]]}]}"
}

query() { # QUERY [CURL ARGUMENTS]
    local text=$1
    shift
    call -G http://x/loki/api/v1/query_range --data-urlencode "query=$text" "$@"
}

lines() {
    query "$@" | jq -r '[.data.result[].values[]] | sort_by(.[0]) | map(.[1]) | join(" ")'
}

takes_lines() {
    equal "$(push orders $((now - 20))000000000 first aa11)" 204 &&
        equal "$(push catalog $((now - 10))000000000 second aa11)" 204 &&
        equal "$(push orders $((now - 5))000000000 third bb22)" 204
}

finds_a_trace() {
    equal "$(lines '{service_name=~".+"} | trace_id="aa11"')" "first second"
}

counts() {
    equal "$(call -G http://x/loki/api/v1/query --data-urlencode \
        'query=sum by (service_name) (count_over_time({service_name=~".+"}[5m]))' |
        jq -c '[.data.result[] | [.metric.service_name, .value[1]]]')" \
        '[["catalog","1"],["orders","2"]]'
}

names_the_token() {
    equal "$(query '{service_name="orders"} | unpack')" \
        'parse error at line 1, col 27: unexpected `unpack`: this stage is not supported'
}

shows_live_lines() {
    curl -sSN --max-time 60 --unix-socket "$folder/t.sock" -G http://x/loki/api/v1/tail --data-urlencode 'query={service_name="live"}' \
        >"$folder/tail" 2>&1 &
    echo $! >"$folder/watcher.pid"
    await 20 grep -q 'lines follow' "$folder/tail" &&
        equal "$(push live "${now}000000000" hello)" 204 && await 20 grep -q '"hello"' "$folder/tail"
}

# Lines go in one by one while the program is killed: each that was acknowledged must be there.
survives_kill() {
    local kept burst
    (
        n=0
        while [ $n -lt 2000 ] && [ "$(push burst "$now$(printf '%09d' $n)" "n$n" 2>/dev/null)" = 204 ]; do
            n=$((n + 1))
            echo $n >"$folder/acknowledged"
        done
    ) &
    burst=$!
    await 30 has_pushed 30 || return 1
    kill -9 "$(cat "$folder/telemetry.pid")"
    wait $burst
    start || return 1
    kept=$(query '{service_name="burst"}' -d limit=5000 | jq '[.data.result[].values[]] | length')
    [ "$kept" -ge "$(cat "$folder/acknowledged")" ] && finds_a_trace
}

has_pushed() {
    [ "$(cat "$folder/acknowledged" 2>/dev/null || echo 0)" -ge "$1" ]
}

check "the program serves" start
check "lines are taken" takes_lines
check "the lines of a trace are one query" finds_a_trace
check "lines are counted by service" counts
check "what is not supported is refused by name and place" names_the_token
check "a tail shows lines as they arrive" shows_live_lines
check "no acknowledged line is lost by kill -9" survives_kill
tap_end
