//! Where a process runs, read from its cgroup path: systemd unit and container.

use crate::trace::schema::Container;

/// The systemd unit that a cgroup path names: its last component that is a service, scope, socket,
/// mount or swap. A user's own units lie below `user@UID.service` and win over it.
pub fn unit(cgroup: &str) -> Option<String> {
    const KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
    cgroup.split('/').rev().find(|part| KINDS.iter().any(|kind| part.ends_with(kind))).map(str::to_owned)
}

/// The container that a cgroup path names.
pub fn container(cgroup: &str) -> Option<Container> {
    let mut pod = None;
    let mut found = None;
    let mut before = "";
    for part in cgroup.split('/') {
        if let Some(uid) = pod_uid(part) {
            pod = Some(uid);
        }
        if let Some((runtime, id)) = container_part(before, part) {
            found = Some((runtime, id));
        }
        before = part;
    }
    let (runtime, id) = found?;
    Some(Container { id, runtime: runtime.map(str::to_owned), pod })
}

/// `pod<uid>` (cgroupfs driver) or `kubepods-burstable-pod<uid with underscores>.slice` (systemd driver).
fn pod_uid(part: &str) -> Option<String> {
    let name = part.strip_suffix(".slice").unwrap_or(part);
    let at = name.rfind("pod")?;
    let uid = name[at + 3..].replace('_', "-");
    let hex = uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (hex && uid.len() >= 32 && (at == 0 || name.starts_with("kubepods"))).then_some(uid)
}

fn container_part(before: &str, part: &str) -> Option<(Option<&'static str>, String)> {
    const PREFIXES: [(&str, &str); 6] = [
        ("docker-", "docker"),
        ("cri-containerd-", "containerd"),
        ("crio-", "crio"),
        ("libpod-", "podman"),
        ("nerdctl-", "containerd"),
        ("lxc.payload.", "lxc"),
    ];
    let name = part.strip_suffix(".scope").unwrap_or(part);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = name.strip_prefix(prefix)
            && (runtime == "lxc" && !id.is_empty() || is_container_id(id))
        {
            return Some((Some(runtime), id.to_owned()));
        }
    }
    if !is_container_id(name) {
        return None;
    }
    let runtime = match before {
        "docker" => Some("docker"),
        "lxc" => Some("lxc"),
        _ => None,
    };
    Some((runtime, name.to_owned()))
}

/// Container ids are 64 hex digits.
fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(unit("/system.slice/nginx.service").as_deref(), Some("nginx.service"));
        assert_eq!(
            unit("/user.slice/user-1000.slice/user@1000.service/app.slice/app-x@1.service").as_deref(),
            Some("app-x@1.service")
        );
        assert_eq!(unit("/user.slice/user-0.slice/session-3.scope").as_deref(), Some("session-3.scope"));
        assert_eq!(unit("/"), None);
        assert_eq!(unit("/system.slice"), None);
    }

    #[test]
    fn containers() {
        let id = "0123456789abcdef".repeat(4);
        let docker = container(&format!("/system.slice/docker-{id}.scope")).unwrap();
        assert_eq!((docker.id.as_str(), docker.runtime.as_deref()), (id.as_str(), Some("docker")));
        assert_eq!(container(&format!("/docker/{id}")).unwrap().runtime.as_deref(), Some("docker"));
        let pod = "11111111-2222-3333-4444-555555555555";
        let slice = pod.replace('-', "_");
        let kube = container(&format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{slice}.slice/cri-containerd-{id}.scope"
        ))
        .unwrap();
        assert_eq!(kube.pod.as_deref(), Some(pod));
        assert_eq!(kube.runtime.as_deref(), Some("containerd"));
        let plain = container(&format!("/kubepods/besteffort/pod{pod}/{id}")).unwrap();
        assert_eq!((plain.pod.as_deref(), plain.runtime), (Some(pod), None));
        for no in ["/", "/docker/short", "/system.slice/podman.service", "/docker-.scope"] {
            assert_eq!(container(no), None, "{no}");
        }
    }
}
