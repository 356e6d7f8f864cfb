#!/bin/bash
#
# The whole stack with its real servers, from up to down: test_stack.sh BUILD_ROOT
#
# In a state directory and on ports of its own, twice at once for a while.
set -u
. "$(dirname "$0")/tap.sh"
build=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
if [ "$(id -u)" = 0 ]; then
    base=/var/lib/observastack
    run_user=observa
else
    base=${XDG_STATE_HOME:-$HOME/.local/state}/observastack
    run_user=$(id -un)
fi
unset PORT
export STATE_DIR=$base/test-$$ NO_COLOR=1
second=$base/test-$$-b
observa=$STATE_DIR/dist/bin/observa

finish() {
    local dir run
    for dir in "$STATE_DIR" "$second"; do
        [ -d "$dir" ] || continue
        "$build/src/cli/observa" down --state-dir "$dir" >/dev/null 2>&1
        run=$(cat "$dir/run-dir" 2>/dev/null)
        rm -rf "$dir" ${run:+"$run"}
    done
}
trap finish EXIT
trap 'exit 143' TERM INT

port() { "$observa" where | sed -n "s/^port\.$1=//p"; }
shop() { echo "http://127.0.0.1:$(port control)/sut/solo"; }
unit_field() { "$observa" status --json | jq -r --arg u "$1" ".agents[].units[] | select(.name == \$u) | .$2"; }
query() {
    curl -sfG "http://127.0.0.1:$(port prometheus)/api/v1/query" --data-urlencode "query=$1" |
        jq -r '.data.result[0].value[1] // empty'
}

# Processes that work inside the state directory, as the run user.
processes() {
    local pid
    for pid in /proc/[0-9]*; do
        case $(readlink "$pid/cwd" 2>/dev/null) in
        "$1"/platform* | "$1"/tenants*) echo "${pid#/proc/}" ;;
        esac
    done
}
nothing_runs() { [ -z "$(processes "$STATE_DIR")" ]; }

goes_up() {
    time "$observa" up --port 0 && "$observa" status
}
is_up_already() { says "up already" "$observa" up; }
status_is_ready() { "$observa" status --json | jq -e '.running and .ready'; }

all_run_as_the_run_user() {
    local pid owners
    owners=$(for pid in $(processes "$STATE_DIR"); do stat -c %U "/proc/$pid"; done | sort -u)
    equal "$owners" "$run_user"
}

listens_on_loopback_only() {
    local pids
    pids=$(processes "$STATE_DIR" | paste -sd'|')
    ! ss -tlnpH | grep -E "pid=($pids)," | awk '{print $4}' | grep -vE '^(127\.0\.0\.1|\[::1\]):' | grep .
}

ten_targets_are_up() { equal "$(query 'count(up{job=~"sut-.*",tenant="solo"} == 1)')" 10; }

# Acknowledged over the shop's API: prints the order's id.
order() {
    local product
    product=$(curl -sf "$(shop)/api/products" | jq -r '[.. | objects | select(has("price_cents"))][0].id') || return 1
    curl -sf -X POST "$(shop)/api/checkout" -H "Idempotency-Key: $1" -H 'Content-Type: application/json' \
        -d "{\"user_id\":\"test\",\"items\":[{\"product_id\":$product,\"quantity\":1}]}" | jq -er .order_id
}
order_is() { equal "$(curl -s "$(shop)/api/orders/$1" | jq -r .status)" "$2"; }

trace_goes_on() {
    local trace=4bf92f3577b34da6a3ce929d0e0e4736
    curl -sf -o /dev/null -H "traceparent: 00-$trace-00f067aa0ba902b7-01" "$(shop)/api/home" || return 1
    await 5 says "\"trace_id\":\"$trace\",\"span_id\":\"" "$observa" logs gateway -n 5 &&
        says '"parent_span_id":"00f067aa0ba902b7"' "$observa" logs gateway -n 5 &&
        await 5 says "$trace" "$observa" logs storefront -n 20
}

bad_trace_is_replaced() {
    local id
    id=$(curl -sf -o /dev/null -D - -H 'traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01' \
        "$(shop)/api/home" | tr -d '\r' | sed -n 's/^X-Trace-Id: //Ip')
    [ ${#id} = 32 ] && [ "$id" != 00000000000000000000000000000000 ]
}

status_of() { curl -s -o /dev/null -w '%{http_code}' --path-as-is "$@"; }
gateways_refuse_odd_paths() {
    local control observability
    control=http://127.0.0.1:$(port control)
    observability=http://127.0.0.1:$(port observability)
    equal "$(status_of "$control/%73ut/solo/api/home")" 400 &&
        equal "$(status_of "$control/sut/../sut/solo/api/home")" 400 &&
        equal "$(status_of "$control/sut/SOLO/api/home")" 404 &&
        equal "$(status_of "$control/api/home")" 404 &&
        equal "$(status_of -X POST -d query=x "$control/status.json")" 403 &&
        equal "$(status_of "$observability/config")" 404 &&
        equal "$(status_of -X POST "$observability/metrics/solo/catalog")" 403 &&
        equal "$(status_of "$observability/metrics/solo/../../etc")" 404
}

pages_allow_no_inline_script() {
    local head
    head=$(curl -sfI "http://127.0.0.1:$(port control)/")
    case $head in
    *"script-src 'self'"*) ;;
    *) echo "$head"; return 1 ;;
    esac
    ! curl -sf "http://127.0.0.1:$(port control)/" | grep -E '<script>|<style|style=|onclick='
}

setting_changes_and_goes_back() {
    "$observa" config set gateway proxy_read_timeout=2500 upstream_max_conns=32 &&
        equal "$("$observa" config get gateway proxy_read_timeout --json)" 2500 &&
        grep -q 'proxy_read_timeout 2500ms' "$STATE_DIR/tenants/solo/gateway/nginx.conf" &&
        "$observa" config reset gateway upstream_max_conns &&
        equal "$("$observa" config get gateway proxy_read_timeout --json)" 2500 &&
        "$observa" config reset gateway &&
        equal "$("$observa" config get gateway proxy_read_timeout --json)" 10000
}
bad_setting_changes_nothing() {
    exits 1 "$observa" config set gateway proxy_read_timeout=-1 &&
        says "proxy_read_timeout" "$observa" config set gateway proxy_read_timeout=-1 &&
        exits 1 "$observa" config set gateway no_such_setting=1 &&
        equal "$("$observa" config get gateway proxy_read_timeout --json)" 10000
}

restart_makes_a_new_process() {
    local before
    before=$(unit_field storefront pid)
    "$observa" restart storefront && [ "$(unit_field storefront pid)" != "$before" ]
}
killed_unit_comes_back() {
    local before
    before=$(unit_field catalog pid)
    "$observa" signal catalog KILL || return 1
    is_another() { local now; now=$(unit_field catalog pid); [ "$now" != null ] && [ "$now" != "$before" ]; }
    await 20 is_another && await 20 status_is_ready
}

# What was acknowledged is there after the servers that hold it are killed.
orders_survive_killed_servers() {
    local id
    id=$(order "survive-$$") || return 1
    "$observa" signal platform/postgres KILL && "$observa" signal platform/rabbitmq KILL || return 1
    await 60 order_is "$id" fulfilled && await 60 status_is_ready
}

logs_follow() {
    timeout 5 "$observa" logs gateway -f -n 0 >"$STATE_DIR/follow" 2>&1 &
    local follower=$! found=1
    for _ in $(seq 40); do
        curl -sf -o /dev/null "$(shop)/api/home"
        grep -q '"path":"/api/home"' "$STATE_DIR/follow" && found=0 && break
        sleep 0.1
    done
    kill $follower 2>/dev/null
    wait $follower 2>/dev/null
    return $found
}

token_opens_the_agent() {
    local socket
    socket=$("$observa" where | sed -n 's/^run_dir=//p')/tenants/solo/agent.sock
    equal "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$socket" http://agent/v1/status)" 401 &&
        equal "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$socket" \
            -H "Authorization: Bearer $("$observa" token)" http://agent/v1/status)" 200 &&
        equal "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$socket" \
            -H "Authorization: Bearer $("$observa" token --tenant platform)" http://agent/v1/status)" 401
}

secrets_are_private() {
    ! find "$STATE_DIR/platform/secrets" "$STATE_DIR/platform/keys/agent.key" "$STATE_DIR/tenants/solo/secrets" \
        "$STATE_DIR/platform/variables.json" -type f -perm /077 | grep . &&
        ! cat /proc/[0-9]*/cmdline 2>/dev/null | grep -a -F -f "$STATE_DIR/platform/secrets/rabbitmq"
}

second_goes_up_beside() {
    local amqp
    amqp=$(port amqp)
    (
        export STATE_DIR=$second
        "$source/scripts/stage" "$build" && "$second/dist/bin/observa" up --port 0 &&
            "$second/dist/bin/observa" status --json | jq -e .ready && [ "$(port amqp)" != "$amqp" ]
    ) && status_is_ready
}
second_goes_down_alone() {
    "$observa" down --state-dir "$second" && [ -z "$(processes "$second")" ] && status_is_ready
}

dead_agent_takes_all_with_it() {
    local agent
    agent=$("$observa" status --json | jq -r .agents.platform.pid)
    kill -9 "$agent" && await 10 nothing_runs
}
goes_up_after_a_dead_agent() { "$observa" up && "$observa" demo; }

goes_down_quickly() {
    local before=$SECONDS
    "$observa" down && [ $((SECONDS - before)) -le 10 ] && nothing_runs
}

taken_port_is_named() {
    local taken holder r=0
    taken=$(port control)
    exec 8> >(exec python3 -c "
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $taken))
s.listen()
sys.stdin.read()")
    holder=$!
    is_taken() { (: <"/dev/tcp/127.0.0.1/$taken") 2>/dev/null; }
    await 5 is_taken || r=1
    says "port $taken is taken" "$observa" up --port "$taken" || r=1
    exec 8>&-
    wait $holder
    return $r
}

failing_unit_is_named() {
    local r=0
    mv "$STATE_DIR/platform/alertmanager" "$STATE_DIR/platform/alertmanager.away"
    touch "$STATE_DIR/platform/alertmanager"
    says "platform/alertmanager is" "$observa" up --timeout 4s || r=1
    "$observa" down >/dev/null
    rm "$STATE_DIR/platform/alertmanager"
    mv "$STATE_DIR/platform/alertmanager.away" "$STATE_DIR/platform/alertmanager"
    return $r
}

check "the programs are staged" "$source/scripts/stage" "$build"
check "up starts everything" goes_up
check "up again says that all is up" is_up_already
check "status is ready" status_is_ready
check "everything runs as $run_user" all_run_as_the_run_user
check "servers listen on loopback only" listens_on_loopback_only
check "an order is placed and fulfilled" "$observa" demo
check "Prometheus reaches all ten targets of the shop" await 30 ten_targets_are_up
check "a caller's trace goes on through the gateway" trace_goes_on
check "a bad traceparent is replaced" bad_trace_is_replaced
check "the gateways refuse odd paths" gateways_refuse_odd_paths
check "the status page allows no inline script" pages_allow_no_inline_script
check "a setting changes and goes back" setting_changes_and_goes_back
check "a bad setting changes nothing" bad_setting_changes_nothing
check "restart makes a new process" restart_makes_a_new_process
check "a killed unit comes back" killed_unit_comes_back
check "an unknown unit is answered with the nearest one" says 'did you mean "catalog"' "$observa" restart catalgo
check "logs can be followed" logs_follow
check "only a token for the right tenant opens an agent" token_opens_the_agent
check "secrets are private, in files and in arguments" secrets_are_private
check "doctor finds nothing bad" "$observa" doctor
check "acknowledged orders survive killed servers" orders_survive_killed_servers
check "a second installation goes up beside the first" second_goes_up_beside
check "the second goes down alone" second_goes_down_alone
check "a dead agent takes all with it" dead_agent_takes_all_with_it
check "up is clean after a dead agent" goes_up_after_a_dead_agent
check "down takes at most ten seconds and leaves no process" goes_down_quickly
check "down again is fine" says "not up" "$observa" down
check "a taken port is named" taken_port_is_named
check "a unit that fails is named" failing_unit_is_named
check "nothing is left" nothing_runs
tap_end
