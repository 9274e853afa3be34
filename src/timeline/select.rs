//! Selectors: which processes a recording of the whole machine is about.

/// What to look for; a process that meets all given ones is a root, and its descendants are included.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Selectors {
    /// Effective user ids.
    pub uids: Vec<u32>,
    /// Task names, with `*` and `?`.
    pub comms: Vec<String>,
    /// Executables: a whole path, a base name, or a pattern with `*` and `?`.
    pub exes: Vec<String>,
    /// Cgroup paths with `*` and `?`; a cgroup below one counts.
    pub cgroups: Vec<String>,
    /// systemd units, with or without `.service`.
    pub units: Vec<String>,
    /// Beginnings of container ids.
    pub containers: Vec<String>,
    /// Pod UIDs.
    pub pods: Vec<String>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// Effective user id.
    pub uid: Option<u32>,
    /// Task name.
    pub comm: &'a str,
    /// Resolved executable.
    pub exe: Option<&'a str>,
    /// Cgroup path.
    pub cgroup: Option<&'a str>,
}

impl<'a> From<&'a super::world::Ancestor> for Subject<'a> {
    fn from(kin: &'a super::world::Ancestor) -> Self {
        Self { uid: kin.uid, comm: &kin.comm, exe: kin.exe.as_deref(), cgroup: kin.cgroup.as_deref() }
    }
}

impl Selectors {
    /// Nothing was asked for: everything is taken.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As given, for the trace.
    pub fn describe(&self) -> Vec<String> {
        let mut out: Vec<String> = self.uids.iter().map(|uid| format!("uid={uid}")).collect();
        for (name, list) in [
            ("comm", &self.comms),
            ("exe", &self.exes),
            ("cgroup", &self.cgroups),
            ("unit", &self.units),
            ("container", &self.containers),
            ("pod", &self.pods),
        ] {
            out.extend(list.iter().map(|value| format!("{name}={value}")));
        }
        out
    }

    /// Asks for a cgroup, in some way.
    pub fn names_cgroups(&self) -> bool {
        [&self.cgroups, &self.units, &self.containers, &self.pods].iter().any(|list| !list.is_empty())
    }

    /// Those that none of these cgroups meets, as options.
    pub fn without_cgroup(&self, paths: &[String]) -> Vec<String> {
        let container = |path: &String| super::place::container(path);
        let unit = |unit: &str, path: &String| path.split('/').any(|part| unit_matches(unit, part));
        let id = |id: &str, path: &String| container(path).is_some_and(|c| c.id.starts_with(id));
        let pod = |pod: &str, path: &String| container(path).is_some_and(|c| c.pod.as_deref() == Some(pod));
        let mut out = Vec::new();
        let mut none = |option: &str, list: &[String], meets: &dyn Fn(&str, &String) -> bool| {
            let absent = list.iter().filter(|value| !paths.iter().any(|path| meets(value, path)));
            out.extend(absent.map(|value| format!("--{option} {value}")));
        };
        none("cgroup", &self.cgroups, &|pattern, path| cgroup_matches(pattern, path));
        none("unit", &self.units, &unit);
        none("container", &self.containers, &id);
        none("pod", &self.pods, &pod);
        out
    }

    /// Does the process meet every kind of selector that was given (any value of each)?
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        fn any<T>(list: &[T], test: impl Fn(&T) -> bool) -> bool {
            list.is_empty() || list.iter().any(test)
        }
        let place = subject.cgroup.unwrap_or("");
        let container = || super::place::container(place);
        any(&self.uids, |uid| subject.uid == Some(*uid))
            && any(&self.comms, |pattern| glob(pattern, subject.comm))
            && any(&self.exes, |pattern| subject.exe.is_some_and(|exe| exe_matches(pattern, exe)))
            && any(&self.cgroups, |pattern| cgroup_matches(pattern, place))
            && any(&self.units, |unit| place.split('/').any(|part| unit_matches(unit, part)))
            && any(&self.containers, |id| container().is_some_and(|c| c.id.starts_with(id.as_str())))
            && any(&self.pods, |pod| container().is_some_and(|c| c.pod.as_deref() == Some(pod.as_str())))
    }
}

pub(super) fn exe_matches(pattern: &str, exe: &str) -> bool {
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    if pattern.contains('/') {
        return glob(pattern, exe);
    }
    exe.rsplit('/').next().is_some_and(|base| glob(pattern, base))
}

fn cgroup_matches(pattern: &str, cgroup: &str) -> bool {
    let pattern = pattern.trim_end_matches('/');
    glob(pattern, cgroup) || glob(&format!("{pattern}/*"), cgroup)
}

fn unit_matches(unit: &str, part: &str) -> bool {
    glob(unit, part) || (!unit.contains('.') && glob(&format!("{unit}.service"), part))
}

/// Shell patterns with `*` (any text, slashes too) and `?`. Linear in practice: one point to go back to.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j, mut back) = (0, 0, None);
    while j < t.len() {
        if i < p.len() && p[i] == '*' {
            back = Some((i, j));
            i += 1;
        } else if i < p.len() && (p[i] == '?' || p[i] == t[j]) {
            i += 1;
            j += 1;
        } else if let Some((star, from)) = back {
            i = star + 1;
            j = from + 1;
            back = Some((star, from + 1));
        } else {
            return false;
        }
    }
    p[i..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "anything/at all", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*.service", "x.service", true),
            ("*ab*ab", "abxab", true),
            ("*ab*abc", "abxab", false),
            ("naïve*", "naïveté", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn every_kind_of_selector_must_be_met_by_one_of_its_values() {
        let selectors = Selectors {
            uids: vec![1, 2],
            exes: vec!["python3*".into(), "/opt/*/bin/app".into()],
            units: vec!["web".into()],
            ..Default::default()
        };
        let subject = Subject {
            uid: Some(2),
            comm: "x",
            exe: Some("/usr/bin/python3.11"),
            cgroup: Some("/system.slice/web.service/sub"),
        };
        assert!(selectors.matches(&subject));
        assert!(selectors.matches(&Subject { exe: Some("/opt/a/bin/app (deleted)"), ..subject }));
        assert!(!selectors.matches(&Subject { uid: Some(3), ..subject }));
        assert!(!selectors.matches(&Subject { cgroup: Some("/system.slice/webby.service"), ..subject }));
        assert!(!selectors.matches(&Subject { exe: None, ..subject }));
        assert!(Selectors::default().matches(&subject));
        assert_eq!(selectors.describe().len(), 5);
        let there = ["/", "/system.slice", "/system.slice/web.service"].map(str::to_owned);
        assert!(selectors.without_cgroup(&there).is_empty());
        assert_eq!(selectors.without_cgroup(&there[..2]), ["--unit web"]);
    }
}
