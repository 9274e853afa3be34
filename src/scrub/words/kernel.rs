//! Names that the kernel gives, to its threads and to its files: every machine has them.

use super::Pseudonyms;

/// Threads that have no number.
const THREADS: [&str; 20] = [
    "kauditd",
    "kblockd",
    "kdevtmpfs",
    "khugepaged",
    "khungtaskd",
    "kintegrityd",
    "ksmd",
    "kthreadd",
    "mm_percpu_wq",
    "netns",
    "oom_reaper",
    "pool_workqueue_",
    "rcu_bh",
    "rcu_gp",
    "rcu_par_gp",
    "rcu_preempt",
    "rcu_sched",
    "slub_flushwq",
    "watchdogd",
    "writeback",
];
/// Threads of a processor, whose number stands behind a slash.
const OF_CPU: [&str; 12] = [
    "backlog_napi",
    "cpuhp",
    "idle_inject",
    "irq_work",
    "ksoftirqd",
    "migration",
    "rcub",
    "rcuc",
    "rcuog",
    "rcuop",
    "rcuos",
    "swapper",
];
/// Threads of a node, with its number.
const OF_NODE: [&str; 2] = ["kcompactd", "kswapd"];
/// Queues of workers that are the kernel's own, not a driver's or a device's.
const QUEUES: [&str; 17] = [
    "cgroup_destroy",
    "cgroup_release",
    "events",
    "events_freezable",
    "events_highpri",
    "events_long",
    "events_power_efficient",
    "events_unbound",
    "inet_frag_wq",
    "kblockd",
    "mm_percpu_wq",
    "netns",
    "rcu_gp",
    "rcu_par_gp",
    "slub_flushwq",
    "sync_wq",
    "writeback",
];
/// Files below /proc and /sys.
const FILES: [&str; 45] = [
    "attr",
    "auxv",
    "block",
    "bus",
    "cgroup",
    "class",
    "cmdline",
    "comm",
    "cpu",
    "cpuinfo",
    "cpu.max",
    "cwd",
    "devices",
    "environ",
    "exe",
    "fdinfo",
    "filesystems",
    "fs",
    "hugepages",
    "kernel",
    "limits",
    "loadavg",
    "loginuid",
    "maps",
    "meminfo",
    "memory.max",
    "mm",
    "mountinfo",
    "mounts",
    "net",
    "online",
    "ns",
    "oom_score_adj",
    "possible",
    "random",
    "smaps",
    "smaps_rollup",
    "stat",
    "statm",
    "status",
    "sys",
    "system",
    "task",
    "thread-self",
    "uptime",
];

/// A number of a processor.
fn is_number(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Is this a file that the kernel has below /proc and /sys?
pub(super) fn is_file(name: &str) -> bool {
    FILES.contains(&name)
}

impl Pseudonyms {
    /// A kernel thread, as far as its name is the kernel's. Any process can take such a name: nothing else stays.
    pub(super) fn kernel_thread(&self, name: &str) -> Option<String> {
        if THREADS.contains(&name)
            || OF_NODE.iter().any(|of| name.strip_prefix(of).is_some_and(is_number))
            || name.split_once('/').is_some_and(|(of, n)| OF_CPU.contains(&of) && is_number(n))
        {
            return Some(name.to_owned());
        }
        // `kworker/0:1H-kblockd`, `kworker/u8:2+events_unbound`, `kworker/R-rcu_gp`.
        let worker = name.strip_prefix("kworker/")?;
        let end = worker.find(['-', '+']).unwrap_or(worker.len());
        let (id, queue) = worker.split_at(end);
        let id_is_ours = id.len() <= 9
            && id.split(':').count() <= 2
            && id.split(':').all(|part| {
                let number = part.trim_start_matches('u').trim_end_matches(['H', 'I']);
                part == "R" || is_number(number)
            });
        if !id_is_ours {
            return None;
        }
        let queue = queue.split_at_checked(1).map_or(String::new(), |(sign, queue)| {
            let stays = queue.is_empty() || QUEUES.contains(&queue);
            format!("{sign}{}", if stays { queue.to_owned() } else { self.word(queue) })
        });
        Some(format!("kworker/{id}{queue}"))
    }
}
