"""A receiver of OTLP/HTTP traces for tests: keeps the spans it is sent.

Stands in for the telemetry store. Reads the protobuf wire format itself (protobuf's encoding guide;
field numbers of opentelemetry/proto/trace/v1/trace.proto), so that it shares no code with the sender.
"""
import http.server
import threading


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """The (number, value) pairs of one message; values are ints or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = int.from_bytes(data[at:at + size], "little"), at + size
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, value


def children(data, number):
    return [value for n, value in fields(data) if n == number]


def service_name(resource_spans):
    for resource in children(resource_spans, 1):
        for attribute in children(resource, 1):
            if children(attribute, 1) == [b"service.name"]:
                return children(children(attribute, 2)[0], 1)[0].decode()
    return ""


def read_spans(body):
    for resource_spans in children(body, 1):
        service = service_name(resource_spans)
        for scope in children(resource_spans, 2):
            for span in children(scope, 2):
                found = dict(fields(span))
                yield {"service": service, "trace_id": found[1].hex(), "span_id": found[2].hex(),
                       "parent_id": found.get(4, b"").hex(), "name": found[5].decode(),
                       "kind": found.get(6, 0), "start_ns": found[7], "end_ns": found[8]}


class Sink:
    def __init__(self):
        self.spans, self.lock = [], threading.Lock()
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with sink.lock:
                    sink.spans.extend(read_spans(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *peer: None  # senders are killed on purpose
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def trace(self, trace_id):
        with self.lock:
            return [span for span in self.spans if span["trace_id"] == trace_id]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
