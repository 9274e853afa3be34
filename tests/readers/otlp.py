"""Sends a trace through a real OTLP receiver (rotel), which passes it on in Protocol Buffers, and reads
those with OpenTelemetry's own package: otlp.py STARTRACE TRACE ROTEL; and the file forms."""

import base64
import collections
import gzip
import http.server
import json
import socket
import subprocess
import sys
import threading
import time

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

startrace, file, rotel = sys.argv[1:]
trace = json.load(open(file))


def check(requests):
    """What came is what the trace says."""
    spans, pids = {}, collections.Counter()
    for request in requests:
        for resource in request.resource_spans:
            about = {a.key: a.value for a in resource.resource.attributes}
            assert about["host.name"].string_value == trace["host"]["hostname"]
            pids[about["process.pid"].int_value] += 1
            for scope in resource.scope_spans:
                for span in scope.spans:
                    assert len(span.trace_id) == 16 and len(span.span_id) == 8
                    assert span.span_id not in spans
                    spans[span.span_id] = span
    starts = {}
    for span in spans.values():
        about = {a.key: a.value.string_value for a in span.attributes}
        if "startrace.start_id" in about:
            length = span.end_time_unix_nano - span.start_time_unix_nano
            starts[about["startrace.start_id"]] = (length, about["startrace.method"], span)
    for start in trace["starts"]:
        length, method, span = starts[start["start_id"]]
        assert (length, method) == (start["timeline"]["duration_ns"], start["method"]["name"])
        parts = [s for s in spans.values() if s.parent_span_id == span.span_id]
        phases = sorted(
            (s.start_time_unix_nano - span.start_time_unix_nano, s.name)
            for s in parts
            if not any(a.key in ("startrace.start_id", "startrace.wait") for a in s.attributes)
        )
        wanted = sorted((p["at_ns"], p["name"]) for p in start["timeline"]["phases"])
        assert phases == wanted, (phases, wanted)
        own = {span.span_id} | {s.span_id for s in parts}
        waits = [s.name for s in spans.values() if s.name.startswith("wait ") and s.parent_span_id in own]
        assert sorted(waits) == sorted("wait " + w["kind"] for w in start["timeline"].get("waits", []))
        by = start["requested_by"]
        if by and by["start_id"] in starts:
            (link,) = span.links
            assert link.span_id == starts[by["start_id"]][2].span_id
    assert len(starts) == len(trace["starts"])
    assert pids == collections.Counter(start["pid"] for start in trace["starts"])
    return len(spans)


text = subprocess.run([startrace, "export", file, "--to", "otlp"], check=True, capture_output=True).stdout
lines = [json.loads(line) for line in text.splitlines()]
for line in lines:
    # The JSON encoding of OTLP has ids in hex, that of Protocol Buffers has them in base64.
    for resource in line["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for holder in [span, *span.get("links", [])]:
                    for key in ("traceId", "spanId", "parentSpanId"):
                        if key in holder:
                            holder[key] = base64.b64encode(bytes.fromhex(holder[key])).decode()
requests = [json_format.ParseDict(line, ExportTraceServiceRequest()) for line in lines]
written = check(requests)
# The same spans in Protocol Buffers: one message, to the last field.
whole = ExportTraceServiceRequest()
for request in requests:
    whole.MergeFrom(request)
binary = [startrace, "export", file, "--to", "otlp", "--otlp-format", "protobuf"]
binary = subprocess.run(binary, check=True, capture_output=True).stdout
assert ExportTraceServiceRequest.FromString(binary) == whole

received = []


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        received.append(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
grpc, port = free_port(), free_port()
collector = subprocess.Popen(
    [rotel, "start", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{port}",
     "--exporter", "otlp", "--otlp-exporter-endpoint", f"http://127.0.0.1:{backend.server_port}",
     "--otlp-exporter-protocol", "http"],
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
)  # fmt: skip
try:
    # It may still be starting: startrace itself tries again for a while.
    for encoding in ("json", "protobuf"):
        received.clear()
        command = [startrace, "export", file, "--to", "otlp", "--otlp-format", encoding]
        command += ["--endpoint", f"http://localhost:{port}"]
        sent = subprocess.run(command, capture_output=True, text=True)
        assert sent.returncode == 0, sent.stderr
        end = time.monotonic() + 20
        count = 0
        while count < written and time.monotonic() < end:
            time.sleep(0.1)
            parts = [scope for r in received for res in r.resource_spans for scope in res.scope_spans]
            count = sum(len(scope.spans) for scope in parts)
        assert count == written, (encoding, count, written)
        check(received)
finally:
    collector.terminate()
    output = collector.communicate()[0]
    if sys.exc_info()[0]:
        print(output.decode(errors="replace"), file=sys.stderr)
print(written, "spans in the file and through the collector;", sent.stderr.strip())
