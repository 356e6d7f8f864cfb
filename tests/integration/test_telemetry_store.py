#!/usr/bin/env python3
"""observa-telemetry as a process: killed under full ingest, fed with hostile input. Prints TAP.

usage: test_telemetry_store.py PROGRAM [KILLS]
"""
import gzip
import http.client
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

PROGRAM = sys.argv[1]
KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 8
TESTS = []


def test(function):
    TESTS.append(function)
    return function


class Telemetry:
    def __init__(self, folder, *flags):
        self.process = subprocess.Popen(
            [PROGRAM, "--listen", "tcp:127.0.0.1:0", "--data", folder, *flags], stdout=subprocess.PIPE,
            text=True)
        for line in self.process.stdout:
            found = re.search(r'"address":"tcp:127\.0\.0\.1:(\d+)"', line)
            if found:
                self.port = int(found.group(1))
            if '"message":"serving"' in line:
                break
        else:
            raise AssertionError("it did not start")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, method, path, body=None, headers=None):
        connection = self.connection()
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        return reply.status, data, reply

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(20)


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name, value):
    return field(1, name.encode()) + field(2, field(1, value.encode()))


def span(trace_id, attributes=b"", start_ns=None, name=b"GET /"):
    start_ns = start_ns or time.time_ns()
    return (field(1, trace_id) + field(2, os.urandom(8)) + field(5, name) + b"\x39" +
            struct.pack("<Q", start_ns) + b"\x41" + struct.pack("<Q", start_ns + 1000) + attributes)


def traces(spans):
    resource = field(1, field(1, attribute("service.name", "orders")))
    return field(1, resource + field(2, b"".join(field(2, s) for s in spans)))


def logs(lines):
    resource = field(1, field(1, attribute("service.name", "orders")))
    now = struct.pack("<Q", time.time_ns())
    return field(1, resource + field(2, b"".join(
        field(2, b"\x09" + now + b"\x10\x09" + field(5, field(1, line.encode()))) for line in lines)))


PROTO = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


def send_until_killed(telemetry, kept_traces, kept_lines):
    """Batches one after the other; what was answered 200 goes to the lists."""
    try:
        connection = telemetry.connection()
        while True:
            ids = [os.urandom(16) for _ in range(50)]
            connection.request("POST", "/v1/traces", traces([span(i) for i in ids]), PROTO)
            reply = connection.getresponse()
            reply.read()
            if reply.status == 200:
                kept_traces.extend(ids)
            lines = [f"line {os.urandom(8).hex()}" for _ in range(50)]
            connection.request("POST", "/v1/logs", logs(lines), PROTO)
            reply = connection.getresponse()
            reply.read()
            if reply.status == 200:
                kept_lines.extend(lines)
    except (OSError, http.client.HTTPException):
        pass


@test
def nothing_acknowledged_is_lost_when_it_is_killed_again_and_again():
    folder = tempfile.mkdtemp(prefix="observa-test-")
    kept_traces, kept_lines = [], []
    try:
        for _ in range(KILLS):
            telemetry = Telemetry(folder, "--head-bytes", "1048576")
            senders = [threading.Thread(target=send_until_killed,
                                        args=(telemetry, kept_traces, kept_lines)) for _ in range(6)]
            for sender in senders:
                sender.start()
            time.sleep(random.uniform(0.1, 0.5))  # how long the ingest runs is what is random here
            telemetry.stop(signal.SIGKILL)
            for sender in senders:
                sender.join()
        telemetry = Telemetry(folder)
        assert len(kept_traces) > KILLS * 50, "hardly anything was acknowledged"
        connection = telemetry.connection()
        for trace_id in random.sample(kept_traces, min(3000, len(kept_traces))):
            connection.request("GET", "/api/traces/" + trace_id.hex())
            reply = connection.getresponse()
            reply.read()
            assert reply.status == 200, f"trace {trace_id.hex()} is lost"
        found = set()
        end = time.time_ns() + 10**9
        while True:
            status, data, _ = telemetry.ask("GET", "/loki/api/v1/query_range?direction=backward&limit=5000"
                                            f"&start={end - 3600 * 10**9}&end={end}&query="
                                            "%7Bservice_name%3D%22orders%22%7D")
            assert status == 200, data
            values = [v for s in json.loads(data)["data"]["result"] for v in s["values"]]
            fresh = {v[1] for v in values} - found
            if not fresh:
                break
            found |= fresh
            end = min(int(v[0]) for v in values) + 1
        lost = set(kept_lines) - found
        assert not lost, f"{len(lost)} of {len(kept_lines)} lines are lost"
        status, data, _ = telemetry.ask("GET", "/metrics")
        kept = int(float(re.search(rb"telemetry_store_spans\{[^}]*\} (\S+)", data).group(1)))
        assert kept >= len(kept_traces), f"{kept} spans of {len(kept_traces)}"
        telemetry.stop()
        print(f"# {len(kept_traces)} spans and {len(kept_lines)} lines over {KILLS} kills")
    finally:
        shutil.rmtree(folder)


class Running:
    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="observa-test-")
        self.telemetry = Telemetry(self.folder)
        return self.telemetry

    def __exit__(self, *_):
        self.telemetry.stop()
        shutil.rmtree(self.folder)


def expect(telemetry, status, words, path, body, headers):
    found, data, reply = telemetry.ask("POST", path, body, headers)
    assert found == status, f"{found} for {words}: {data[:200]}"
    assert words.encode() in data, data[:300]
    return data, reply


@test
def hostile_bodies_are_refused_with_status_and_reason():
    with Running() as t:
        good = traces([span(os.urandom(16))])
        expect(t, 400, "protobuf", "/v1/traces", good[:-3], PROTO)
        expect(t, 400, "protobuf", "/v1/traces", b"\x0a\xff\xff\xff\xff\x0f", PROTO)
        expect(t, 400, "", "/v1/traces", b"{", JSON)
        expect(t, 400, "", "/v1/traces", b'{"resourceSpans":' + b"[" * 5000, JSON)
        expect(t, 415, "Content-Type", "/v1/traces", good, {"Content-Type": "text/plain"})
        expect(t, 415, "brotli", "/v1/traces", good, {**PROTO, "Content-Encoding": "brotli"})
        expect(t, 400, "gzip", "/v1/traces", b"no gzip", {**PROTO, "Content-Encoding": "gzip"})
        expect(t, 400, "cut short", "/v1/traces", gzip.compress(good)[:-9],
               {**PROTO, "Content-Encoding": "gzip"})
        expect(t, 413, "larger", "/v1/traces", gzip.compress(bytes(200 << 20)),
               {**PROTO, "Content-Encoding": "gzip"})
        status, data, _ = t.ask("POST", "/v1/traces", good, {**PROTO, "X-Scope-OrgID": "../etc"})
        assert status == 400, data
        expect(t, 200, "", "/v1/traces", gzip.compress(good), {**PROTO, "Content-Encoding": "gzip"})
        with open(f"/proc/{t.process.pid}/status") as f:
            peak = int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))
        assert peak < 128 * 1024, f"{peak} kB"


@test
def records_that_cannot_be_kept_are_counted_in_the_partial_success():
    with Running() as t:
        many = b"".join(field(9, attribute(f"a{i}", "x")) for i in range(10000))
        deep = field(1, b"x")
        for _ in range(40):
            deep = field(5, field(1, deep))
        bad = [span(b"short"), span(bytes(16)), span(os.urandom(16), start_ns=1),
               span(os.urandom(16), start_ns=1 << 63), span(os.urandom(16), many),
               span(os.urandom(16), name=b"\xff\xfe"),
               span(os.urandom(16), field(9, field(1, b"deep") + field(2, deep)))]
        good = os.urandom(16)
        for record in bad:
            data, _ = expect(t, 200, "span", "/v1/traces", traces([record, span(good)]), PROTO)
            assert data[:1] == b"\x0a" and data[2:4] == b"\x08\x01", data
        assert t.ask("GET", "/api/traces/" + good.hex())[0] == 200


@test
def too_many_streams_are_refused():
    with Running() as t:
        body = b"".join(field(1, field(1, field(1, attribute("service.name", f"s{i}"))) +
                              field(2, field(2, b"\x09" + struct.pack("<Q", time.time_ns()) +
                                             field(5, field(1, b"x"))))) for i in range(12000))
        expect(t, 400, "streams", "/v1/logs", body, PROTO)
        expect(t, 200, "", "/v1/logs", logs(["still taken"]), PROTO)


@test
def a_tenant_is_asked_for_when_there_is_no_default():
    folder = tempfile.mkdtemp(prefix="observa-test-")
    t = Telemetry(folder, "--default-tenant=")
    try:
        status, data, _ = t.ask("POST", "/v1/traces", traces([span(os.urandom(16))]), PROTO)
        assert status == 401 and b"X-Scope-OrgID" in data, data
        assert t.ask("GET", "/ready")[0] == 200
    finally:
        t.stop()
        shutil.rmtree(folder)


failed = 0
print(f"1..{len(TESTS)}")
for number, function in enumerate(TESTS, 1):
    try:
        function()
        print(f"ok {number} - {function.__name__}", flush=True)
    except Exception:  # a test that fails is said, and the next one runs
        failed += 1
        print("# " + traceback.format_exc().replace("\n", "\n# "))
        print(f"not ok {number} - {function.__name__}", flush=True)
sys.exit(failed > 0)
