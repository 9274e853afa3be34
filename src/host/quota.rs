//! CPU quota of our own cgroup: in processors, the smallest on the way up to the root.

use super::mounts::unescape;
use super::{read_bounded, read_line};
use std::path::{Component, Path, PathBuf};

/// The quota, `None` where there is none. `root` is `/` but for tests.
pub(crate) fn own(root: &Path) -> Option<f64> {
    let read = |path: &str| {
        let bytes = read_bounded(&root.join(path), 16 * 1024 * 1024).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let membership = read("proc/self/cgroup")?;
    let mounts = read("proc/self/mountinfo")?;
    let v2 = folder(&membership, &mounts, Hierarchy::V2).map(|at| (at, v2_quota as fn(&Path) -> _));
    let v1 = folder(&membership, &mounts, Hierarchy::V1Cpu).map(|at| (at, v1_quota as _));
    // On a hybrid host both are mounted, and the cpu controller is in one of them.
    [v2, v1]
        .into_iter()
        .flatten()
        .filter_map(|((mount, inside), quota)| {
            smallest(&root.join(mount.strip_prefix("/").ok()?), &inside, quota)
        })
        .reduce(f64::min)
}

#[derive(Clone, Copy, PartialEq)]
enum Hierarchy {
    V2,
    V1Cpu,
}

/// Where the hierarchy is mounted, and our cgroup's folder inside that mount.
fn folder(membership: &str, mounts: &str, which: Hierarchy) -> Option<(PathBuf, PathBuf)> {
    let cgroup = membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let wanted = match which {
            Hierarchy::V2 => id == "0" && controllers.is_empty(),
            Hierarchy::V1Cpu => controllers.split(',').any(|c| c == "cpu"),
        };
        wanted.then(|| PathBuf::from(path))
    })?;
    mounts.lines().find_map(|line| {
        // proc_pid_mountinfo(5): id parent dev root mountpoint options [tags...] - type source super
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (mount_root, mountpoint) = (unescape(left.next()?), unescape(left.next()?));
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let wanted = match which {
            Hierarchy::V2 => kind == "cgroup2",
            Hierarchy::V1Cpu => kind == "cgroup" && options.split(',').any(|o| o == "cpu"),
        };
        if !wanted {
            return None;
        }
        // Inside a container only a part of the tree is mounted; a cgroup outside of that part
        // (`/../x`) has no folder, and the mount's top is the nearest that can be read.
        let inside = cgroup
            .strip_prefix(&mount_root)
            .ok()
            .filter(|path| path.components().all(|part| matches!(part, Component::Normal(_))))
            .unwrap_or(Path::new(""));
        Some((PathBuf::from(mountpoint), inside.to_owned()))
    })
}

fn smallest(mount: &Path, inside: &Path, quota: fn(&Path) -> Option<f64>) -> Option<f64> {
    inside.ancestors().filter_map(|part| quota(&mount.join(part))).reduce(f64::min)
}

fn v2_quota(folder: &Path) -> Option<f64> {
    let line = read_line(&folder.join("cpu.max"))?;
    let (quota, period) = line.split_once(' ')?;
    ratio(quota.parse().ok()?, period.parse().ok()?)
}

fn v1_quota(folder: &Path) -> Option<f64> {
    let number = |name| read_line(&folder.join(name))?.parse::<i64>().ok();
    ratio(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn ratio(quota: i64, period: i64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn machine(cgroup: &str, mounts: &str, files: &[(&str, &str)]) -> Option<f64> {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", cgroup);
        write("proc/self/mountinfo", mounts);
        for (path, text) in files {
            write(path, text);
        }
        own(dir.path())
    }

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_smallest_quota_on_the_way_up_counts() {
        let files = [
            ("sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n"),
            ("sys/fs/cgroup/other/cpu.max", "1000 100000\n"),
        ];
        assert_eq!(machine("0::/a/b/c\n", V2, &files), Some(1.5));
        assert_eq!(machine("0::/a/b\n", V2, &files[1..]), None);
        assert_eq!(machine("0::/../../x\n", V2, &files), None);
    }

    #[test]
    fn a_container_sees_its_part_of_the_tree() {
        let mounts = "30 23 0:26 /pod/box /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let files = [("sys/fs/cgroup/in/cpu.max", "50000 100000")];
        assert_eq!(machine("0::/pod/box/in\n", mounts, &files), Some(0.5));
        let top = [("sys/fs/cgroup/cpu.max", "25000 100000")];
        assert_eq!(machine("0::/elsewhere\n", mounts, &top), Some(0.25));
    }

    #[test]
    fn version_1_and_hybrid_hosts_are_read() {
        let mounts = format!(
            "32 31 0:29 / /sys/fs/cgroup/cpu\\040x rw - cgroup cgroup rw,cpu,cpuacct\n{}",
            V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
        );
        let files = [
            ("sys/fs/cgroup/cpu x/job/cpu.cfs_quota_us", "200000\n"),
            ("sys/fs/cgroup/cpu x/job/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu x/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu x/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(machine("4:cpuacct,cpu:/job\n0::/\n", &mounts, &files), Some(2.0));
        assert_eq!(machine("4:cpuset:/job\n0::/\n", &mounts, &files), None);
        assert_eq!(machine("", "", &[]), None);
    }
}
