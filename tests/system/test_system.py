#!/usr/bin/env python3
"""The whole system as a newcomer starts it: real servers, real processes, real faults. Prints TAP.

usage: test_system.py BUILD_FOLDER
"""
import os
import re
import signal
import sys
import threading
import time
import uuid

from installation import Installation, Failed, expect, http, main, wait_until
from otlp_sink import Sink

TESTS = []


def test(function):
    TESTS.append(function)
    return function


class Customers:
    """Orders, one after the other, each asked again under its key until it is acknowledged."""

    def __init__(self, installation):
        self.installation, self.acknowledged = installation, {}
        self.stop_asking = threading.Event()
        self.threads = [threading.Thread(target=self.shop, daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def shop(self):
        while not self.stop_asking.is_set():
            key = str(uuid.uuid4())
            while not self.stop_asking.is_set():
                try:
                    reply = self.installation.order(key, product=1 + len(self.acknowledged) % 2000)
                    if reply.status in (200, 201):
                        self.acknowledged[key] = reply.json["order_id"]
                    if reply.status < 500:
                        break
                except (OSError, ValueError):
                    pass
                self.stop_asking.wait(0.1)
            self.stop_asking.wait(0.05)

    def stop(self):
        self.stop_asking.set()
        for thread in self.threads:
            thread.join(30)


def is_fulfilled_once(installation, order_id):
    history = http("GET", installation.shop(f"/api/orders/{order_id}")).json["history"]
    return [entry["status"] for entry in history] == ["accepted", "fulfilled"]


@test
def up_makes_every_unit_ready(one, sink):
    seconds = one.up()
    for name, unit in one.units().items():
        expect(unit["state"] in ("running", "done"), f"{name} is {unit['state']}: {unit['reason']}")
    print(f"# up took {seconds:.1f} s")


@test
def up_again_changes_nothing(one, sink):
    before = {name: unit["pid"] for name, unit in one.units().items()}
    one.up()
    expect({name: unit["pid"] for name, unit in one.units().items()} == before, "processes were started anew")


@test
def an_order_through_the_gateway_becomes_fulfilled(one, sink):
    reply = one.order("newcomer-1")
    expect(reply.status == 201, f"checkout answered {reply.status}: {reply.body}")
    order_id = reply.json["order_id"]
    wait_until("the order is fulfilled", 20, lambda: is_fulfilled_once(one, order_id))


@test
def the_same_key_gives_the_same_order_and_another_body_is_refused(one, sink):
    first, again = one.order("twice"), one.order("twice")
    expect(first.status == 201 and again.status == 200, f"answered {first.status} and {again.status}")
    expect(first.json["order_id"] == again.json["order_id"], "two orders under one key")
    expect(one.order("twice", product=8).status == 422, "another body under the same key was taken")


@test
def one_trace_leads_from_the_gateway_to_fulfilment(one, sink):
    trace_id, span_id = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    expect(one.order("traced", headers={"traceparent": f"00-{trace_id}-{span_id}-01"}).status == 201, "no order")
    wanted = {"gateway", "storefront", "catalog", "orders", "fulfilment"}
    wait_until("all five services have sent spans of the trace", 20,
               lambda: wanted <= {span["service"] for span in sink.trace(trace_id)})
    wait_until("fulfilment's report to orders is in the trace", 20,
               lambda: [s for s in sink.trace(trace_id) if s["service"] == "orders" and "fulfilled" in s["name"]])
    spans = sink.trace(trace_id)
    ids = {span["span_id"] for span in spans}
    orphans = [span for span in spans if span["parent_id"] not in ids and span["parent_id"] != span_id]
    expect(not orphans, f"spans without their parent: {orphans}")
    roots = [span["service"] for span in spans if span["parent_id"] == span_id]
    expect(roots == ["gateway"], f"the caller's children are {roots}")
    backwards = [span for span in spans if span["end_ns"] < span["start_ns"]]
    expect(not backwards, f"spans that end before they start: {backwards}")


@test
def a_request_without_trace_gets_one(one, sink):
    before = len(sink.spans)
    http("GET", one.shop("/api/products/3"))
    spans = wait_until("spans arrive", 10, lambda: [s for s in sink.spans[before:] if s["service"] == "storefront"])
    expect(re.fullmatch("[0-9a-f]{32}", spans[0]["trace_id"]), "no trace id")


@test
def prometheus_sees_every_target_up(one, sink):
    wait_until("no target is down", 30, lambda: one.prometheus("count(up == 1) >= 15") and not one.prometheus("up == 0"))
    jobs = {row["metric"]["job"] for row in one.prometheus("up")}
    wanted = {f"sut-{name}" for name in ("storefront", "catalog", "orders", "fulfilment", "gateway", "redis", "postgres", "rabbitmq", "agent", "load")}
    expect(wanted <= jobs, f"no target for {wanted - jobs}")


@test
def latency_histograms_carry_exemplars_of_real_traces(one, sink):
    def services_with_exemplars():
        now = int(time.time())
        url = one.url("prometheus", "/api/v1/query_exemplars?query=http_server_request_duration_seconds_bucket"
                                    f"&start={now - 600}&end={now}")
        return {row["seriesLabels"]["service"] for row in http("GET", url).json["data"]
                for exemplar in row["exemplars"] if sink.trace(exemplar["labels"]["trace_id"])}

    wait_until("exemplars of four services lead to spans", 30,
               lambda: {"gateway", "storefront", "catalog", "orders"} <= services_with_exemplars())


@test
def the_contract_of_metric_names_is_kept(one, sink):
    names = """http_server_request_duration_seconds_bucket app_inflight_requests app_worker_limit db_pool_connections db_pool_max
        cache_requests_total orders_created_total orders_fulfilled_total orders_oldest_unfulfilled_seconds fulfilment_consumed_total
        redis_keyspace_hits_total redis_memory_used_bytes redis_memory_max_bytes redis_evicted_keys_total
        rabbitmq_detailed_queue_messages_ready rabbitmq_detailed_queue_messages_unacked rabbitmq_detailed_queue_consumers
        rabbitmq_global_messages_redelivered_total pg_stat_activity_count pg_stat_activity_max_tx_duration pg_settings_max_connections
        pg_stat_database_xact_commit container_cpu_usage_seconds_total container_memory_working_set_bytes
        container_start_time_seconds container_restarts_total journey_requests_total journey_duration_seconds_bucket
        loadgen_target_rps probe_correctness_checks_total probe_duration_seconds""".split()
    for name in names:
        wait_until(f"{name} exists", 15, lambda name=name: one.prometheus(f'{{__name__="{name}",tenant="solo"}}'))
    for database in ("catalog", "orders"):
        expect(one.prometheus(f'pg_stat_database_xact_commit{{datname="{database}",tenant="solo"}}'), f"no database {database}")


@test
def the_users_are_delivered_and_content(one, sink):
    wait_until("more than 90 % of the wanted journeys happen", 90, lambda: one.prometheus("load:delivered:ratio1m > 0.9"))
    for journey in ("browse", "search", "checkout", "fulfil"):
        wait_until(f"{journey} succeeds", 30, lambda j=journey: one.prometheus(f'journey:success:ratio1m{{journey="{j}"}} > 0.99'))
    expect(one.prometheus("sum(probe_correctness_checks_total) > 0"), "no correctness probe ran")
    expect(not one.prometheus("sum(probe_correctness_failures_total) > 0"), "a correctness probe failed on a healthy shop")


@test
def the_load_is_steered_from_the_terminal(one, sink):
    one.observa("load", "rate", "12")
    wait_until("the wanted rate shows", 10, lambda: one.prometheus("abs(sum(loadgen_target_rps) - 12) < 2"))
    expect(one.run("load", "rate", "-3").returncode != 0, "a negative rate was taken")
    one.observa("load", "reset")


@test
def a_changed_setting_shows_in_prometheus_within_five_seconds(one, sink):
    began = time.monotonic()
    one.observa("config", "set", "storefront", "server.workers=7")
    wait_until("app_worker_limit is 7", 5, lambda: one.prometheus('app_worker_limit{service="storefront"} == 7'))
    print(f"# it showed after {time.monotonic() - began:.1f} s")


@test
def a_bad_setting_is_refused_and_changes_nothing(one, sink):
    done = one.run("config", "set", "storefront", "server.workers=0")
    expect(done.returncode != 0 and "server.workers" in done.stderr and "from 1 to 64" in done.stderr, f"said: {done.stderr}")
    expect(one.run("config", "set", "storefront", "server.wrokers=3").returncode != 0, "an unknown setting was taken")
    expect("7" in one.observa("config", "get", "storefront", "server.workers"), "the value changed")


@test
def users_reach_neither_settings_nor_metrics(one, sink):
    for path in ("/config", "/metrics", "/api/../config", "/api/%2e%2e/config", "/debug/pprof/profile", "/v1/units"):
        status = http("GET", one.shop(path)).status
        expect(status in (400, 403, 404), f"GET {path} answered {status}")


@test
def the_gateway_settings_change_a_real_nginx(one, sink):
    names = one.observa("config", "get", "gateway")
    expect("version" in names, "gateway has no settings")
    one.observa("config", "set", "gateway", "upstream_max_conns=3")
    expect(one.order("after-reload").status == 201, "no order after the change")
    one.observa("config", "reset", "gateway")


KILLED = [("solo", unit) for unit in ("redis", "catalog", "orders", "fulfilment", "storefront", "gateway")] + \
         [("platform", unit) for unit in ("postgres", "rabbitmq", "epmd", "gateways", "prometheus", "alertmanager",
                                          "postgres-exporter", "redis-exporter", "tenant-solo")]


@test
def kill_9_of_each_process_under_load_loses_no_acknowledged_order(one, sink):
    customers = Customers(one)
    try:
        for name in KILLED:
            before = one.units()[name]
            os.kill(before["pid"], signal.SIGKILL)
            wait_until(f"{name} has been started again", 60,
                       lambda: (one.units()[name]["pid"] or before["pid"]) != before["pid"] and one.is_well(), pause=0.3)
            count = len(customers.acknowledged)
            wait_until(f"customers are served again after {name} was killed", 60, lambda: len(customers.acknowledged) > count + 5)
    finally:
        customers.stop()
    print(f"# {len(customers.acknowledged)} orders were acknowledged meanwhile")
    for key, order_id in customers.acknowledged.items():
        wait_until(f"order {order_id} is fulfilled, once", 60, lambda: is_fulfilled_once(one, order_id))
    expect(len(set(customers.acknowledged.values())) == len(customers.acknowledged), "two keys share an order")


@test
def no_setting_is_lost_to_kill_9(one, sink):
    expect("7" in one.observa("config", "get", "storefront", "server.workers"), "server.workers is not 7 any more")
    one.observa("config", "set", "redis", "maxmemory=48")
    unit = one.units()[("solo", "redis")]
    os.kill(unit["pid"], signal.SIGKILL)
    wait_until("redis is back", 30, lambda: (one.units()[("solo", "redis")]["pid"] or unit["pid"]) != unit["pid"] and one.is_well())
    wait_until("redis has its limit again", 15, lambda: one.prometheus(f"redis_memory_max_bytes == {48 * 1024 * 1024}"))


@test
def a_second_installation_runs_beside_the_first(one, sink):
    two = Installation(one.build)
    try:
        two.up()
        expect(not set(two.where.values()) & set(one.where.values()), "they share a port or a folder")
        expect(two.order("second").status == 201, "no order in the second")
        two.down()
        left = two.processes()
        expect(not left, f"the second left processes behind: {left}")
        expect(one.is_well() and one.order("still-there").status == 201, "the first one is not well any more")
    finally:
        two.remove()


@test
def kill_9_of_the_platforms_agent_ends_everything_and_up_starts_clean(one, sink):
    order_id = one.order("before-the-end").json["order_id"]
    os.kill(one.agent_pid("platform"), signal.SIGKILL)
    wait_until("all processes are gone", 20, lambda: not one.processes())
    one.up()
    wait_until("the order is still there, fulfilled", 30, lambda: is_fulfilled_once(one, order_id))


@test
def down_leaves_no_process_and_no_port_behind(one, sink):
    one.down()
    left = one.processes()
    expect(not left, f"left behind: {left}")
    try:
        http("GET", one.url("control", "/"), timeout=1)
        raise Failed("the control gateway still answers")
    except OSError:
        pass
    expect(one.run("status").returncode == 3, "status does not say that nothing runs")


if __name__ == "__main__":
    SINK = Sink()
    sys.exit(main(TESTS, {"OTEL_EXPORTER_OTLP_ENDPOINT": SINK.endpoint}, SINK))
