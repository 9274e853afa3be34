//! A start at a glance: what a report or a comparison of a million starts needs of each, into one [`Start`] that is used
//! again and again, so that nothing is allocated for it.
//!
//! What is not filled in is empty, as if the trace did not have it. A record that is not as startrace writes it (escapes
//! in what is wanted, a field twice, another type) is no less good: it gives `None`, and is parsed whole.

use super::scan::Scan;
use crate::trace::schema::{
    Binary, Exec, Exit, Finding, Folded, Phase, ProcessRef, Ready, Segment, Start, Timeline,
};
use std::collections::BTreeMap;

/// How much of each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What it is, its parent, times, phases and end. Of a start that has no parent in the trace its critical path too,
    /// as far as it says whose time it is, and the sums of it.
    Outline,
    /// The same, and of every start the ELF file's facts, the sums of phases and of the critical path, and which findings
    /// it has at which cost.
    Sums,
}

/// Which fields were there: none may be there twice, and some have to be.
#[derive(Default)]
struct Fields(u32);

impl Fields {
    /// `None` the second time.
    fn once(&mut self, field: u32) -> Option<()> {
        let new = self.0 & 1 << field == 0;
        self.0 |= 1 << field;
        new.then_some(())
    }

    fn has(&self, field: u32) -> bool {
        self.0 & 1 << field != 0
    }

    /// All of the first `n`.
    fn all(&self, n: u32) -> Option<()> {
        let wanted = (1 << n) - 1;
        (self.0 & wanted == wanted).then_some(())
    }
}

/// Fills in what a record says.
pub(super) fn glance(record: &[u8], detail: Detail, start: &mut Start) -> Option<()> {
    let mut scan = Scan::new(record);
    let mut fields = Fields::default();
    start.env = None;
    scan.fields(|scan, key| {
        match key {
            b"start_id" => {
                fields.once(0)?;
                scan.text(&mut start.start_id)?;
            }
            b"id" => {
                fields.once(1)?;
                scan.text(&mut start.id)?;
            }
            b"seq" => {
                fields.once(2)?;
                start.seq = small(scan)?;
            }
            b"partial" => {
                fields.once(3)?;
                start.partial = scan.truth()?;
            }
            b"pid" => {
                fields.once(4)?;
                start.pid = small(scan)?;
            }
            b"comm" => {
                fields.once(5)?;
                scan.text(&mut start.comm)?;
            }
            b"method" => {
                fields.once(6)?;
                let mut named = false;
                scan.fields(|scan, key| {
                    if key != b"name" {
                        scan.skip()?;
                        return Some(true);
                    }
                    named = true;
                    scan.text(&mut start.method.name)?;
                    Some(false)
                })?;
                named.then_some(())?;
            }
            b"execs" => {
                fields.once(7)?;
                execs(scan, &mut start.execs)?;
            }
            b"timeline" => {
                fields.once(8)?;
                // Whether it has one decides how much of its critical path is wanted.
                fields.has(9).then_some(())?;
                let root = start.parent.as_ref().is_none_or(|parent| parent.start_id.is_none());
                timeline(scan, detail, root, &mut start.timeline)?;
            }
            b"parent" => {
                fields.once(9)?;
                process(scan, &mut start.parent)?;
            }
            b"exe" => {
                fields.once(10)?;
                scan.optional(&mut start.exe)?;
            }
            b"argv" => {
                fields.once(11)?;
                arguments(scan, &mut start.argv)?;
            }
            b"exit" => {
                fields.once(12)?;
                exit(scan, &mut start.exit)?;
            }
            b"binary" if detail == Detail::Sums => {
                fields.once(13)?;
                binary(scan, &mut start.binary)?;
            }
            b"findings" if detail == Detail::Sums => {
                fields.once(14)?;
                findings(scan, &mut start.findings)?;
            }
            // Rare, and of any names.
            b"env" => return None,
            _ => scan.skip()?,
        }
        Some(true)
    })?;
    // A parent that is not mentioned would have been missed above.
    fields.all(10)?;
    if !fields.has(10) {
        start.exe = None;
    }
    if !fields.has(11) {
        start.argv = None;
    }
    if !fields.has(12) {
        start.exit = None;
    }
    if !fields.has(13) {
        start.binary = None;
    }
    if !fields.has(14) {
        start.findings.clear();
    }
    scan.end()
}

fn small(scan: &mut Scan<'_>) -> Option<u32> {
    u32::try_from(scan.number()?).ok()
}

fn optional_small(scan: &mut Scan<'_>) -> Option<Option<u32>> {
    if scan.null() { Some(None) } else { Some(Some(small(scan)?)) }
}

fn optional_number(scan: &mut Scan<'_>) -> Option<Option<u64>> {
    if scan.null() { Some(None) } else { Some(Some(scan.number()?)) }
}

/// The elements of a list into one that is there already.
fn list<T: Default>(
    scan: &mut Scan<'_>,
    into: &mut Vec<T>,
    mut each: impl FnMut(&mut Scan<'_>, &mut T) -> Option<()>,
) -> Option<()> {
    let mut n = 0;
    scan.elements(|scan| {
        if n == into.len() {
            into.push(T::default());
        }
        each(scan, into.get_mut(n)?)?;
        n += 1;
        Some(())
    })?;
    into.truncate(n);
    Some(())
}

fn arguments(scan: &mut Scan<'_>, into: &mut Option<Vec<String>>) -> Option<()> {
    if scan.null() {
        *into = None;
        return Some(());
    }
    list(scan, into.get_or_insert_default(), |scan, argument| scan.text(argument))
}

fn process(scan: &mut Scan<'_>, into: &mut Option<ProcessRef>) -> Option<()> {
    if scan.null() {
        *into = None;
        return Some(());
    }
    let process = into.get_or_insert_default();
    let mut fields = Fields::default();
    scan.fields(|scan, key| {
        match key {
            b"pid" => {
                fields.once(0)?;
                process.pid = small(scan)?;
            }
            b"start_id" => {
                fields.once(1)?;
                scan.optional(&mut process.start_id)?;
            }
            b"id" => {
                fields.once(2)?;
                scan.optional(&mut process.id)?;
            }
            b"comm" => {
                fields.once(3)?;
                scan.optional(&mut process.comm)?;
            }
            _ => scan.skip()?,
        }
        Some(true)
    })?;
    fields.all(4)
}

/// Of each only its error: how many there are, and how many failed.
fn execs(scan: &mut Scan<'_>, into: &mut Vec<Exec>) -> Option<()> {
    list(scan, into, |scan, exec| {
        let mut fields = Fields::default();
        scan.fields(|scan, key| {
            if key == b"error" {
                fields.once(0)?;
                scan.optional(&mut exec.error)?;
            } else {
                scan.skip()?;
            }
            Some(true)
        })?;
        fields.all(1)
    })
}

fn exit(scan: &mut Scan<'_>, into: &mut Option<Exit>) -> Option<()> {
    if scan.null() {
        *into = None;
        return Some(());
    }
    let exit = into.get_or_insert_default();
    exit.killed_by = None;
    let mut fields = Fields::default();
    scan.fields(|scan, key| {
        match key {
            b"code" => {
                fields.once(0)?;
                exit.code = match optional_small(scan)? {
                    Some(code) => Some(i32::try_from(code).ok()?),
                    None => None,
                };
            }
            b"signal" => {
                fields.once(1)?;
                scan.optional(&mut exit.signal)?;
            }
            b"core" => {
                fields.once(2)?;
                exit.core = scan.truth()?;
            }
            b"killed_by" => {
                fields.once(3)?;
                process(scan, &mut exit.killed_by)?;
            }
            _ => scan.skip()?,
        }
        Some(true)
    })?;
    fields.all(3)
}

fn binary(scan: &mut Scan<'_>, into: &mut Option<Binary>) -> Option<()> {
    if scan.null() {
        *into = None;
        return Some(());
    }
    let binary = into.get_or_insert_default();
    let mut fields = Fields::default();
    scan.fields(|scan, key| {
        match key {
            b"linkage" => {
                fields.once(0)?;
                scan.optional(&mut binary.linkage)?;
            }
            b"build_id" => {
                fields.once(1)?;
                scan.optional(&mut binary.build_id)?;
            }
            b"interpreter" => {
                fields.once(2)?;
                scan.optional(&mut binary.interpreter)?;
            }
            b"needed" => {
                fields.once(3)?;
                binary.needed = optional_small(scan)?;
            }
            b"relocations" => {
                fields.once(4)?;
                binary.relocations = optional_number(scan)?;
            }
            b"runtime" => {
                fields.once(5)?;
                scan.optional(&mut binary.runtime)?;
            }
            _ => scan.skip()?,
        }
        Some(true)
    })?;
    fields.all(6)
}

fn findings(scan: &mut Scan<'_>, into: &mut Vec<Finding>) -> Option<()> {
    list(scan, into, |scan, finding| {
        let mut fields = Fields::default();
        scan.fields(|scan, key| {
            match key {
                b"id" => {
                    fields.once(0)?;
                    scan.text(&mut finding.id)?;
                }
                b"cost_ns" => {
                    fields.once(1)?;
                    finding.cost_ns = optional_number(scan)?;
                }
                _ => scan.skip()?,
            }
            Some(true)
        })?;
        fields.all(2)
    })
}

fn timeline(scan: &mut Scan<'_>, detail: Detail, root: bool, into: &mut Timeline) -> Option<()> {
    let mut fields = Fields::default();
    let sums = root || detail == Detail::Sums;
    scan.fields(|scan, key| {
        match key {
            b"origin_boottime_ns" => {
                fields.once(0)?;
                into.origin_boottime_ns = scan.number()?;
            }
            b"duration_ns" => {
                fields.once(1)?;
                into.duration_ns = scan.number()?;
            }
            b"ready" => {
                fields.once(2)?;
                ready(scan, &mut into.ready)?;
            }
            b"phases" => {
                fields.once(3)?;
                phases(scan, &mut into.phases)?;
                // Nothing else of it: past what is mostly the longest part of a record.
                return Some(sums || fields.all(4).is_none());
            }
            b"phase_ns" if sums => {
                fields.once(4)?;
                by_name(scan, &mut into.phase_ns)?;
            }
            b"path_ns" if sums => {
                fields.once(5)?;
                by_name(scan, &mut into.path_ns)?;
            }
            // Which libraries there were. Deep traces are short.
            b"files" if detail == Detail::Sums => scan.null().then_some(())?,
            b"critical_path" if root => {
                fields.once(6)?;
                path(scan, &mut into.critical_path)?;
            }
            _ => scan.skip()?,
        }
        Some(true)
    })?;
    fields.all(4)?;
    if sums {
        fields.has(4).then_some(())?;
    } else {
        into.phase_ns.clear();
    }
    if !fields.has(5) {
        into.path_ns.clear();
    }
    if !fields.has(6) {
        into.critical_path.clear();
    }
    Some(())
}

fn ready(scan: &mut Scan<'_>, into: &mut Ready) -> Option<()> {
    let mut fields = Fields::default();
    scan.fields(|scan, key| {
        match key {
            b"kind" => {
                fields.once(0)?;
                scan.text(&mut into.kind)?;
            }
            b"detail" => {
                fields.once(1)?;
                scan.optional(&mut into.detail)?;
            }
            _ => scan.skip()?,
        }
        Some(true)
    })?;
    fields.all(2)
}

fn phases(scan: &mut Scan<'_>, into: &mut Vec<Phase>) -> Option<()> {
    list(scan, into, |scan, phase| {
        let mut fields = Fields::default();
        scan.fields(|scan, key| {
            match key {
                b"name" => {
                    fields.once(0)?;
                    scan.text(&mut phase.name)?;
                }
                b"at_ns" => {
                    fields.once(1)?;
                    phase.at_ns = scan.number()?;
                }
                b"duration_ns" => {
                    fields.once(2)?;
                    phase.duration_ns = scan.number()?;
                }
                _ => scan.skip()?,
            }
            Some(true)
        })?;
        fields.all(3)
    })
}

/// Whose each piece is, and not in which state.
fn path(scan: &mut Scan<'_>, into: &mut Vec<Segment>) -> Option<()> {
    list(scan, into, |scan, segment| {
        let mut fields = Fields::default();
        scan.fields(|scan, key| {
            match key {
                b"at_ns" => {
                    fields.once(0)?;
                    segment.at_ns = scan.number()?;
                }
                b"duration_ns" => {
                    fields.once(1)?;
                    segment.duration_ns = scan.number()?;
                }
                b"start_id" => {
                    fields.once(2)?;
                    scan.text(&mut segment.start_id)?;
                }
                b"tid" => {
                    fields.once(3)?;
                    segment.tid = small(scan)?;
                }
                b"folded" => {
                    fields.once(4)?;
                    if scan.null() {
                        segment.folded = None;
                    } else {
                        folded(scan, segment.folded.get_or_insert_default())?;
                    }
                }
                _ => scan.skip()?,
            }
            Some(true)
        })?;
        if !fields.has(4) {
            segment.folded = None;
        }
        fields.all(4)
    })
}

/// Whose the pieces are that were put together.
fn folded(scan: &mut Scan<'_>, into: &mut Folded) -> Option<()> {
    let mut fields = Fields::default();
    scan.fields(|scan, key| {
        match key {
            b"pieces" => {
                fields.once(0)?;
                into.pieces = scan.number()?;
            }
            b"own_ns" => {
                fields.once(1)?;
                by_name(scan, &mut into.own_ns)?;
            }
            b"others_ns" => {
                fields.once(2)?;
                by_name(scan, &mut into.others_ns)?;
            }
            _ => scan.skip()?,
        }
        Some(true)
    })?;
    if !fields.has(1) {
        into.own_ns.clear();
    }
    if !fields.has(2) {
        into.others_ns.clear();
    }
    fields.all(1)
}

/// Times by name. Most starts have the same names: only the numbers are written anew then.
fn by_name(scan: &mut Scan<'_>, into: &mut BTreeMap<String, u64>) -> Option<()> {
    let begin = *scan;
    let mut places = into.iter_mut();
    let mut same = true;
    scan.fields(|scan, name| {
        let value = scan.number()?;
        match places.next() {
            Some((known, place)) if known.as_bytes() == name => *place = value,
            _ => same = false,
        }
        Some(true)
    })?;
    if same && places.next().is_none() {
        return Some(());
    }
    *scan = begin;
    into.clear();
    scan.fields(|scan, name| {
        into.insert(std::str::from_utf8(name).ok()?.to_owned(), scan.number()?);
        Some(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::read;
    use crate::trace::schema::Severity;
    use std::path::Path;

    /// What a glance at a start has to give.
    fn projected(whole: &Start, detail: Detail) -> Start {
        let mut out = Start::default();
        let root = whole.parent.as_ref().is_none_or(|parent| parent.start_id.is_none());
        let sums = root || detail == Detail::Sums;
        out.start_id.clone_from(&whole.start_id);
        out.id.clone_from(&whole.id);
        (out.seq, out.partial, out.pid) = (whole.seq, whole.partial, whole.pid);
        out.comm.clone_from(&whole.comm);
        out.parent.clone_from(&whole.parent);
        out.method.name.clone_from(&whole.method.name);
        out.exe.clone_from(&whole.exe);
        out.argv.clone_from(&whole.argv);
        let exec = |exec: &Exec| Exec {
            at_ns: 0,
            duration_ns: None,
            path: None,
            interpreter: None,
            script: None,
            error: exec.error.clone(),
        };
        out.execs = whole.execs.iter().map(exec).collect();
        out.exit = whole.exit.clone().map(|exit| Exit { at_ns: 0, ..exit });
        let (to, from) = (&mut out.timeline, &whole.timeline);
        (to.origin_boottime_ns, to.duration_ns) = (from.origin_boottime_ns, from.duration_ns);
        to.ready = Ready { at_ns: 0, inferred: false, ..from.ready.clone() };
        to.phases = from.phases.iter().map(|phase| Phase { exec: None, ..phase.clone() }).collect();
        if sums {
            to.phase_ns.clone_from(&from.phase_ns);
            to.path_ns.clone_from(&from.path_ns);
        }
        if root {
            let bare = |segment: &Segment| Segment {
                phase: None,
                state: String::new(),
                detail: None,
                holder: None,
                folded: segment.folded.as_ref().map(|folded| {
                    let Folded { pieces, own_ns, others_ns, .. } = (**folded).clone();
                    Box::new(Folded { pieces, own_ns, others_ns, ..Folded::default() })
                }),
                ..segment.clone()
            };
            to.critical_path = from.critical_path.iter().map(bare).collect();
        }
        if detail == Detail::Sums {
            out.binary =
                whole.binary.clone().map(|binary| Binary { program: None, misnamed: None, ..binary });
            let bare = |finding: &Finding| Finding {
                severity: Severity::Info,
                basis: None,
                summary: String::new(),
                evidence: BTreeMap::new(),
                advice: String::new(),
                ..finding.clone()
            };
            out.findings = whole.findings.iter().map(bare).collect();
        }
        out
    }

    fn samples() -> Vec<Start> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces");
        let mut out = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                out.extend(read::load(&path).unwrap().starts);
            }
        }
        assert!(out.len() > 10);
        out
    }

    #[test]
    fn a_glance_shows_what_the_whole_holds() {
        let mut seen = 0;
        for detail in [Detail::Outline, Detail::Sums] {
            // Each one over what is left of the one before.
            let mut scratch = Start::default();
            for start in samples() {
                // All optional fields are there, as startrace writes them now.
                for record in
                    [serde_json::to_string(&start).unwrap(), serde_json::to_string_pretty(&start).unwrap()]
                {
                    if glance(record.as_bytes(), detail, &mut scratch).is_some() {
                        seen += 1;
                        assert_eq!(scratch, projected(&start, detail), "{record}");
                    } else {
                        assert!(
                            record.contains('\\') || start.timeline.files.is_some() || start.env.is_some(),
                            "{record}"
                        );
                    }
                }
            }
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn what_is_odd_is_left_to_the_parser() {
        let start = samples().into_iter().find(|start| start.argv.is_some()).unwrap();
        let record = serde_json::to_string(&start).unwrap();
        let takes =
            |record: &str| glance(record.as_bytes(), Detail::Outline, &mut Start::default()).is_some();
        assert!(takes(&record));
        let pid = format!("\"pid\":{},", start.pid);
        for (old, new) in [
            (&*pid, ""),
            (&*pid, "\"pid\":-1,"),
            (&*pid, "\"pid\":1.5,"),
            (&*pid, "\"pid\":1e3,"),
            (&*pid, "\"pid\":01,"),
            (&*pid, "\"pid\":4294967296,"),
            (&*pid, "\"pid\":18446744073709551616,"),
            (&*pid, "\"pid\":\"1\","),
            (&*pid, "\"pid\":1,\"pid\":1,"),
            (&*pid, "\"pid\":1,,"),
            ("\"argv\":[\"", "\"argv\":[\"\\u0041"),
            ("\"argv\":[\"", "\"argv\":[\"\u{1}"),
            ("\"argv\":[\"", "\"argv\":[,\""),
            ("\"partial\":false", "\"partial\":no"),
            ("\"partial\":false", "\"partial\":falsehood"),
        ] {
            let odd = record.replacen(old, new, 1);
            assert_ne!(odd, record, "{old}");
            assert!(!takes(&odd), "{new}");
        }
        // Cut off anywhere it is not whole, and more than it is too much.
        for end in 0..record.len() {
            assert!(!record.is_char_boundary(end) || !takes(&record[..end]), "{end}");
        }
        assert!(!takes(&format!("{record}}}")) && takes(&format!(" {record} ")));
        let mut bytes = record.into_bytes();
        let at = bytes.windows(4).position(|four| four == b"comm").unwrap() + 7;
        *bytes.get_mut(at).unwrap() = 0xff;
        assert!(glance(&bytes, Detail::Outline, &mut Start::default()).is_none(), "not UTF-8");
    }
}
