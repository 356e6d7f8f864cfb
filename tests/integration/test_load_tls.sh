#!/bin/bash
#
# observa-load over TLS, against a real nginx: test_load_tls.sh OBSERVA_LOAD
set -u
. "$(dirname "$0")/tap.sh"
load=$1
folder=$(mktemp -d)
trap '[ -z "${nginx:-}" ] || { kill "$nginx"; wait "$nginx"; }; rm -rf "$folder"' EXIT
chmod 755 "$folder"

make_certificate() { # NAME: NAME.key, NAME.pem, trusted by itself
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=shop.test" \
        -addext "subjectAltName=DNS:shop.test" -keyout "$folder/$1.key" -out "$folder/$1.pem"
}

start_nginx() {
    local try
    for try in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        cat >"$folder/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $folder/pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path $folder/b; proxy_temp_path $folder/p; fastcgi_temp_path $folder/f;
  uwsgi_temp_path $folder/u; scgi_temp_path $folder/s;
  server { listen 127.0.0.1:$port ssl; ssl_certificate $folder/good.pem; ssl_certificate_key $folder/good.key;
           location / { return 200 "hello\n"; } }
}
CONF
        nginx -e stderr -c "$folder/nginx.conf" 2>"$folder/nginx.err" &
        nginx=$!
        await 5 curl -skf -o /dev/null "https://127.0.0.1:$port/" && return 0
        wait "$nginx" # the port was taken: another one
    done
    cat "$folder/nginx.err"
    return 1
}

run() { # WORDS...: a short load; its report is $folder/report.json
    "$load" run --quiet --rate 100 --duration 1s --json "$folder/report.json" "$@" "https://127.0.0.1:$port/"
}

outcomes() { # FILTER, such as .ok: how many journeys ended so
    jq "[.journeys[].outcomes$1] | add" "$folder/report.json"
}

all_are() { # OUTCOME WORDS...
    local outcome=$1
    shift
    run "$@" >/dev/null || return 1
    [ "$(outcomes ".$outcome")" -ge 80 ] && [ "$(outcomes '| add - .'"$outcome")" = 0 ] || { jq .journeys "$folder/report.json"; return 1; }
}

check "certificates are made" make_certificate good
make_certificate other >/dev/null 2>&1
start_nginx
check "nginx serves https" curl -skf -o /dev/null "https://127.0.0.1:$port/"
check "a certificate of a trusted authority and the right name is taken" all_are ok --ca-file "$folder/good.pem" --host shop.test
check "another authority's is not" all_are error --ca-file "$folder/other.pem" --host shop.test
check "nor one for another name" all_are error --ca-file "$folder/good.pem" --host other.test
check "nor one that nobody vouches for" all_are error --host shop.test
check "--insecure takes any" all_are ok --insecure --host other.test
check "a trust file that is none is refused by name" says "$folder/nginx.conf" run --ca-file "$folder/nginx.conf"
tap_end
