//! Finds the starts that a row means in a trace, and compares what they are with what they should be.

use super::table::{Expect, Row};
use serde_json::Value;
use std::collections::HashMap;

/// What the classifier said of one start, against the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub grade: Grade,
    /// Primitive and mechanism are as the table says.
    pub kernel: bool,
    pub library: bool,
    pub pattern: bool,
    pub confidence: String,
    /// For people, where it is not exact.
    pub why: String,
}

/// How right a classification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// All four names.
    Exact,
    /// What is named is right, but the library or the pattern is left open.
    Partly,
    /// Something is named that it is not.
    Wrong,
}

/// Judges a trace; the error says which start is not there.
pub fn judge(row: &Row, root: &str, trace: &Value, stdout: &str) -> Result<Vec<Verdict>, String> {
    let starts = trace["starts"].as_array().map_or(&[][..], Vec::as_slice);
    let by_id: HashMap<&str, &Value> =
        starts.iter().filter_map(|start| Some((start["start_id"].as_str()?, start))).collect();
    let mut verdicts = Vec::new();
    for expect in row.expect.iter().filter(|expect| expect.is_for(root)) {
        let pids = match &expect.role {
            Some(pointer) => Some(told(stdout, pointer)?),
            None => None,
        };
        // What was in the middle of its start when it was met has no creation that could be named.
        let found: Vec<&Value> = starts
            .iter()
            .filter(|start| !row.attach || start["partial"] != true)
            .filter(|start| meant(expect, start, pids.as_deref(), &by_id))
            .collect();
        let wanted = pids.as_ref().map_or(expect.min, |pids| expect.min.max(pids.len()));
        if found.len() < wanted || expect.max.is_some_and(|max| found.len() > max) {
            return Err(format!(
                "{} starts are like {}, not {wanted}; the trace has {}",
                found.len(),
                describe(expect),
                outline(starts)
            ));
        }
        for start in found {
            says(expect, start)?;
            asked(expect, start, &by_id)?;
            verdicts.push(verdict(expect, start)?);
        }
    }
    Ok(verdicts)
}

/// The pids that the program tells for a role.
fn told(stdout: &str, pointer: &str) -> Result<Vec<u64>, String> {
    let mut lines = stdout.lines().filter(|line| line.starts_with('{'));
    let told: Value = lines
        .next()
        .and_then(|line| serde_json::from_str(line).ok())
        .ok_or_else(|| format!("it printed no JSON but {stdout:?}"))?;
    let value = told.pointer(pointer).ok_or_else(|| format!("no {pointer} in {told}"))?;
    let pids = match value {
        Value::Array(list) => list.iter().map(Value::as_u64).collect::<Option<Vec<_>>>(),
        one => one.as_u64().map(|pid| vec![pid]),
    };
    pids.filter(|pids| !pids.is_empty()).ok_or_else(|| format!("{pointer} is no pid in {told}"))
}

fn meant(expect: &Expect, start: &Value, pids: Option<&[u64]>, by_id: &HashMap<&str, &Value>) -> bool {
    let pid = start["pid"].as_u64().unwrap_or(0);
    let execs = start["execs"].as_array().is_some_and(|list| list.iter().any(|e| e["error"].is_null()));
    let exe = start["exe"].as_str().unwrap_or("").rsplit('/').next().unwrap_or("");
    let parent = start["parent"]["start_id"].as_str().and_then(|id| by_id.get(id));
    pids.is_none_or(|pids| pids.contains(&pid))
        && expect.execs.is_none_or(|wanted| wanted == execs)
        && expect.asked.is_none_or(|asked| asked != start["requested_by"].is_null())
        && expect.exe.as_deref().is_none_or(|wanted| like(wanted, exe))
        && expect.argv.as_deref().is_none_or(|wanted| arguments(wanted, &start["argv"]))
        && expect.by.as_deref().is_none_or(|by| parent.is_some_and(|parent| arguments(by, &parent["argv"])))
}

/// Do arguments fit a list with `*` and `...`?
fn arguments(wanted: &[String], argv: &Value) -> bool {
    argv.as_array().is_some_and(|argv| fits(wanted, argv))
}

fn fits(wanted: &[String], argv: &[Value]) -> bool {
    match wanted.split_first() {
        None => argv.is_empty(),
        Some((word, rest)) if word == "..." => (0..=argv.len()).any(|skip| fits(rest, &argv[skip..])),
        Some((word, rest)) => argv
            .split_first()
            .is_some_and(|(arg, more)| like(word, arg.as_str().unwrap_or("")) && fits(rest, more)),
    }
}

/// Does a text fit a pattern in which `*` stands for any text?
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            let Some(rest) = text.strip_prefix(head) else { return false };
            (0..=rest.len()).filter(|&at| rest.is_char_boundary(at)).any(|at| like(tail, &rest[at..]))
        }
    }
}

/// Is who asked for the start whom the table says?
fn asked(expect: &Expect, start: &Value, by_id: &HashMap<&str, &Value>) -> Result<(), String> {
    let Some(wanted) = &expect.asked_by else { return Ok(()) };
    let by = &start["requested_by"];
    let asker = by["start_id"].as_str().and_then(|id| by_id.get(id));
    match asker.is_some_and(|asker| arguments(wanted, &asker["argv"])) {
        true => Ok(()),
        false => Err(format!("{} is asked for by {by}, not {}", start["argv"], wanted.join(" "))),
    }
}

fn verdict(expect: &Expect, start: &Value) -> Result<Verdict, String> {
    let names = expect.names().map_err(|why| why.to_string())?;
    let method = &start["method"];
    let said = ["primitive", "mechanism", "library", "pattern"].map(|field| method[field].as_str());
    let right: [bool; 4] = std::array::from_fn(|place| names.allows(place, said[place]));
    let open = |place: usize| right[place] || said[place].is_none();
    let kernel = right[0] && right[1];
    let grade = match right {
        [true, true, true, true] => Grade::Exact,
        _ if kernel && open(2) && open(3) => Grade::Partly,
        _ => Grade::Wrong,
    };
    let confidence = method["confidence"].as_str().unwrap_or("?").to_owned();
    let why = if grade == Grade::Exact {
        String::new()
    } else {
        format!(
            "{} is {} ({confidence}), expected {}\n      {}",
            start["argv"],
            said.map(|name| name.unwrap_or("-")).join(" "),
            expect.is,
            method["evidence"].as_array().map_or(String::new(), |lines| {
                lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n      ")
            })
        )
    };
    Ok(Verdict { grade, kernel, library: right[2], pattern: right[3], confidence, why })
}

fn says(expect: &Expect, start: &Value) -> Result<(), String> {
    let Some(wanted) = &expect.says else { return Ok(()) };
    let lines = start["method"]["evidence"].as_array().map_or(&[][..], Vec::as_slice);
    if lines.iter().filter_map(Value::as_str).any(|line| line.contains(wanted.as_str())) {
        return Ok(());
    }
    Err(format!("the evidence of {} does not say {wanted:?}: {lines:?}", start["argv"]))
}

fn describe(expect: &Expect) -> String {
    let mut words = Vec::new();
    if let Some(argv) = &expect.argv {
        words.push(format!("argv {argv:?}"));
    }
    if let Some(role) = &expect.role {
        words.push(format!("role {role}"));
    }
    if let Some(exe) = &expect.exe {
        words.push(format!("exe {exe}"));
    }
    if let Some(execs) = expect.execs {
        words.push(if execs { "with exec" } else { "without exec" }.to_owned());
    }
    if let Some(by) = &expect.by {
        words.push(format!("by {by:?}"));
    }
    words.join(", ")
}

fn outline(starts: &[Value]) -> String {
    let line = |s: &Value| {
        let by = &s["parent"]["pid"];
        let execs = s["execs"].as_array().map_or(0, Vec::len);
        format!("\n      {} by {by}, {execs} execs, {}: {}", s["pid"], s["method"]["name"], s["argv"])
    };
    starts.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(expect: &str) -> Row {
        toml::from_str(&format!("family = 'libc'\nname = 'x'\nrun = ['x']\nexpect = [{expect}]")).unwrap()
    }

    fn trace() -> Value {
        let start = |id: &str, by: &str, argv: &[&str], pattern: Value, confidence: &str| {
            json!({"start_id": id, "pid": 7, "parent": {"start_id": by}, "argv": argv, "execs": [{"error": null}],
                "exe": "/usr/bin/true", "method": {"primitive": "clone", "mechanism": "fork_exec",
                "library": "glibc", "pattern": pattern, "confidence": confidence, "evidence": ["e"]}})
        };
        json!({"starts": [
            start("1", "0", &["sh", "-c", "x y"], Value::Null, "certain"),
            start("2", "1", &["true", "mark"], json!("batch"), "likely"),
        ]})
    }

    #[test]
    fn starts_are_found_by_arguments_creator_and_pid() {
        for (expect, n) in [
            ("{argv = ['true', 'mark'], is = 'clone fork_exec glibc batch'}", Some(1)),
            ("{argv = ['t*e', '...'], is = 'clone fork_exec glibc batch'}", Some(1)),
            ("{argv = ['true', '*'], by = ['sh', '...'], is = 'clone fork_exec glibc *'}", Some(1)),
            ("{argv = ['true'], is = 'clone fork_exec glibc batch'}", None),
            ("{argv = ['true', '...'], by = ['bash', '...'], is = 'clone fork_exec glibc batch'}", None),
            ("{exe = 'true', execs = true, min = 2, is = 'clone fork_exec glibc *'}", Some(2)),
            ("{exe = 'true', execs = false, is = 'clone fork_exec glibc *'}", None),
            ("{exe = 'true', max = 1, is = 'clone fork_exec glibc *'}", None),
            ("{role = '/a/0', is = 'clone fork_exec glibc *'}", Some(2)),
            ("{exe = 'true', says = 'e', is = 'clone fork_exec glibc *'}", Some(2)),
            ("{exe = 'true', says = 'f', is = 'clone fork_exec glibc *'}", None),
            ("{exe = 'true', roots = ['forky'], is = 'clone fork_exec glibc *'}", Some(0)),
        ] {
            let found = judge(&row(expect), "host", &trace(), "noise\n{\"a\": [7]}\n");
            assert_eq!(found.as_ref().ok().map(Vec::len), n, "{expect}: {found:?}");
        }
        let missing = row("{role = '/b', is = 'clone fork_exec glibc *'}");
        assert!(judge(&missing, "host", &trace(), "{\"a\": 1}").is_err());
        assert!(judge(&missing, "host", &trace(), "").is_err());
    }

    #[test]
    fn a_missing_name_is_partly_and_another_name_wrong() {
        for (is, grade) in [
            ("clone fork_exec glibc batch", Grade::Exact),
            ("clone fork_exec glibc|musl *", Grade::Exact),
            ("clone fork_exec glibc daemon", Grade::Wrong),
            ("clone fork_exec glibc -", Grade::Wrong),
            ("vfork vfork_exec glibc batch", Grade::Wrong),
            ("clone fork_exec musl batch", Grade::Wrong),
        ] {
            let row = row(&format!("{{argv = ['true', '*'], is = '{is}'}}"));
            let verdicts = judge(&row, "host", &trace(), "").unwrap();
            assert_eq!(verdicts[0].grade, grade, "{is}");
            assert_eq!(verdicts[0].confidence, "likely");
        }
        let open = row("{argv = ['sh', '...'], is = 'clone fork_exec glibc system'}");
        let verdicts = judge(&open, "host", &trace(), "").unwrap();
        assert_eq!(
            (verdicts[0].grade, verdicts[0].kernel, verdicts[0].pattern),
            (Grade::Partly, true, false)
        );
    }
}
