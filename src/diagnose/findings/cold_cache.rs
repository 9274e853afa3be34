//! `cold-cache`: what the start needs has to be read from storage.

use crate::diagnose::case::{Case, by_name, listed, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::{Segment, Wait};

pub(crate) struct ColdCache;

const PAGE: Page = Page {
    what: "A start waits for storage: for files, or for pages of programs and libraries that are not in memory.",
    why: "The first start after a boot, a deployment or memory pressure reads everything from storage, page by page, in the order in which it is touched.",
    measured: "Waits for the disk and for page faults with I/O, on the critical path, but for those in fsync and for files of /sys and /proc.",
    fix: "Read ahead what a start needs (vmtouch, systemd's readahead of a list of files, posix_fadvise), smaller images and fewer files, faster storage, memory.low for the service's page cache. Measure a warm start to know what is left.",
    mistaken: "Writing counts as well, where a write has to wait for storage. On a machine that keeps the files in memory it is rare: the second start says whether it happens again.",
};

/// What the kernel itself is behind lies on no storage: who writes into a cgroup.procs waits for the kernel.
fn is_kernels(wait: &Wait) -> bool {
    wait.detail.as_deref().is_some_and(|file| file.starts_with("/sys/") || file.starts_with("/proc/"))
}

impl Rule for ColdCache {
    fn id(&self) -> &'static str {
        "cold-cache"
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
        let syncs: Vec<(u64, u64)> = (case.start.timeline.waits.iter().take(20_000))
            .filter(|wait| super::fsync::is_sync(wait) || is_kernels(wait))
            .map(|wait| (wait.at_ns, wait.at_ns.saturating_add(wait.duration_ns)))
            .collect();
        // Being woken begins where the wait ends.
        let synced = |at: u64| {
            let before = syncs.get(..syncs.partition_point(|(from, _)| *from <= at)).unwrap_or_default();
            before.iter().rev().take(8).any(|(_, to)| at <= *to)
        };
        let short_syncs = super::fsync::short_waits_are_syncs(case);
        let is_sync = |segment: &Segment| {
            synced(segment.at_ns)
                || (short_syncs && segment.state == "disk" && super::fsync::is_short(segment))
        };
        let reads = case.own_waits(&["disk", "page_fault"]).filter(|segment| !is_sync(segment));
        let reads: Vec<&Segment> = reads.collect();
        let (ns, claims) = case.claims(reads.iter().copied());
        if !case.is_worth(ns, case.thresholds.cold_cache.min_cost) {
            return Vec::new();
        }
        let named = reads.iter().filter_map(|segment| {
            let file = segment.detail.as_deref().filter(|detail| detail.starts_with('/'))?;
            Some((quoted(file), segment.duration_ns, ()))
        });
        let files: Vec<String> = by_name(named, 256).into_iter().map(|(file, _, _)| file).collect();
        let counters = case.start.timeline.counters.clone().unwrap_or_default();
        let what = if files.is_empty() { String::new() } else { format!(": {}", listed(&files)) };
        let read =
            counters.read_bytes.map_or_else(String::new, |bytes| format!(" and {} KiB read", bytes >> 10));
        let who = case.who(&claims);
        let hit = Hit::new(who.program, "reading from storage what was not in memory")
            .says(format!(
                "{} waited {} for storage, with {}{read}{what}",
                who.name,
                time(ns),
                crate::words::counted(counters.major_faults, "major fault")
            ))
            .advises("Read ahead what the start needs, ship smaller images, or keep the files in memory")
            .shows("waited_ns", ns)
            .shows("major_faults", counters.major_faults)
            .shows("read_bytes", counters.read_bytes)
            .shows("files", files.into_iter().take(8).collect::<Vec<_>>());
        vec![measured(hit, ns, claims)]
    }
}
