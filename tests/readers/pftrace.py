"""Reads a .pftrace with Perfetto's own descriptors and compares it with the trace: pftrace.py TRACE PFTRACE"""

import json
import sys

from google.protobuf import unknown_fields
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

trace = json.load(open(sys.argv[1]))
read = Trace()
read.ParseFromString(open(sys.argv[2], "rb").read())


def check_known(message, path="trace"):
    """Every field is one that Perfetto has, of the type that it has."""
    unknown = [field.field_number for field in unknown_fields.UnknownFieldSet(message)]
    assert not unknown, (path, unknown)
    for field, value in message.ListFields():
        if field.message_type:
            for part in value if field.is_repeated else [value]:
                check_known(part, path + "." + field.name)


check_known(read)
tracks = {p.track_descriptor.uuid: p.track_descriptor for p in read.packet if p.HasField("track_descriptor")}
events = [(p.timestamp, p.track_event) for p in read.packet if p.HasField("track_event")]
assert all(event.track_uuid in tracks for _, event in events)

# Slices as the trace processor makes them: by time, in the order of the file.
open_slices, slices, flows = {}, [], {}
for time, event in sorted(events, key=lambda pair: pair[0]):
    stack = open_slices.setdefault(event.track_uuid, [])
    if event.type == TrackEvent.TYPE_SLICE_BEGIN:
        stack.append((time, event))
    elif event.type == TrackEvent.TYPE_SLICE_END:
        begin, opened = stack.pop()
        slices.append((opened.categories[0], opened.name, begin, time - begin, opened))
    for flow in event.flow_ids:
        flows.setdefault(flow, [None, None])[0] = event.track_uuid
    for flow in event.terminating_flow_ids:
        flows.setdefault(flow, [None, None])[1] = event.track_uuid
assert not any(open_slices.values())
assert all(None not in ends and ends[0] != ends[1] for ends in flows.values())

wanted = sorted(
    (phase["name"], start["timeline"]["origin_boottime_ns"] + phase["at_ns"], phase["duration_ns"])
    for start in trace["starts"]
    for phase in start["timeline"]["phases"]
)
assert sorted(s[1:4] for s in slices if s[0] == "phase") == wanted
path = sorted(
    (part["state"], start["timeline"]["origin_boottime_ns"] + part["at_ns"], part["duration_ns"])
    for start in trace["starts"]
    for part in start["timeline"].get("critical_path", [])
)
assert sorted(s[1:4] for s in slices if s[0] == "state") == path
stages = sorted(
    (stage["name"], start["timeline"]["origin_boottime_ns"] + stage["at_ns"], stage["duration_ns"])
    for start in trace["starts"]
    for stage in (start["timeline"].get("runtime") or {}).get("stages", [])
)
assert sorted(s[1:4] for s in slices if s[0] == "runtime") == stages
roles = sorted(
    thread["role"]
    for start in trace["starts"]
    for thread in (start["timeline"].get("runtime") or {}).get("threads", [])
)
notes = [note.name for s in slices if s[0] == "start" for note in s[4].debug_annotations]
assert sorted(name[9:] for name in notes if name.startswith("threads: ")) == roles
starts = {}
for category, _, begin, length, event in slices:
    if category == "start":
        notes = {note.name: note.string_value for note in event.debug_annotations}
        starts[notes["start_id"]] = (begin, length, notes["method"])
assert starts == {
    s["start_id"]: (s["timeline"]["origin_boottime_ns"], s["timeline"]["duration_ns"], s["method"]["name"])
    for s in trace["starts"]
}
counts = [event.counter_value for _, event in events if event.type == TrackEvent.TYPE_COUNTER]
assert counts[-1] == 0 and max(counts) > 0
assert [p for p in read.packet if p.HasField("clock_snapshot")]
pids = {track.process.pid for track in tracks.values() if track.HasField("process")}
assert {s["pid"] for s in trace["starts"]} <= pids
print(len(starts), "starts,", len(slices), "slices,", len(flows), "flows")
