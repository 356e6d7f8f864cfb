#!/bin/bash
#
# The command line of observa, with nothing running: test_cli.sh OBSERVA
set -u
. "$(dirname "$0")/tap.sh"
observa=$1
folder=$(mktemp -d /tmp/test-cli-XXXXXX)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
export STATE_DIR=$folder/state NO_COLOR=1
unset PORT

every_verb_has_help() {
    local verb
    for verb in up down status logs traces profile doctor demo config restart signal where token; do
        says "usage: observa $verb" "$observa" "$verb" --help || return 1
        says "usage: observa $verb" "$observa" help "$verb" || return 1
        "$observa" "$verb" --help | grep -q -- --state-dir || return 1
    done
}

# H is the first 8 hex digits of the SHA-256 of the path: RUN_DIR from STATE_DIR.
run_dir_follows_the_rule() {
    local hash
    hash=$(printf %s "$STATE_DIR" | sha256sum | cut -c1-8)
    says "$hash" "$observa" where && says "state_dir=$STATE_DIR" "$observa" where
}

flags_may_stand_anywhere() {
    equal "$("$observa" where --state-dir "$folder/x" | head -n 1)" "state_dir=$folder/x" &&
        equal "$("$observa" --state-dir "$folder/x" where | head -n 1)" "state_dir=$folder/x" &&
        equal "$("$observa" where --state-dir="$folder/x" | head -n 1)" "state_dir=$folder/x"
}

status_is_json() {
    "$observa" status --json >"$folder/out"
    equal $? 3 && equal "$(jq -c '[.running, .ready, .agents]' "$folder/out")" '[false,false,{}]'
}

doctor_is_json() {
    "$observa" doctor --json | jq -e '.running == false and (.findings | map(.check) | index("packages"))'
}

check "help lists the verbs" says "doctor" "$observa" --help
check "every verb has help of its own" every_verb_has_help
check "no verb at all is a wrong command line" exits 2 "$observa"
check "a mistyped verb is answered with the nearest one" says "did you mean: observa status" "$observa" stauts
check "an unknown verb is a wrong command line" exits 2 "$observa" stauts
check "an unknown flag is a wrong command line" exits 2 "$observa" status --colour
check "a word too many is a wrong command line" exits 2 "$observa" status now
check "a relative state directory is refused" exits 2 "$observa" where --state-dir here
check "a state directory that configuration cannot hold is refused" exits 2 "$observa" where --state-dir "/tmp/a b"
check "folders follow the rule" run_dir_follows_the_rule
check "flags may stand before and after words" flags_may_stand_anywhere
check "a wrong port is a wrong command line" exits 2 "$observa" up --port 70000
check "a wrong duration is a wrong command line" exits 2 "$observa" up --timeout soon
check "up says what to do when nothing is staged" says "make up" "$observa" up
check "status says that nothing runs" exits 3 "$observa" status
check "status is JSON when asked" status_is_json
check "logs says that nothing runs" exits 3 "$observa" logs catalog
check "config says that nothing runs" exits 3 "$observa" config get catalog
check "config explains its words" exits 2 "$observa" config gte catalog
check "restart says that nothing runs" exits 3 "$observa" restart catalog
check "token says that there is no key yet" says "make up" "$observa" token
check "a token is good for five minutes at most" exits 2 "$observa" token --seconds 301
check "doctor is JSON when asked" doctor_is_json
check "down of what is not up is fine" exits 0 "$observa" down
check "nothing was made by asking" test ! -e "$STATE_DIR"
tap_end
