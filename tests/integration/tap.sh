# TAP for tests in bash: check NAME COMMAND..., then tap_end. Sourced.
#
# A check runs its command, and shows its output only when it fails. Nothing here sleeps for long: await
# asks again every 100 ms until its command succeeds.
tap_count=0
tap_failed=0

check() {
    local name=$1 output
    shift
    tap_count=$((tap_count + 1))
    if output=$("$@" 2>&1); then
        echo "ok $tap_count - $name"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $name"
        printf '%s\n' "$output" | tail -n 40 | sed 's/^/# /'
    fi
}

# await SECONDS COMMAND...
await() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ $SECONDS -ge $deadline ]; then
            echo "still not so: $*"
            return 1
        fi
        sleep 0.1
    done
}

# exits STATUS COMMAND...
exits() {
    local expected=$1 status=0
    shift
    "$@" || status=$?
    [ $status -eq "$expected" ] || { echo "exit status $status, expected $expected: $*"; return 1; }
}

# says TEXT COMMAND...: its output, on either stream, contains TEXT
says() {
    local text=$1 output
    shift
    output=$("$@" 2>&1)
    case $output in
    *"$text"*) ;;
    *) printf 'no "%s" in:\n%s\n' "$text" "$output"; return 1 ;;
    esac
}

equal() {
    [ "$1" = "$2" ] || { echo "is '$1', expected '$2'"; return 1; }
}

tap_end() {
    echo "1..$tap_count"
    [ $tap_failed -eq 0 ]
}
