#!/bin/bash
#
# Profiles through the real programs: test_telemetry_profiles.sh OBSERVA-TELEMETRY OBSERVA
set -u
. "$(dirname "$0")/tap.sh"
telemetry=$1
observa=$2
folder=$(mktemp -d /tmp/test-profiles-XXXXXX)
chmod 755 "$folder"
export STATE_DIR=$folder/state NO_COLOR=1 OBSERVA_TELEMETRY=unix:$folder/t.sock
trace=00f7651916cd43dd8448eb211c80319c
hour_ago=$(($(date +%s) - 3600))
now=$(date +%s)
pid=

end() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$folder"
}
trap end EXIT

call() {
    curl -sS --max-time 20 --unix-socket "$folder/t.sock" "$@"
}

# The program says when it serves; nothing is asked before.
start() {
    "$telemetry" --listen "unix:$folder/t.sock" --data "$folder/data" >"$folder/out" 2>&1 &
    pid=$!
    timeout 20 tail -n +1 -f --pid=$pid "$folder/out" | grep -q -m1 '"serving"'
}

push() { # NAME AT FOLDED
    printf '%b' "$3" | call -o "$folder/reply" -w '%{http_code}' --data-binary @- \
        "http://x/ingest?name=$1&from=$2&until=$(($2 + 10))&format=folded&sampleRate=97"
}

windows_are_taken() {
    equal "$(push orders $hour_ago 'main;query 10\nmain;emit 30\n')" 200 &&
        equal "$(push orders $((now - 60)) 'main;query 60\nmain;emit 30\n')" 200 &&
        equal "$(push orders $((now - 50)) 'main;query 10\n')" 200
}

flame_graph() {
    equal "$(call "http://x/render?query=orders.cpu&from=now-10m" |
        jq -c '[.version, .flamebearer.numTicks, .flamebearer.levels[1], .metadata.sampleRate]')" \
        '[1,100,[0,100,0,1],97]'
}

# Outside of a check, which runs in a shell of its own. Pushes until the store is gone.
kill_while_pushing() {
    (
        n=0
        while [ "$(push burst $((now - 40)) "main;f$n 1\n" 2>/dev/null)" = 200 ]; do
            n=$((n + 1))
            echo $n >"$folder/next" && mv "$folder/next" "$folder/acknowledged"
        done
    ) &
    await 20 enough_pushed
    kill -9 $pid
    wait 2>/dev/null
}

enough_pushed() {
    [ "$(cat "$folder/acknowledged" 2>/dev/null || echo 0)" -ge 20 ]
}

acknowledged_is_there() {
    local n kept
    n=$(cat "$folder/acknowledged")
    kept=$(call "http://x/render?query=burst&from=now-10m&format=folded" | wc -l)
    echo "$n acknowledged, $kept kept"
    [ "$n" -ge 20 ] && [ "$kept" -ge "$n" ] && [ "$kept" -le $((n + 1)) ] && flame_graph
}

diff_of_ranges() {
    equal "$(call "http://x/render-diff?query=orders&leftFrom=now-2h&leftUntil=now-50m&rightFrom=now-10m&rightUntil=now" |
        jq -c '[.metadata.format, .leftTicks, .rightTicks]')" '["double",40,100]'
}

refusals() {
    equal "$(push 'x%7Ba' "$now" 'a 1\n')" 400 && grep -q 'found the end' "$folder/reply" &&
        equal "$(push x 12 'a 1\n')" 400 && grep -q older "$folder/reply" &&
        equal "$(push x "$now" 'a b\n')" 400 &&
        call "http://x/metrics" | grep 'telemetry_profiles_refused_total{' | grep -q 400
}

# A trace's service and times are the query for its profile.
trace_to_profile() {
    local at=$((now - 55)) span
    call -o "$folder/reply" -H 'Content-Type: application/json' -d @- http://x/v1/traces <<END || return 1
{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}}]},
 "scopeSpans":[{"spans":[
  {"traceId":"$trace","spanId":"0000000000000b01","name":"POST /orders","kind":2,
   "startTimeUnixNano":"${at}000000000","endTimeUnixNano":"${at}040000000"},
  {"traceId":"$trace","spanId":"0000000000000b02","parentSpanId":"0000000000000b01","name":"INSERT","kind":3,
   "startTimeUnixNano":"${at}010000000","endTimeUnixNano":"${at}030000000","status":{"code":2}}]}]}]}
END
    call -H 'Accept: application/json' "http://x/api/traces/$trace" >"$folder/trace" &&
        span=$(jq -r '[.batches[].scopeSpans[].spans[]|select(.name=="POST /orders")][0]|.startTimeUnixNano+" "+.endTimeUnixNano' "$folder/trace") &&
        equal "$(call "http://x/render?query=orders.cpu&from=${span% *}&until=${span#* }&format=folded" | sort | tr '\n' '|')" \
            'main;emit 30|main;query 60|'
}

profile_verb() {
    "$observa" profile orders >"$folder/out1" || return 1
    sed -n 3p "$folder/out1" | grep -q '70.0% .*query$' &&
        equal "$("$observa" profile orders --json | jq -c '[.functions[]|.name]')" '["query","emit","main"]' &&
        equal "$("$observa" profile orders --folded | wc -l)" 2 &&
        says '-45.0%' "$observa" profile orders --diff 1h
}

waterfall() {
    "$observa" traces $trace >"$folder/out1" || return 1
    sed -n 2p "$folder/out1" | grep -q '^orders: POST /orders .* 40ms' &&
        sed -n 3p "$folder/out1" | grep -q '^  orders: INSERT .* 20ms!'
}

logs_query() {
    equal "$(call -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' http://x/loki/api/v1/push \
        -d "{\"streams\":[{\"stream\":{\"service_name\":\"orders\"},\"values\":[[\"$((now - 5))000000000\",\"timeout at the bank\"]]}]}")" 204 &&
        says 'timeout at the bank' "$observa" logs --query '{service_name="orders"} |= "bank"' &&
        says '1  {}' "$observa" logs --query 'sum(count_over_time({service_name="orders"}[10m]))'
}

start
check "the store starts" grep -q '"serving"' "$folder/out"
check "windows are taken" windows_are_taken
check "a range is a flame graph" flame_graph
kill_while_pushing
start
check "kill -9 loses no acknowledged window" acknowledged_is_there
check "two ranges are a diff" diff_of_ranges
check "bad pushes are refused, with a reason, and counted" refusals
check "a trace leads to the profile of its time" trace_to_profile
check "observa profile lists functions" profile_verb
check "observa profile says when there is nothing" exits 1 "$observa" profile nobody
check "observa profile refuses a wrong duration" exits 2 "$observa" profile orders --last soon
check "observa traces draws a waterfall" waterfall
check "observa traces lists what fits" says "$trace" "$observa" traces '{resource.service.name="orders"}'
check "observa traces passes on what the query language refuses" exits 1 "$observa" traces '{ name = '
check "observa logs --query searches" logs_query
check "observa logs --query goes without a unit" exits 2 "$observa" logs orders --query '{a="b"}'
OBSERVA_TELEMETRY=unix:$folder/none check "a store that is not there is said so" exits 3 "$observa" traces
tap_end
