//! From when on something is told: every number that decides about a finding stands here, with its reason.
//!
//! A TOML file changes them (`startrace report --thresholds FILE`); `--print-thresholds` prints this table
//! as such a file. They decide what is told, never what it costs: prices are measured.

use crate::settings::{Section, Value};
use crate::words::parse_time;

/// A value of the table.
trait Kind {
    fn set(&mut self, value: Value<'_>) -> Result<(), String>;
    fn to_toml(&self) -> String;
}

/// What is printed of a key beside its value.
struct Key {
    name: &'static str,
    docs: &'static [&'static str],
}

struct SectionOfKeys {
    name: &'static str,
    about: &'static [&'static str],
    keys: &'static [Key],
}

/// A length of time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

const fn us(n: u64) -> Time {
    Time(n * 1_000)
}

const fn ms(n: u64) -> Time {
    Time(n * 1_000_000)
}

impl Kind for Time {
    fn set(&mut self, value: Value<'_>) -> Result<(), String> {
        let text = value.as_str().ok_or("it takes a time, such as \"20ms\"")?;
        let time = parse_time(text).map_err(|why| format!("{why}; here in quotes: \"20ms\""))?;
        self.0 = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn to_toml(&self) -> String {
        let time = std::time::Duration::from_nanos(self.0);
        format!("\"{}\"", humantime::format_duration(time).to_string().replace(' ', ""))
    }
}

impl Kind for u64 {
    fn set(&mut self, value: Value<'_>) -> Result<(), String> {
        let number = value.as_integer().and_then(|n| Self::try_from(n).ok());
        *self = number.ok_or("it takes a whole number, such as 4")?;
        Ok(())
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Kind for f64 {
    fn set(&mut self, value: Value<'_>) -> Result<(), String> {
        let number = value.as_float().filter(|n| n.is_finite() && *n >= 0.0);
        *self = number.ok_or("it takes a number, such as 0.15")?;
        Ok(())
    }

    fn to_toml(&self) -> String {
        format!("{self:?}")
    }
}

macro_rules! thresholds {
    ($($(#[doc = $about:literal])* $section:ident $Section:ident = $name:literal {
        $($(#[doc = $doc:literal])* $key:ident: $Type:ty = $value:expr,)*
    })*) => {
        /// All of them.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Thresholds {
            $($(#[doc = $about])* pub $section: $Section,)*
        }

        $(
            $(#[doc = $about])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section {
                $($(#[doc = $doc])* pub $key: $Type,)*
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $value,)* }
                }
            }
        )*

        impl Thresholds {
            const SECTIONS: &[SectionOfKeys] = &[$(SectionOfKeys {
                name: $name,
                about: &[$($about,)*],
                keys: &[$(Key { name: stringify!($key), docs: &[$($doc,)*] },)*],
            },)*];

            /// The values of all keys, in the order of [`Self::SECTIONS`].
            fn values(&mut self) -> Vec<&mut dyn Kind> {
                vec![$($(&mut self.$section.$key,)*)*]
            }
        }
    };
}

thresholds! {
    /// Any finding that has a price.
    all All = "all" {
        /// It costs at least this: less is noise, whatever it is a share of.
        min_cost: Time = us(500),
        /// ... and at least this share of the start: less is not what makes it slow.
        min_share: f64 = 0.02,
        /// A warning costs at least this share of the whole,
        warning_share: f64 = 0.05,
        /// ... and at least this: nobody changes a program for less.
        warning_cost: Time = ms(2),
        /// Critical is at least this share of the whole,
        critical_share: f64 = 0.25,
        /// ... and at least this: what a person begins to notice.
        critical_cost: Time = ms(100),
    }
    /// fork of a process with much memory.
    fork_large_parent ForkLargeParent = "fork-large-parent" {
        /// Less in the phase fork is usual (0.1 to 0.4 ms) or bad luck with a CPU.
        min_fork: Time = ms(2),
        /// A copy with less memory than this, in MiB, takes no time for its pages (1 to 2 ms for 100 MiB) ...
        few: u64 = 32,
        /// ... so that only a great many mappings take long, and less than this is bad luck.
        min_fork_few: Time = ms(10),
        /// What posix_spawn takes instead, whatever the parent's size: stays of the price.
        spawn: Time = us(150),
        /// An exec that gives back the copied memory takes longer than this; what is over it belongs to the fork.
        exec: Time = ms(1),
    }
    /// A parent that waits in vfork for its child's preparations.
    vfork_parent_blocked VforkParentBlocked = "vfork-parent-blocked" {
        /// Preparations of a child up to this are usual (posix_spawn takes some 100 us).
        min_setup: Time = ms(2),
    }
    /// A child that closes descriptors one by one before its exec.
    fd_close_loop FdCloseLoop = "fd-close-loop" {
        /// CPU time between fork and exec from which on it is one: 0.1 us a descriptor.
        min_running: Time = ms(2),
        /// The kernel's CPU time as a share of it: counted by ticks, so a loop of calls has half to three quarters.
        min_system_share: f64 = 0.35,
    }
    /// Failed execs before the one that works.
    path_walk PathWalk = "path-walk" {
        /// So many are no accident of a PATH with two entries.
        min_attempts: u64 = 3,
    }
    /// Several programs in one start.
    wrapper_chain WrapperChain = "wrapper-chain" {
        /// Less than this of wrappers is not worth a word: one exec takes about 1 ms.
        min_cost: Time = ms(1),
    }
    /// Many short processes, one after the other.
    process_storm ProcessStorm = "process-storm" {
        /// From so many on.
        min_processes: u64 = 8,
        /// What takes longer on the path is no short process, but a helper of its own.
        longest: Time = ms(20),
        /// Their share of the start.
        min_share: f64 = 0.1,
    }
    /// One process that is waited for.
    helper_wait HelperWait = "helper-wait" {
        /// Its share of the start.
        min_share: f64 = 0.1,
        /// ... and how long at least.
        min_cost: Time = ms(5),
    }
    /// Equal processes that are started one after the other.
    serial_spawn SerialSpawn = "serial-spawn" {
        /// From so many siblings on.
        min_siblings: u64 = 3,
        /// So many of them, at most, are starting at the same time, on average.
        max_parallelism: f64 = 1.3,
        /// Each takes at least this; shorter ones cost more to start together.
        min_each: Time = ms(5),
        /// The machine's CPUs are busy with them for at most this share of the time.
        max_busy: f64 = 0.75,
    }
    /// Workers by multiprocessing's spawn that import everything again.
    spawn_reimport SpawnReimport = "spawn-reimport" {
        /// From so many workers on.
        min_workers: u64 = 2,
        /// What a fork server's worker takes instead of a new interpreter: stays of the price.
        fork: Time = ms(2),
    }
    /// A pipe to a worker that is not ready to read.
    pickle_pipe_stall PicklePipeStall = "pickle-pipe-stall" {
        /// Waits of less than this are usual.
        min_cost: Time = ms(2),
    }
    /// Long constructors of libraries.
    constructors Constructors = "constructors" {
        /// From so long on: 0.05 to 0.2 ms is usual.
        min_init: Time = ms(1),
    }
    /// Loading and linking of libraries.
    linking Linking = "linking" {
        /// Failed tries to find libraries from which on the search is told.
        min_tries: u64 = 50,
        /// So many tries take as long as one library that is found (mapping and relocating it): for the price.
        tries_per_library: u64 = 20,
        /// Libraries from which on their number is told.
        min_libraries: u64 = 60,
        /// CPU time of linking from which on it is told: 0.2 to 2 ms are usual.
        min_relocating: Time = ms(3),
    }
    /// Modules of Python (and of Node, as far as they are counted).
    python_import PythonImport = "python-import" {
        /// Their share of the start.
        min_share: f64 = 0.2,
        /// ... and how long at least.
        min_cost: Time = ms(20),
        /// The site module from which on it is told: 2 to 5 ms are usual.
        min_site: Time = ms(10),
        /// Look-ups in vain.
        min_misses: u64 = 100,
        /// Compiling modules.
        min_compile: Time = ms(5),
        /// JavaScript modules.
        min_node_modules: u64 = 500,
    }
    /// A shell's start files.
    shell_rc ShellRc = "shell-rc" {
        /// From so long on: a person waits.
        min_cost: Time = ms(100),
    }
    /// Waiting for a name server.
    dns_wait DnsWait = "dns-wait" {
        /// A resolver's usual time-out: a multiple of it means that a server did not answer.
        time_out: Time = ms(5000),
        /// A wait that its own time-out ended was in vain, if it was not shorter than this.
        least_time_out: Time = ms(500),
    }
    /// Sleeping for a fixed time.
    fixed_sleep FixedSleep = "fixed-sleep" {
        /// From so long on, all together.
        min_cost: Time = ms(5),
    }
    /// Trying again and again to connect to what is not there yet.
    dependency_retry DependencyRetry = "dependency-retry" {
        /// So many attempts that failed: one is an answer, the next is a retry.
        min_attempts: u64 = 2,
        /// From so long on, between the first and the last of them.
        min_cost: Time = ms(5),
    }
    /// Waiting for what another process does.
    peer_wait PeerWait = "peer-wait" {
        /// From so long on.
        min_cost: Time = ms(2),
    }
    /// A lock that somebody else holds.
    lock_wait LockWait = "lock-wait" {
        /// From so long on.
        min_cost: Time = ms(1),
    }
    /// Reading from storage what was not in memory.
    cold_cache ColdCache = "cold-cache" {
        /// From so long on.
        min_cost: Time = ms(1),
    }
    /// Waiting for a CPU.
    cpu_starved CpuStarved = "cpu-starved" {
        /// Its share of the start.
        min_share: f64 = 0.15,
        /// ... and how long at least: one time slice is no starvation.
        min_cost: Time = ms(10),
    }
    /// Held back by the CPU quota of a cgroup.
    cpu_throttled CpuThrottled = "cpu-throttled" {
        /// From so long on.
        min_cost: Time = ms(1),
    }
    /// An exec that takes long by itself.
    exec_slow ExecSlow = "exec-slow" {
        /// Less than this is usual (0.2 to 1 ms).
        min_exec: Time = ms(5),
        /// What an exec usually takes: stays of the price.
        usual: Time = us(500),
    }
    /// A start that does nothing but compute.
    cpu_bound CpuBound = "cpu-bound" {
        /// It runs for so much of the time,
        min_running: f64 = 0.8,
        /// ... at least so long,
        min_cost: Time = ms(20),
        /// ... and other findings explain at most so much of it.
        max_explained: f64 = 0.25,
    }
}

/// Largest file that is taken: the whole table has 5 KB.
const MAX_FILE: usize = 1 << 20;

fn names<T>(of: &[T], name: impl Fn(&T) -> &'static str) -> String {
    of.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl Thresholds {
    fn section_names() -> String {
        names(Self::SECTIONS, |section| section.name)
    }

    fn set(&mut self, section: &str, key: &str, value: Value<'_>) -> Result<(), String> {
        let mut values = self.values().into_iter();
        for known in Self::SECTIONS {
            let of_section = values.by_ref().take(known.keys.len());
            if known.name != section {
                of_section.for_each(drop);
                continue;
            }
            let mut keys = of_section.zip(known.keys);
            let Some((place, _)) = keys.find(|(_, known)| known.name == key) else {
                let known = names(known.keys, |key| key.name);
                return Err(format!("there is no such key; it has: {known}"));
            };
            return place.set(value);
        }
        Err(format!("there is no such section; there are: {}", Self::section_names()))
    }

    /// The whole table as TOML, each key with its reason.
    pub fn to_toml(&self) -> String {
        let mut out = String::from(
            "# From when on something is told by startrace: report --thresholds FILE takes this file, or a part of it.\n",
        );
        let mut own = self.clone();
        let mut values = own.values().into_iter();
        let mut line = |parts: [&str; 3]| {
            parts.iter().for_each(|part| out.push_str(part));
            out.push('\n');
        };
        for section in Self::SECTIONS {
            line(["", "", ""]);
            section.about.iter().for_each(|about| line(["#", about, ""]));
            line(["[", section.name, "]"]);
            for (key, value) in section.keys.iter().zip(values.by_ref()) {
                key.docs.iter().for_each(|doc| line(["#", doc, ""]));
                line([key.name, " = ", &value.to_toml()]);
            }
        }
        out
    }

    /// The usual ones, as a TOML text changes them.
    ///
    /// # Errors
    /// It is no TOML, has a section or a key that there is not (the text names those that there are), or a
    /// value of another kind.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_FILE {
            return Err(format!("it is larger than {MAX_FILE} bytes"));
        }
        let table = toml::de::DeTable::parse(text).map_err(|why| why.to_string())?;
        let mut thresholds = Self::default();
        for (section, values) in Section::top(table.get_ref()).entries() {
            let Some(values) = values.as_section() else {
                return Err(format!("{section}: keys stand in sections: {}", Self::section_names()));
            };
            if !Self::SECTIONS.iter().any(|known| known.name == section) {
                let known = Self::section_names();
                return Err(format!("[{section}]: there is no such section; there are: {known}"));
            }
            for (key, value) in values.entries() {
                let set = thresholds.set(section, key, value);
                set.map_err(|why| format!("[{section}] {key}: {why}"))?;
            }
        }
        Ok(thresholds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_taken() {
        let usual = Thresholds::default();
        let text = usual.to_toml();
        assert_eq!(Thresholds::parse(&text).unwrap(), usual, "{text}");
        assert_eq!(Thresholds::parse("").unwrap(), usual);
        let changed = Thresholds::parse("[all]\nmin_cost = \"2s\"\n[path-walk]\nmin_attempts = 9\n").unwrap();
        assert_eq!((changed.all.min_cost, changed.path_walk.min_attempts), (Time(2_000_000_000), 9));
        assert_eq!(changed.all.min_share, usual.all.min_share);
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        for (text, why) in [
            ("[al]\nmin_cost = \"1ms\"", "there are: all, fork-large-parent"),
            ("[al]", "there are: all, fork-large-parent"),
            ("[all]\nmin_costs = \"1ms\"", "it has: min_cost, min_share"),
            ("min_cost = \"1ms\"", "sections"),
            ("[all]\nmin_cost = 5", "\"20ms\""),
            ("[all]\nmin_cost = \"5 parsecs\"", "\"20ms\""),
            ("[all]\nmin_share = -1", "0.15"),
            ("[all]\nmin_share = nan", "0.15"),
            ("[path-walk]\nmin_attempts = -3", "whole number"),
            ("[[all]]", "sections"),
            ("[all", "TOML parse error"),
        ] {
            let error = Thresholds::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Thresholds::parse(&" ".repeat(MAX_FILE + 1)).is_err());
    }
}
