//! Findings whose events no trace of this version has: named in `not_examined`, with what they need.

use crate::diagnose::catalogue::{Feed, Page, Rule};

/// One of them.
pub(crate) struct Awaited {
    id: &'static str,
    needs: &'static str,
    page: &'static Page,
}

pub(crate) static DEPENDENCY_RETRY: Awaited = Awaited {
    id: "dependency-retry",
    needs: "the errors of connect(), which no level records yet",
    page: &Page {
        what: "A start tries to connect to something that is not there yet, sleeps, and tries again.",
        why: "Services that are started together wait for each other in steps of a second and more.",
        measured: "Refused connections and the sleeps between them, on the critical path.",
        fix: "Order the services (After=, depends_on with a health check), activate by socket, retry in shorter steps at first.",
        mistaken: "A client that polls on purpose looks the same. The sleeps alone are told as fixed-sleep.",
    },
};

impl Rule for Awaited {
    fn id(&self) -> &'static str {
        self.id
    }

    fn page(&self) -> &'static Page {
        self.page
    }

    fn feed(&self) -> Feed {
        Feed::Missing(self.needs)
    }
}
