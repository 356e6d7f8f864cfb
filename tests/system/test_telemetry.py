#!/usr/bin/env python3
"""Traces, logs and profiles of the running shop, as a learner asks for them. Prints TAP.

usage: test_telemetry.py BUILD_FOLDER
"""
import os
import signal
import sys
import time
import urllib.parse
import uuid

from installation import expect, http, main, wait_until

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def ask(one, path, tenant="solo", **query):
    url = one.url("telemetry", path) + ("?" + urllib.parse.urlencode(query) if query else "")
    return http("GET", url, headers={"X-Scope-OrgID": tenant})


def spans_of(trace):
    for batch in trace.get("batches") or trace.get("resourceSpans") or []:
        attributes = {a["key"]: a["value"] for a in batch["resource"]["attributes"]}
        for scope in batch.get("scopeSpans", []):
            for span in scope["spans"]:
                yield attributes["service.name"]["stringValue"], span["name"]


def lines(one, query, tenant="solo", seconds=600):
    now = time.time_ns()
    reply = ask(one, "/loki/api/v1/query_range", tenant, query=query, start=now - seconds * 10**9, end=now, limit=500)
    expect(reply.status == 200, f"{query}: {reply.status} {reply.body}")
    return [(stream["stream"], value[1]) for stream in reply.json["data"]["result"] for value in stream["values"]]


def order_with_trace(one):
    trace_id = uuid.uuid4().hex
    reply = one.order(str(uuid.uuid4()), headers={"traceparent": f"00-{trace_id}-{uuid.uuid4().hex[:16]}-01"})
    expect(reply.status == 201, f"checkout answered {reply.status}")
    return trace_id, reply.json["order_id"]


@test
def up_brings_the_store_with_it(one):
    one.up()
    expect(ask(one, "/ready").status == 200, "the store is not ready")


@test
def a_trace_is_found_by_its_id_with_all_its_services(one):
    trace_id, _ = order_with_trace(one)
    wanted = {"gateway", "storefront", "catalog", "orders", "fulfilment"}

    def services():
        reply = ask(one, f"/api/traces/{trace_id}")
        return reply.status == 200 and wanted <= {service for service, _ in spans_of(reply.json)}

    wait_until("the whole trace is there", 20, services)


@test
def traceql_finds_what_fits_and_nothing_else(one):
    def found():
        reply = ask(one, "/api/search", q='{ resource.service.name = "orders" && name = "POST /orders" } | count() > 0', limit=5)
        expect(reply.status == 200, f"{reply.status} {reply.body}")
        return reply.json["traces"]

    traces = wait_until("orders' traces are found", 20, found)
    expect(all(trace["traceID"] for trace in traces), "a trace without an id")
    wrong = ask(one, "/api/search", q='{ resource.service.name = "no-such-service" }')
    expect(wrong.status == 200 and not wrong.json["traces"], "found what does not exist")
    bad = ask(one, "/api/search", q="{ name = }")
    expect(bad.status == 400, f"a broken query answered {bad.status}")


@test
def logs_of_a_trace_are_one_query(one):
    trace_id, order_id = order_with_trace(one)
    query = '{service_name=~".+"} | trace_id="' + trace_id + '"'
    wait_until("four services have logged under the trace", 20,
               lambda: {"gateway", "storefront", "orders", "fulfilment"} <= {stream["service_name"] for stream, _ in lines(one, query)})
    expect(any(order_id in line for _, line in lines(one, query)), "the order's id is in none of them")


@test
def the_servers_own_logs_are_there_too(one):
    for service in ("gateway", "redis", "catalog", "storefront", "orders", "fulfilment", "load"):
        wait_until(f"lines of {service}", 20, lambda s=service: lines(one, f'{{service_name="{s}"}}'))
    for service in ("postgres", "rabbitmq"):
        wait_until(f"lines of {service}", 20, lambda s=service: lines(one, f'{{service_name="{s}"}}', "platform") or lines(one, f'{{service_name="{s}"}}'))


@test
def a_metric_query_over_logs_counts_requests(one):
    query = 'sum by (service_name) (count_over_time({service_name="gateway"} | json | status=~"2.." [2m]))'
    def counted():
        result = ask(one, "/loki/api/v1/query", query=query).json["data"]["result"]
        return result and float(result[0]["value"][1]) > 10
    wait_until("more than ten good requests are counted", 30, counted)


@test
def profiles_of_a_service_name_its_functions(one):
    def names():
        reply = ask(one, "/pyroscope/render", query="catalog.cpu", **{"from": "now-5m", "until": "now", "format": "json"})
        return set(reply.json["flamebearer"]["names"]) if reply.status == 200 else set()

    wait_until("catalog's profile holds the worker's function", 40, lambda: "run_on_worker" in names(), pause=1)


@test
def a_tenant_sees_nothing_of_another(one):
    trace_id, _ = order_with_trace(one)
    wait_until("the trace is there for its tenant", 20, lambda: ask(one, f"/api/traces/{trace_id}").status == 200)
    expect(ask(one, f"/api/traces/{trace_id}", tenant="other").status == 404, "another tenant sees the trace")
    expect(not lines(one, '{service_name=~".+"}', tenant="other"), "another tenant sees log lines")
    expect(ask(one, "/ready", tenant="../x").status == 200 and ask(one, f"/api/traces/{trace_id}", tenant="../x").status in (400, 401),
           "a tenant that is no name was taken")


@test
def the_terminal_shows_traces_logs_and_profiles(one):
    trace_id, _ = order_with_trace(one)
    wait_until("the trace is there", 20, lambda: ask(one, f"/api/traces/{trace_id}").status == 200)
    time.sleep(1.5)  # the last spans of a trace follow within a second
    expect("storefront" in one.observa("traces", trace_id), "no waterfall")
    expect("gateway" in one.observa("logs", "--query", '{service_name="gateway"}'), "no lines")
    expect("%" in one.observa("profile", "catalog"), "no profile")


@test
def what_was_acknowledged_survives_kill_9_of_the_store(one):
    trace_id, order_id = order_with_trace(one)
    wait_until("the trace is there", 20, lambda: ask(one, f"/api/traces/{trace_id}").status == 200)
    wait_until("the line is there", 20, lambda: lines(one, f'{{service_name="orders"}} |= "{order_id}"'))
    for _ in range(3):
        pid = one.units()[("platform", "telemetry")]["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until("the store is back", 30, lambda p=pid: (one.units()[("platform", "telemetry")]["pid"] or p) != p and ask(one, "/ready").status == 200)
        expect(ask(one, f"/api/traces/{trace_id}").status == 200, "the trace is gone")
        expect(lines(one, f'{{service_name="orders"}} |= "{order_id}"'), "the line is gone")
    after, _ = order_with_trace(one)
    wait_until("new traces arrive again", 30, lambda: ask(one, f"/api/traces/{after}").status == 200)


@test
def down_leaves_nothing_behind(one):
    one.down()
    expect(not one.processes(), f"left behind: {one.processes()}")


if __name__ == "__main__":
    sys.exit(main(TESTS, {}))
