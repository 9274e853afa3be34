//! Identifiers of traces and spans, made from the trace's own, and the wall clock.

use crate::export::Outline;
use crate::trace::schema::Start;
use std::str::FromStr;

/// A W3C trace context: which trace, and which span of it is the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    trace: u128,
    span: u64,
}

impl FromStr for Context {
    type Err = String;

    /// `00-TRACE-SPAN-FLAGS`, as in the header `traceparent` and the variable TRACEPARENT
    /// (<https://www.w3.org/TR/trace-context/>).
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must look like 00-<32 hex digits>-<16 hex digits>-<2 hex digits>".to_owned();
        let mut parts = text.trim().split('-');
        let mut next = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length);
            part.filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(wrong)
        };
        let (version, trace, span, _flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let known = version == "00";
        // Later versions may have more parts; this one has not.
        if version.eq_ignore_ascii_case("ff") || (known && parts.next().is_some()) {
            return Err(wrong());
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| wrong())?;
        let span = u64::from_str_radix(span, 16).map_err(|_| wrong())?;
        if trace == 0 || span == 0 {
            return Err("has an identifier of zeros only, which stands for none".into());
        }
        Ok(Self { trace, span })
    }
}

/// The context in a start's environment, where that was recorded.
pub(crate) fn context_of(start: &Start) -> Option<Context> {
    start.env.as_ref()?.get("TRACEPARENT")?.parse().ok()
}

/// The context that a start was given itself: one that its parent has, too, is only passed on.
fn own_context(trace: &Outline, row: u32) -> Option<Context> {
    let own = *trace.contexts.get(&row)?;
    let parent = trace.digest.row(row).and_then(|row| row.parent);
    let above = parent.and_then(|parent| trace.contexts.get(&parent));
    (above != Some(&own)).then_some(own)
}

/// FNV-1a with a last mix: the same in every run and version, which std's hashers do not promise.
fn hash(seed: u64, text: &str) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325 ^ seed;
    for byte in text.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // The finaliser of MurmurHash3, for the high bits.
    state = (state ^ (state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state ^ (state >> 33)
}

/// The number of a start's span, before the boot is mixed in. Kept 8 bytes a start.
pub(crate) fn of_start(start_id: &str) -> u64 {
    hash(0, start_id)
}

/// What knows the identifiers of one trace file.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// The boot, as start ids are unique within it only.
    seed: u64,
    context: Option<Context>,
    /// Trace by row.
    traces: Vec<u128>,
}

impl Ids {
    pub(super) fn new(trace: &Outline, context: Option<Context>) -> Self {
        let host = &trace.header().host;
        let seed = hash(1, host.boot_id.as_deref().unwrap_or(&host.hostname));
        let session = trace.session().map_or("", |session| &*session.started_at);
        let digest = &trace.digest;
        let mut traces = vec![0; digest.rows.len()];
        let mut way = Vec::new();
        for row in 0..u32::try_from(digest.rows.len()).unwrap_or(u32::MAX) {
            let mut at = row;
            let found = loop {
                match traces.get(at as usize) {
                    Some(0) => {}
                    Some(&known) => break known,
                    None => break 1,
                }
                way.push(at);
                if let Some(own) = own_context(trace, at) {
                    break own.trace;
                }
                match digest.row(at).and_then(|row| row.parent) {
                    Some(parent) => at = parent,
                    None => break root(trace, at, seed, session, context),
                }
            };
            for row in way.drain(..) {
                if let Some(slot) = traces.get_mut(row as usize) {
                    *slot = found;
                }
            }
        }
        Self { seed, context, traces }
    }

    pub(super) fn trace(&self, row: u32) -> String {
        format!("{:032x}", self.traces.get(row as usize).copied().unwrap_or(1))
    }

    fn mixed(&self, key: u64) -> String {
        // A span id of zeros only is none.
        format!("{:016x}", (key ^ self.seed).max(1))
    }

    pub(super) fn span(&self, start_id: &str) -> String {
        self.mixed(of_start(start_id))
    }

    /// The span of the start that this one was started by.
    pub(super) fn parent(&self, trace: &Outline, row: u32) -> Option<String> {
        if let Some(own) = own_context(trace, row) {
            return Some(format!("{:016x}", own.span));
        }
        match trace.digest.row(row)?.parent {
            Some(parent) => Some(self.mixed(*trace.start_keys.get(parent as usize)?)),
            None => self.context.map(|context| format!("{:016x}", context.span)),
        }
    }
}

/// The trace of all starts below this one: that of the context; one for all children of a process that
/// was there before the recording; one of its own.
fn root(trace: &Outline, row: u32, seed: u64, session: &str, context: Option<Context>) -> u128 {
    if let Some(context) = context {
        return context.trace;
    }
    let outside = trace.digest.row(row).and_then(|row| row.outside);
    let outside = outside.and_then(|i| trace.digest.outside.get(i as usize));
    let key = match outside {
        Some(process) => format!("{session} {}", process.pid),
        None => format!("{:x}", trace.start_keys.get(row as usize).copied().unwrap_or(0)),
    };
    (u128::from(hash(seed, &key)) << 64 | u128::from(hash(!seed, &key))).max(1)
}

/// Nanoseconds since 1970 of a start's origin; `None` where the file does not tell properly.
pub(crate) fn wall(start: &Start) -> Option<u64> {
    let time = humantime::parse_rfc3339_weak(&start.timeline.started_at).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_contexts_are_read_strictly() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context: Context = text.parse().unwrap();
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span, 0x00f0_67aa_0ba9_02b7);
        assert!(text.replacen("00", "01", 1).parse::<Context>().is_ok());
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(bad.parse::<Context>().is_err(), "{bad}");
        }
    }

    #[test]
    fn identifiers_stay_the_same_for_ever() {
        assert_eq!(of_start("4242@81236123456789/0"), of_start("4242@81236123456789/0"));
        assert_ne!(of_start("4242@81236123456789/0"), of_start("4242@81236123456789/1"));
        // Two exports by two versions have to agree: this number must not change.
        assert_eq!(of_start("a"), 0xed81_70de_1919_a24d);
    }
}
