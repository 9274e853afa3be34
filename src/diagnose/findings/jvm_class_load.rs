//! `jvm-class-load`: a JVM without an archive of classes.

use crate::diagnose::case::{Case, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Severity;

pub(crate) struct JvmClassLoad;

const PAGE: Page = Page {
    what: "A JVM loads and verifies thousands of classes at its start, without an archive of them.",
    why: "Every class is read from a jar, parsed, verified and linked; a class-data archive has that done already.",
    measured: "Not priced: what an archive would save is not in the trace. Whether one was opened is seen at --level deep.",
    fix: "AppCDS (-XX:ArchiveClassesAtExit, -XX:SharedArchiveFile, -XX:+AutoCreateSharedArchive), an AOT cache (JDK 24), jlink, native-image.",
    mistaken: "The JDK's default archive covers the JDK's own classes only.",
};

impl Rule for JvmClassLoad {
    fn id(&self) -> &'static str {
        "jvm-class-load"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::FilesOf("jvm")
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let Some(files) = case.start.timeline.files.as_ref().filter(|_| case.runs("jvm")) else {
            return Vec::new();
        };
        let of = |kind: &str| {
            let sums = files.sums.iter().filter(|sums| sums.kind == kind);
            sums.fold((0u64, 0u64), |(n, bytes), sums| {
                (n.saturating_add(sums.opened), bytes.saturating_add(sums.bytes))
            })
        };
        let ((jars, bytes), (archives, _)) = (of("java"), of("cds_archive"));
        let archived = archives > 1 || (archives > 0 && jars <= 1);
        if archived || case.duration() < case.thresholds.python_import.min_cost.0 {
            return Vec::new();
        }
        let has =
            if archives > 0 { "only the JDK's own archive of classes" } else { "no archive of classes" };
        vec![
            Hit::new(case.program(), "loading Java classes that no archive has")
                .says(format!("{} started in {} with {has}, from {jars} jars and modules", case.name(), time(case.duration())))
                .advises("Make an archive of the application's classes: -XX:+AutoCreateSharedArchive -XX:SharedArchiveFile=app.jsa (JDK 19), or an AOT cache (JDK 24)")
                .shows("jars", jars)
                .shows("jar_bytes", bytes)
                .shows("archives", archives)
                .at_most(Severity::Info),
        ]
    }
}
