"""Times of queries over what bench-telemetry-load sent. Usage: telemetry_queries.py PORT SPANS"""
import random
import struct
import sys
import time
import urllib.parse
import urllib.request

PORT, SPANS = sys.argv[1], int(sys.argv[2])
MASK = (1 << 64) - 1
now = int(time.time())


def mix(x):  # as in telemetry_load.c
    x ^= x >> 33
    x = x * 0xff51afd7ed558ccd & MASK
    x ^= x >> 33
    x = x * 0xc4ceb9fe1a85ec53 & MASK
    return x ^ x >> 33


def ask(path):
    started = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}") as reply:
        data = reply.read()
    return (time.perf_counter() - started) * 1e3, data


def say(name, path, times=5):
    took = sorted(ask(path)[0] for _ in range(times))
    print(f"{name:<40} median {took[times // 2]:8.1f} ms, worst {took[-1]:8.1f} ms")


def traces():
    took = []
    for _ in range(500):
        number = random.randrange(SPANS // 8)
        ms, data = ask("/api/traces/" + struct.pack("<QQ", mix(number + 1), number).hex())
        assert data.count(b'"spanId"') == 8, "a trace is not whole"
        took.append(ms)
    took.sort()
    print(f"{'trace by id':<40} median {took[250]:8.1f} ms, p99 {took[495]:8.1f} ms")


def search(query):
    return f"/api/search?limit=100&start={now - 7200}&end={now + 60}&q={urllib.parse.quote(query)}"


def lines(query, limit):
    return (f"/loki/api/v1/query_range?limit={limit}&start={now - 7200}000000000&end={now + 60}000000000"
            f"&query={urllib.parse.quote(query)}")


traces()
say("service and time, top 100", search('{resource.service.name="orders"}'))
say("attribute, common, top 100", search("{span.http.response.status_code=500}"))
say("attribute, rare, everything looked at", search('{span.app.rare="needle"}'), 3)
say("regex without a hit, everything looked at", search('{span.url.path=~".*nothere.*"}'), 3)
say("phrase over all lines", lines('{service_name=~".+"} |= "needle in the hay"', 1000), 3)
say("last 100 lines of a service", lines('{service_name="orders"}', 100))
