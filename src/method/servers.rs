//! Servers known by name: masters that keep copies of themselves, servers that exist to be copied.
//! What no name tells, `shape` tells by what happens.

use super::argv::{Target, python_line};
use super::kernel::flag;
use super::program::{Kind, base};
use super::rule::{Fit, Rule};
use super::view::View;
use crate::trace::schema::Confidence::{Guess, Likely};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "servers.prefork",
        doc: "a worker of a server that is known to keep copies of itself",
        library: None,
        pattern: Some("prefork_worker"),
        confidence: Likely,
        weight: 57,
        evidence: "a copy, without exec, of {subject}, a server that works in copies of itself",
        when: |v| {
            let name = v.parent.name;
            let title = if is_prefork_master(name) { name } else { python_master(v)? };
            // What the ELF file shows is enough; of a name alone, the siblings have to bear it out.
            let shown = v.parent.image.is_some_and(|i| i.program.is_some() || i.misnamed == Some(false))
                || v.parent.is(Kind::Php);
            let trust = if shown || several(v) { v.parent.name_trust() } else { Guess };
            working_copy(v).then_some(Fit::at_most(trust).about(title))
        },
    },
    Rule {
        name: "servers.snapshot",
        doc: "a copy that a database makes to write its memory out",
        library: None,
        pattern: Some("snapshot"),
        confidence: Likely,
        weight: 58,
        evidence: "a copy, without exec, of {parent}, which forks to save its data set",
        when: |v| {
            let snapshot = working_copy(v) && keeps_snapshots(v.parent.name);
            snapshot.then_some(Fit::at_most(v.parent.name_trust()))
        },
    },
    Rule {
        name: "servers.zygote",
        doc: "a copy of a Chromium zygote: a renderer or another sandboxed process",
        library: None,
        pattern: Some("zygote_child"),
        confidence: Likely,
        weight: 84,
        evidence: "a copy, without exec, of a process whose first argument is --type=zygote: {parent}{peer}",
        when: |v| {
            let first = v.parent.argv().get(1).is_some_and(|a| a == "--type=zygote");
            if !first || v.meant_to_exec() || v.creation().is_none() || v.flags(flag::VM) {
                return None;
            }
            let asked = v.facts.peer.is_some();
            if !asked && v.parent_pattern() == Some("namespace") {
                // The first process of a new pid namespace, which goes on as the zygote in a copy of itself.
                return None;
            }
            // Electron applications bear their own names; their zygote is the browser, run again.
            let known = is_chromium(v.parent.name) || v.parent_pattern() == Some("reexec");
            Some(Fit::at_most(if known && asked { Likely } else { Guess }))
        },
    },
    Rule {
        name: "servers.erlang",
        doc: "a port program of the Erlang virtual machine, by way of erl_child_setup",
        library: None,
        pattern: Some("erl_child_setup"),
        confidence: Likely,
        weight: 86,
        evidence: "made by {parent}, through which the Erlang virtual machine starts every program",
        when: |v| {
            let port = v.creation().is_some() && v.parent.name == "erl_child_setup";
            port.then_some(Fit::at_most(v.parent.name_trust()))
        },
    },
];

/// A copy that goes on as such and whose creator does so too.
fn working_copy(v: &View<'_>) -> bool {
    v.plain_copy() && !v.left_behind() && !v.only_passes_on()
}

/// More than one such copy lives for a second or more.
fn several(v: &View<'_>) -> bool {
    v.facts.siblings.execless_peak >= 2 && v.facts.siblings.execless_long_lived >= 2
}

fn is_prefork_master(name: &str) -> bool {
    matches!(
        name,
        "nginx"
            | "openresty"
            | "tengine"
            | "angie"
            | "postgres"
            | "postmaster"
            | "apache2"
            | "httpd"
            | "httpd.worker"
            | "lighttpd"
            | "haproxy"
            | "uwsgi"
            | "uwsgi-core"
            | "uwsgi_python3"
            | "smbd"
            | "winbindd"
            | "dovecot"
            | "exim4"
            | "exim"
            | "vsftpd"
            | "proftpd"
            | "pure-ftpd"
            | "squid"
            | "varnishd"
            | "named"
            | "radiusd"
            | "freeradius"
            | "kamailio"
            | "opensips"
            | "unit"
            | "unitd"
            | "pgbouncer"
            | "h2o"
            | "saslauthd"
    ) || (name.starts_with("php-fpm") && !name.contains('/'))
}

/// Python servers are scripts: the interpreter's file says nothing.
fn python_master<'a>(v: &View<'a>) -> Option<&'a str> {
    if !v.parent.is(Kind::Python) {
        return None;
    }
    let name = match python_line(v.parent.argv())?.target {
        Target::Script(path) => base(path),
        Target::Module(module) => module,
        Target::Code(_) => return None,
    };
    matches!(
        name,
        "gunicorn" | "gunicorn.app.wsgiapp" | "celery" | "circusd" | "unicorn" | "mod_wsgi-express"
    )
    .then_some(name)
}

fn keeps_snapshots(name: &str) -> bool {
    matches!(
        name,
        "redis-server"
            | "redis"
            | "valkey-server"
            | "keydb-server"
            | "redict-server"
            | "redis-sentinel"
            | "redis-check-rdb"
    )
}

fn is_chromium(name: &str) -> bool {
    matches!(
        name,
        "chrome"
            | "chromium"
            | "chromium-browser"
            | "chrome-headless-shell"
            | "headless_shell"
            | "msedge"
            | "brave"
            | "opera"
            | "vivaldi-bin"
            | "electron"
            | "code"
            | "slack"
            | "QtWebEngineProcess"
            | "content_shell"
    )
}
