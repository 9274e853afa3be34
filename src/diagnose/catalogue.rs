//! Which findings there are.

use super::case::Case;
use super::findings as f;
use super::hit::Hit;
use super::siblings::Family;
use super::thresholds::Thresholds;

/// What a trace must have for a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// Every trace has it.
    Lifecycle,
    /// Critical paths and waits.
    Path,
    /// The phases between an exec and main().
    Linking,
    /// The imports of Python modules.
    Imports,
    /// The files that a start opens.
    Files,
    /// The same, of starts of one runtime.
    FilesOf(&'static str),
}

/// The page on a finding, for `startrace report --explain ID`.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// What happens, in one sentence.
    pub what: &'static str,
    /// Why it takes time.
    pub why: &'static str,
    /// What the price is made of.
    pub measured: &'static str,
    /// What to change, from the cheapest to the dearest.
    pub fix: &'static str,
    /// When it is told and should not be, and what it misses.
    pub mistaken: &'static str,
}

/// One finding.
pub(crate) trait Rule: Sync {
    fn id(&self) -> &'static str;
    fn page(&self) -> &'static Page;
    fn feed(&self) -> Feed;

    /// Looks at one start.
    fn look(&self, _case: &Case<'_>) -> Vec<Hit> {
        Vec::new()
    }

    /// Looks at equal starts of one parent.
    fn look_at_siblings(&self, _family: &Family, _thresholds: &Thresholds, _cpus: u32) -> Option<Hit> {
        None
    }

    /// One of these within a larger one of these says nothing new.
    fn nests(&self) -> bool {
        false
    }

    /// It is about the machine's state at that time, not about the program.
    fn is_circumstance(&self) -> bool {
        false
    }

    /// How far it is from saying why, rather than where, the time went: never the verdict's cause where findings that
    /// are nearer (a smaller number) say it for the same time.
    fn vagueness(&self) -> u8 {
        0
    }
}

/// All findings; those that ask what others explain come last.
pub(crate) static RULES: &[&dyn Rule] = &[
    &f::fork_large_parent::ForkLargeParent,
    &f::vfork_parent_blocked::VforkParentBlocked,
    &f::fd_close_loop::FdCloseLoop,
    &f::path_walk::PathWalk,
    &f::wrapper_chain::WrapperChain,
    &f::process_storm::ProcessStorm,
    &f::helper_wait::HelperWait,
    &f::serial_spawn::SerialSpawn,
    &f::spawn_reimport::SpawnReimport,
    &f::forkserver_no_preload::ForkserverNoPreload,
    &f::pickle_pipe_stall::PicklePipeStall,
    &f::fork_after_threads::ForkAfterThreads,
    &f::ld_search::LdSearch,
    &f::ld_many_libraries::LdManyLibraries,
    &f::ld_relocations::LdRelocations,
    &f::constructors::Constructors,
    &f::python_import::PythonImport,
    &f::python_path_misses::PythonPathMisses,
    &f::python_no_pyc::PythonNoPyc,
    &f::python_site::PythonSite,
    &f::jvm_class_load::JvmClassLoad,
    &f::shell_rc::ShellRc,
    &f::node_module_storm::NodeModuleStorm,
    &f::dns_wait::DnsWait,
    &f::connect_wait::ConnectWait,
    &f::dependency_retry::DependencyRetry,
    &f::fixed_sleep::FixedSleep,
    &f::lock_wait::LockWait,
    &f::peer_wait::PeerWait,
    &f::cold_cache::ColdCache,
    &f::fsync::Fsync,
    &f::cpu_starved::CpuStarved,
    &f::simple_waits::CPU_THROTTLED,
    &f::simple_waits::MEMORY_RECLAIM,
    &f::simple_waits::ENTROPY_WAIT,
    &f::simple_waits::PROMPT_WAIT,
    &f::exec_slow::ExecSlow,
    &f::start_failed::StartFailed,
    &f::never_ready::NeverReady,
    &f::cpu_bound::CpuBound,
];

pub(crate) fn rule(id: &str) -> Option<&'static dyn Rule> {
    RULES.iter().copied().find(|rule| rule.id() == id)
}

/// The page on a finding.
pub fn page(id: &str) -> Option<&'static Page> {
    rule(id).map(|rule| rule.page())
}

/// All findings with their pages, in the order of the catalogue.
pub fn pages() -> impl Iterator<Item = (&'static str, &'static Page)> {
    RULES.iter().map(|rule| (rule.id(), rule.page()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashSet;

    #[test]
    fn every_finding_has_a_name_and_a_whole_page() {
        let mut seen = HashSet::default();
        for (id, page) in pages() {
            assert!(seen.insert(id), "{id} twice");
            assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{id}");
            for (part, text) in [
                ("what", page.what),
                ("why", page.why),
                ("measured", page.measured),
                ("fix", page.fix),
                ("mistaken", page.mistaken),
            ] {
                assert!(text.len() > 30 && text.ends_with('.'), "{id}: {part}: {text:?}");
                assert!(!text.contains("  ") && !text.contains('\n'), "{id}: {part}: {text:?}");
            }
        }
        assert_eq!(seen.len(), 40);
    }
}
