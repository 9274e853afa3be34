//! `fsync`: a start waits until what it wrote is on storage.

use crate::diagnose::case::{Case, measured, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::{Segment, Wait};

pub(crate) struct Fsync;

const PAGE: Page = Page {
    what: "A start waits in fsync, fdatasync, msync or sync until its data is on storage.",
    why: "Each waits for the device's own cache, 1 to 30 ms on a disk, and for what others have written to the same file system.",
    measured: "Waits in these calls, on the critical path.",
    fix: "Write once instead of many times, sync after being ready or from another thread, keep what can be made again in a tmpfs; data bases: create the schema in one transaction.",
    mistaken: "Where the data must survive a crash before the program is ready, the wait is right.",
};

/// Is a wait for data to be on storage?
pub(super) fn is_sync(wait: &Wait) -> bool {
    matches!(
        wait.syscall.as_deref(),
        Some("fsync" | "fdatasync" | "msync" | "sync" | "syncfs" | "sync_file_range")
    )
}

/// Waits of less than 100 us, which are told by their sum only.
pub(super) fn is_short(segment: &Segment) -> bool {
    segment.detail.as_deref() == Some("short waits")
}

/// Short waits for the disk have no call to them: where nearly all others were in these calls, so were they.
pub(super) fn short_waits_are_syncs(case: &Case<'_>) -> bool {
    let disk = || case.start.timeline.waits.iter().take(20_000).filter(|wait| wait.kind == "disk");
    let syncs = disk().filter(|wait| is_sync(wait)).count();
    syncs > 0 && syncs * 10 >= disk().count() * 9
}

impl Rule for Fsync {
    fn id(&self) -> &'static str {
        "fsync"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn is_circumstance(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let (mut ns, mut n, mut claims) = (0u64, 0u64, Vec::new());
        for on in case.waits_where(is_sync) {
            ns = ns.saturating_add(on.ns);
            n += 1;
            claims.extend(on.claims);
        }
        if short_waits_are_syncs(case) {
            let short = case.own_in(&["disk"]).filter(|segment| is_short(segment));
            let (short_ns, of) = case.claims(short);
            ns = ns.saturating_add(short_ns);
            claims.extend(of);
        }
        if !case.is_worth(ns, case.thresholds.all.min_cost) {
            return Vec::new();
        }
        let who = case.who(&claims);
        let hit = Hit::new(who.program, "waiting until written data is on storage")
            .says(format!(
                "{} waited {} in fsync and the like, {}",
                who.name,
                time(ns),
                crate::words::counted(n, "time")
            ))
            .advises("Do not sync during the start, or sync once, or beside other work")
            .shows("waited_ns", ns)
            .shows("waits", n);
        vec![measured(hit, ns, claims)]
    }
}
