#!/bin/bash
#
# Traces in by OTLP, out as Tempo gives them, through the real program: test_telemetry_tempo.sh PROGRAM
set -u
. "$(dirname "$0")/tap.sh"
program=$1
folder=$(mktemp -d /tmp/test-tempo-XXXXXX)
socket=$folder/telemetry.sock
# A check runs in a subshell: what it starts is known by a file, not by a variable.
stop() {
    local pid
    pid=$(cat "$folder/pid" 2>/dev/null) || return 0
    rm "$folder/pid"
    kill -KILL "$pid" && await 10 is_gone "$pid"
}
is_gone() { # a zombie that nobody has reaped yet has gone, too
    [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}
trap 'stop; rm -rf "$folder"' EXIT

ask() {
    curl -sS --unix-socket "$socket" "$@"
}

start() {
    "$program" --listen "unix:$socket" --data "$folder/data" --default-tenant solo >"$folder/log" 2>&1 &
    echo $! >"$folder/pid"
    await 10 is_ready
}

is_ready() {
    ask -o /dev/null -f http://t/ready 2>/dev/null
}

# What jq makes of an answer: is FILTER WANTED CURL-ARGUMENTS...
is() {
    local filter=$1 wanted=$2 got
    shift 2
    got=$(ask "$@" | tee "$folder/answer" | jq -c "$filter")
    [ "$got" = "$wanted" ] || { echo "got $got, expected $wanted:"; cat "$folder/answer"; return 1; }
}

search() {
    is "$1" "$2" -G http://t/api/search --data-urlencode "q=$3"
}

now=$(date +%s)
trace=5b8efff798038103d269b633813fc60c

post_trace() {
    ask -f -o /dev/null -H 'Content-Type: application/json' http://t/v1/traces -d '{"resourceSpans":[
      {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"front"}}]},"scopeSpans":[{"scope":{"name":"lib"},
        "spans":[{"traceId":"'$trace'","spanId":"eee19b7ec3c1b174","name":"GET /","kind":2,
                  "startTimeUnixNano":"'$now'000000000","endTimeUnixNano":"'$now'500000000","status":{}},
                 {"traceId":"'$trace'","spanId":"eee19b7ec3c1b175","parentSpanId":"eee19b7ec3c1b174","name":"call","kind":3,
                  "startTimeUnixNano":"'$now'100000000","endTimeUnixNano":"'$now'400000000","status":{"code":2,"message":"no"}}]}]},
      {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}}]},"scopeSpans":[{"scope":{"name":"lib"},
        "spans":[{"traceId":"'$trace'","spanId":"eee19b7ec3c1b176","parentSpanId":"eee19b7ec3c1b175","name":"POST /orders","kind":2,
                  "attributes":[{"key":"items","value":{"intValue":"3"}}],
                  "startTimeUnixNano":"'$now'200000000","endTimeUnixNano":"'$now'300000000","status":{"code":2}}]}]}]}'
}

gives_the_trace() {
    is '[.batches[].scopeSpans[].spans[].name] | sort' '["GET /","POST /orders","call"]' http://t/api/traces/$trace &&
        is '.batches[0].scopeSpans[0].spans[0].traceId' '"W47/95gDgQPSabYzgT/GDA=="' http://t/api/traces/$trace &&
        is '.trace.resourceSpans | length' 2 http://t/api/v2/traces/$trace
}

gives_it_as_protobuf() {
    ask -H 'Accept: application/protobuf' http://t/api/traces/$trace >"$folder/pb" &&
        grep -qa 'POST /orders' "$folder/pb" && [ "$(head -c 1 "$folder/pb" | od -An -tu1 | tr -d ' ')" = 10 ]
}

searches() {
    search '[.traces[].traceID]' "[\"$trace\"]" '{ span.items > 2 && status = error }' &&
        search '.traces[0].rootServiceName' '"front"' '{ resource.service.name = "orders" }' &&
        search '.traces[0].durationMs' 500 '{ } >> { name =~ "POST .*" } | count() = 1' &&
        search '.traces' '[]' '{ span.items > 3 }'
}

says_where_a_query_is_wrong() {
    search '[.status, .line, .column]' '[400,1,8]' '{ name ! "x" }'
}

lists_values() {
    is '[.tagValues[].value] | sort' '["front","orders"]' http://t/api/v2/search/tag/resource.service.name/values
}

draws_the_graph() {
    is '[.edges[] | [.client, .server, .count, .errors]]' '[["front","orders",1,1]]' \
        "http://t/api/service-graph?start=$((now - 5))&end=$((now + 5))"
}

has_everything_after_a_kill() {
    [ -s "$folder/pid" ] && stop || return 1
    if is_ready; then echo "it still answers after kill -9"; return 1; fi
    start && gives_the_trace && searches
}

check "starts" start
check "takes a trace by OTLP" post_trace
check "gives the trace as Tempo does" gives_the_trace
check "gives it as protobuf" gives_it_as_protobuf
check "finds it by what it is" searches
check "says where a query is wrong" says_where_a_query_is_wrong
check "lists the values of a field" lists_values
check "draws the graph of services" draws_the_graph
check "has everything after kill -9" has_everything_after_a_kill
tap_end
