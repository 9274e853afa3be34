//! What holds for every trace, whoever made it. Pure: takes the JSON, returns what is wrong.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

type Checked = Result<(), String>;

fn int(value: &Value, what: &str) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("{what} is {value}, not a number of nanoseconds"))
}

/// Every start's phases are contiguous from 0 and add up; `phase_ns` agrees; `ready` is where the
/// start ends; start ids are unique; parents come before their children; `session.starts` counts.
pub fn timelines(trace: &Value) -> Checked {
    let starts = trace["starts"].as_array().ok_or("no starts")?;
    let ids: HashSet<&str> = starts.iter().filter_map(|s| s["start_id"].as_str()).collect();
    if ids.len() != starts.len() {
        return Err(format!("{} starts, but {} start ids", starts.len(), ids.len()));
    }
    let mut seen = HashSet::new();
    for start in starts {
        let id = start["start_id"].as_str().ok_or("a start without start_id")?;
        one(start).map_err(|why| format!("start {id}: {why}"))?;
        if let Some(parent) = start["parent"]["start_id"].as_str()
            && ids.contains(parent)
            && !seen.contains(parent)
        {
            return Err(format!("start {id} comes before its parent {parent}"));
        }
        seen.insert(id);
    }
    let counted = &trace["session"]["starts"];
    if counted.as_u64() != Some(starts.len() as u64) {
        return Err(format!("session.starts is {counted}, but there are {}", starts.len()));
    }
    Ok(())
}

fn one(start: &Value) -> Checked {
    let expected = format!("{}/{}", start["id"].as_str().unwrap_or(""), start["seq"]);
    if start["start_id"] != expected {
        return Err(format!("id and seq make {expected:?}"));
    }
    let timeline = &start["timeline"];
    let duration = int(&timeline["duration_ns"], "duration_ns")?;
    let ready = int(&timeline["ready"]["at_ns"], "ready.at_ns")?;
    if ready != duration {
        return Err(format!("ready at {ready} but lasts {duration}"));
    }
    let mut at = 0;
    let mut sums = BTreeMap::new();
    for phase in timeline["phases"].as_array().ok_or("no phases")? {
        let name = phase["name"].as_str().ok_or("a phase without a name")?;
        let (begins, lasts) = (int(&phase["at_ns"], name)?, int(&phase["duration_ns"], name)?);
        if begins != at {
            return Err(format!("phase {name} begins at {begins}, the one before ends at {at}"));
        }
        at += lasts;
        *sums.entry(name).or_insert(0) += lasts;
        if let Some(index) = phase["exec"].as_u64()
            && start["execs"].get(index as usize).is_none()
        {
            return Err(format!("phase {name} belongs to exec {index}, which is not there"));
        }
    }
    if at != duration {
        return Err(format!("phases add up to {at}, duration_ns is {duration}"));
    }
    if timeline["phase_ns"] != json!(sums) {
        return Err(format!("phase_ns is {}, phases say {}", timeline["phase_ns"], json!(sums)));
    }
    spent(timeline, duration)?;
    let mut last = 0;
    for exec in start["execs"].as_array().ok_or("no execs")? {
        let at = int(&exec["at_ns"], "an exec's at_ns")?;
        if at < last {
            return Err(format!("execs are not in order of time: {at} after {last}"));
        }
        last = at;
    }
    Ok(())
}

/// Every nanosecond of the main thread is in one state and every nanosecond of the start on the critical
/// path; waits are in order of time and within the start.
fn spent(timeline: &Value, duration: u64) -> Checked {
    let states = &timeline["states"];
    let path = timeline["critical_path"].as_array().ok_or("no critical path")?;
    let waits = timeline["waits"].as_array().ok_or("no waits")?;
    let path_ns = timeline["path_ns"].as_object().ok_or("no path_ns")?;
    if states.is_null() {
        if !(path.is_empty() && waits.is_empty() && path_ns.is_empty()) {
            return Err("a path or waits, but no states".into());
        }
        return Ok(());
    }
    let mut sum = 0;
    for name in ["creating_ns", "running_ns", "runnable_ns", "exited_ns", "unknown_ns"] {
        sum += int(&states[name], name)?;
    }
    for (name, ns) in states["blocked"].as_object().ok_or("no blocked")? {
        sum += int(ns, name)?;
    }
    if sum != duration {
        return Err(format!("states add up to {sum}, duration_ns is {duration}: {states}"));
    }
    if states["creating_ns"].as_u64() != Some(timeline["phase_ns"]["fork"].as_u64().unwrap_or(0)) {
        return Err(format!("creating is not the phase fork: {states}"));
    }
    let mut at = 0;
    let mut by_state: BTreeMap<&str, u64> = BTreeMap::new();
    for segment in path {
        let state = segment["state"].as_str().ok_or("a segment without a state")?;
        let (begins, lasts) = (int(&segment["at_ns"], state)?, int(&segment["duration_ns"], state)?);
        if begins != at || lasts == 0 {
            return Err(format!("segment {segment} after {at}"));
        }
        if segment["start_id"].as_str().is_none_or(str::is_empty) {
            return Err(format!("segment {segment} is of no start"));
        }
        if let Some(holder) = segment.get("holder") {
            held(holder, lasts)?;
            if state != "runnable" {
                return Err(format!("segment {segment} has a holder"));
            }
        }
        at += lasts;
        let Some(folded) = segment.get("folded") else {
            *by_state.entry(state).or_insert(0) += lasts;
            continue;
        };
        let mut sum = 0;
        for (state, ns) in ["own_ns", "others_ns"].iter().filter_map(|of| folded[of].as_object()).flatten() {
            *by_state.entry(state).or_insert(0) += int(ns, state)?;
            sum += int(ns, state)?;
        }
        if sum != lasts {
            return Err(format!("segment {segment} is of pieces of {sum}"));
        }
    }
    if at != duration {
        return Err(format!("the critical path adds up to {at}, duration_ns is {duration}"));
    }
    let sums: u64 = path_ns.values().filter_map(Value::as_u64).sum();
    if sums != duration || timeline["path_ns"] != json!(by_state) {
        return Err(format!("path_ns is {}, segments say {}", timeline["path_ns"], json!(by_state)));
    }
    let mut last = 0;
    for wait in waits {
        let (begins, lasts) = (int(&wait["at_ns"], "a wait")?, int(&wait["duration_ns"], "a wait")?);
        let runnable = int(&wait["runnable_ns"], "a wait")?;
        let end = begins + lasts + runnable;
        if let Some(holder) = wait.get("holder") {
            held(holder, runnable)?;
        }
        if begins < last || end > duration || end - begins < 100_000 {
            return Err(format!("wait {wait} after {last}, of {duration}"));
        }
        last = begins;
    }
    Ok(())
}

/// Nobody had the CPU for longer than it was waited for.
fn held(holder: &Value, waited: u64) -> Checked {
    match holder["held_ns"].as_u64() {
        Some(ns) if ns > waited => Err(format!("{holder} in {waited} ns")),
        _ if waited == 0 => Err(format!("{holder} where nobody waited")),
        _ => Ok(()),
    }
}

/// The JSON document that NDJSON lines stand for: later `exit` and `method` lines are put into their
/// starts, and parents come first.
pub fn join_lines(bytes: &[u8]) -> Result<Value, String> {
    let mut document = Map::new();
    let mut starts: Vec<Value> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut failed_forks: Vec<Value> = Vec::new();
    let mut footer = false;
    for (n, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let text = format!("line {}", n + 1);
        let mut value: Value = serde_json::from_slice(line).map_err(|e| format!("{text}: {e}"))?;
        let fields = value.as_object_mut().ok_or(format!("{text}: no object"))?;
        let kind = fields.remove("type").unwrap_or_default();
        match kind.as_str() {
            Some("header") => document.append(fields),
            Some("start") => {
                let id = fields["start_id"].as_str().unwrap_or("").to_owned();
                if index.insert(id.clone(), starts.len()).is_some() {
                    return Err(format!("{text}: {id} was written before"));
                }
                starts.push(value);
            }
            Some(kind @ ("exit" | "method")) => {
                let id = fields["start_id"].as_str().unwrap_or("");
                let at = *index.get(id).ok_or(format!("{text}: no start {id:?}"))?;
                starts[at][kind] = fields[kind].take();
            }
            Some("failed_fork") => failed_forks.push(value),
            Some("footer") => {
                document.append(fields);
                footer = true;
            }
            _ => return Err(format!("{text}: type {kind}")),
        }
    }
    if !footer {
        return Err("no footer".into());
    }
    document.insert("starts".into(), parents_first(starts));
    document.insert("failed_forks".into(), failed_forks.into());
    Ok(Value::Object(document))
}

fn parents_first(mut waiting: Vec<Value>) -> Value {
    let mut unplaced: HashSet<String> =
        waiting.iter().filter_map(|s| s["start_id"].as_str().map(str::to_owned)).collect();
    let mut sorted = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let before = waiting.len();
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|start| {
            start["parent"]["start_id"].as_str().is_none_or(|parent| !unplaced.contains(parent))
        });
        for start in &ready {
            unplaced.remove(start["start_id"].as_str().unwrap_or(""));
        }
        sorted.extend(ready);
        waiting = rest;
        if waiting.len() == before {
            // A circle of parents: left as it is, for `timelines` to find.
            sorted.append(&mut waiting);
        }
    }
    Value::Array(sorted)
}
