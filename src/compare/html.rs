//! A comparison as one page for a browser.
//!
//! It has no script at all: what can be looked at more closely is folded, and what a bar is says its title. So
//! its policy forbids every script and every request, and nothing of a trace is more than escaped text.

use super::comparison::{Comparison, Kind, Pair, Part, SideNote, Unit, Verdict};
use super::gate::{Outcome, change, p_text};
use super::stats::Summary;
use super::text::{Shown, alone, left_out, numbers, side, told, verdicts, word};
use super::waterfall::{Drawn, Line, Piece, Representative, lines};
use crate::packed;
use crate::report::markup::{self, PALETTE, escape, shown};
use crate::sort::SortSmall;
use crate::words::human::median;
use crate::words::label;
use crate::words::{count, counted, duration};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Rows of a table.
const MAX_ROWS: usize = 200;
/// Commands whose parts are drawn.
const MAX_ROOTS: usize = 4;
/// Reasons that stand below the verdict.
const MAX_REASONS: usize = 6;
/// Phases or states of one pair.
const MAX_PARTS: usize = 12;
/// Traces that are named.
const MAX_TRACES: usize = 40;
/// Width of a drawing, in its own units.
const WIDTH: u64 = 10_000;

/// Writes a comparison as a page; with the runs that stand for both sides, if they could be read.
///
/// # Errors
/// `out` cannot be written.
pub fn html(
    comparison: &Comparison,
    runs: Option<&[Representative; 2]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let told = verdicts(comparison);
    let title = told.first().map_or("nothing to compare".to_owned(), |(_, text)| text.clone());
    let nonce = markup::nonce();
    let style = packed::text!("compare/html/style.css");
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'nonce-{nonce}'; \
         img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>startrace diff: {}</title>\n\
         <style nonce=\"{nonce}\">{PALETTE}{style}{}</style>\n</head>\n<body>\n",
        escape(&title),
        markup::class_rules(),
    )?;
    writeln!(
        out,
        "<header><b>startrace diff</b><span class=\"dim\">BASE {}<br>NEW {}</span></header>\n<main>",
        shown(&side(&comparison.base)),
        shown(&side(&comparison.new))
    )?;
    if told.is_empty() {
        writeln!(out, "<h1>The two sides have no command in common</h1>")?;
    }
    for (verdict, text) in &told {
        writeln!(out, "<h1 class=\"{}\">{}</h1>", class(*verdict), shown(text))?;
    }
    reasons(comparison, out)?;
    gate(comparison, out)?;
    for warning in &comparison.warnings {
        writeln!(out, "<p class=\"alert\">{}</p>", shown(warning))?;
    }
    for pair in comparison.pairs.iter().filter(|pair| pair.is_root()).take(MAX_ROOTS) {
        root(pair, out)?;
    }
    pairs(comparison, out)?;
    alone_section(&comparison.appeared, "New processes", out)?;
    alone_section(&comparison.vanished, "Vanished processes", out)?;
    match runs {
        Some([base, new]) => waterfall(base, new, out)?,
        None if told.is_empty() => {}
        None => writeln!(
            out,
            "<p class=\"dim\">No run of both sides could be drawn: none was seen whole, or a trace came from \
             standard input, which cannot be read twice.</p>"
        )?,
    }
    footer(comparison, out)?;
    writeln!(out, "</main>\n</body>\n</html>")
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
        Verdict::Same => "same",
        Verdict::Unclear => "unclear",
        Verdict::TooFew => "few",
    }
}

/// From so many nanoseconds on, a difference is told.
fn least(pair: &Pair) -> u64 {
    (pair.base.tally.duration.map_or(0, |d| d.median_ns) / 50).max(1_000)
}

/// Why: what the first command waits for now, and which processes that comes from.
fn reasons(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let Some(root) = comparison.pairs.iter().find(|pair| pair.is_root()) else { return Ok(()) };
    let least = least(root);
    let mut list: Vec<(i64, String)> = Vec::new();
    // By state where the traces have paths, else by phase.
    let parts = if root.path.is_empty() { &root.phases } else { &root.path };
    for part in parts.iter().filter(|part| part.shift_ns.unsigned_abs() >= least) {
        list.push((
            part.shift_ns,
            format!("{} {}", part_words(root, part, comparison.alpha), shown_part(part)),
        ));
    }
    for pair in comparison.pairs.iter().filter(|pair| !pair.is_root()) {
        if pair.contribution_ns.unsigned_abs() >= least
            && matches!(pair.verdict, Verdict::Slower | Verdict::Faster)
        {
            let middle = |kind: &Kind| kind.tally.duration.map_or("?".to_owned(), |d| duration(d.median_ns));
            let text = format!(
                "in {} ({} &rarr; {})",
                shown(&pair.new.label),
                middle(&pair.base),
                middle(&pair.new)
            );
            list.push((pair.contribution_ns, text));
        }
    }
    for (kinds, sign, what) in
        [(&comparison.appeared, 1, "a new process"), (&comparison.vanished, -1, "a process that is gone")]
    {
        for kind in kinds.iter() {
            let ns = kind.tally.on_path_ns.unwrap_or(0);
            if ns >= least {
                list.push((sign * ns.min(1 << 62).cast_signed(), format!("{what}: {}", shown(&kind.label))));
            }
        }
    }
    list.sort_small_by_key(|(ns, _)| std::cmp::Reverse(ns.unsigned_abs()));
    if list.is_empty() && root.changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "<ul class=\"why\">")?;
    for (ns, text) in list.iter().take(MAX_REASONS) {
        let class = if *ns > 0 { "slower" } else { "faster" };
        writeln!(out, "<li><b class=\"{class}\">{}</b> {text}</li>", change(*ns, None))?;
    }
    for change in root.changes.iter().take(4) {
        writeln!(out, "<li>changed {}</li>", shown(&told(change)))?;
    }
    writeln!(out, "</ul>")?;
    if list.len() > 1 {
        writeln!(
            out,
            "<p class=\"dim\">These look at the same time from different sides, and are not to be added up.</p>"
        )?;
    }
    Ok(())
}

fn shown_part(part: &Part) -> String {
    format!("({} &rarr; {})", duration(part.base_ns), duration(part.new_ns))
}

/// What a part is, in words; whether it may be chance.
fn part_words(pair: &Pair, part: &Part, alpha: f64) -> String {
    let chance = if pair.p.is_some() && part.p > alpha { ", may be chance" } else { "" };
    let what = match part.name.as_str() {
        "running" => "running on a CPU".to_owned(),
        "runnable" => "waiting for a CPU".to_owned(),
        "creating" => "creating the process".to_owned(),
        "unknown" => "not observed".to_owned(),
        name if pair.path.iter().any(|other| std::ptr::eq(other, part)) => {
            format!("waiting: {}", shown(name))
        }
        name => format!("phase {}", shown(name)),
    };
    format!("{what}{chance}")
}

fn gate(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let Some(gate) = &comparison.gate else { return Ok(()) };
    let (class, text) = match gate.outcome {
        Outcome::Passed => ("alert", format!("Passed: nothing is slower by more than {}", gate.limit)),
        Outcome::TooFew => {
            ("alert", format!("Too few samples to say that nothing is slower by more than {}", gate.limit))
        }
        Outcome::Slower => ("alert bad", format!("Failed: slower by more than {}", gate.limit)),
    };
    writeln!(out, "<div class=\"{class}\"><b>{}</b>", escape(&text))?;
    for reason in gate.reasons.iter().take(MAX_ROWS) {
        writeln!(out, "<br>{}", shown(reason))?;
    }
    writeln!(out, "</div>")
}

/// A command's states and phases on both sides, to one scale.
fn root(pair: &Pair, out: &mut dyn Write) -> io::Result<()> {
    let (Some(base), Some(new)) = (pair.base.tally.duration, pair.new.tally.duration) else { return Ok(()) };
    writeln!(
        out,
        "<section><h2>Where the time goes</h2><h3>{}</h3><div class=\"two\">",
        shown(&pair.new.label)
    )?;
    for (name, parts, class) in [
        ("Critical path: what it waits for", &pair.path, markup::state_class as fn(&str) -> String),
        ("Phases", &pair.phases, markup::phase_class as fn(&str) -> String),
    ] {
        if parts.is_empty() {
            continue;
        }
        writeln!(out, "<div><h4>{name}</h4>")?;
        let order = |of: &dyn Fn(&Part) -> u64| -> Vec<Piece> {
            // The same order on both sides: of the phases that of a life, of the states the largest first.
            let mut sorted: Vec<&Part> = parts.iter().collect();
            sorted.sort_small_by_key(|part| {
                let most = part.base_ns.max(part.new_ns);
                (crate::report::phase::of_name(&part.name), std::cmp::Reverse(most))
            });
            let mut at = 0_u64;
            let pieces = sorted.into_iter().map(|part| {
                let piece = Piece { class: class(&part.name), name: part.name.clone(), at, ns: of(part) };
                at = at.saturating_add(piece.ns);
                piece
            });
            pieces.collect()
        };
        let (old, after) = (order(&|part| part.base_ns), order(&|part| part.new_ns));
        let end = |pieces: &[Piece]| pieces.last().map_or(0, |piece| piece.at.saturating_add(piece.ns));
        let scale = end(&old).max(end(&after)).max(base.median_ns).max(new.median_ns);
        for (called, pieces, summary) in [("BASE", &old, base), ("NEW", &after, new)] {
            writeln!(
                out,
                "<div class=\"side\"><span class=\"dim\">{called}</span>{}<span>{}</span></div>",
                bar("bar", pieces, scale, called),
                duration(summary.median_ns)
            )?;
        }
        writeln!(
            out,
            "<table><tr><th></th><th class=\"n\">BASE</th><th class=\"n\">NEW</th><th class=\"n\">Change</th><th></th></tr>"
        )?;
        for part in parts.iter().filter(|part| part.base_ns > 0 || part.new_ns > 0).take(MAX_PARTS) {
            let tells = part.shift_ns.unsigned_abs() >= least(pair);
            let chance = tells && pair.p.is_some() && part.p > 0.05;
            let class_of = match part.shift_ns {
                _ if !tells => "dim",
                _ if chance => "unclear",
                ns if ns > 0 => "slower",
                _ => "faster",
            };
            writeln!(
                out,
                "<tr><td><i class=\"dot {}\"></i>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n {class_of}\">{}</td><td class=\"dim\">{}</td></tr>",
                class(&part.name),
                shown(&part.name),
                duration(part.base_ns),
                duration(part.new_ns),
                change(part.shift_ns, None),
                if chance { "may be chance" } else { "" },
            )?;
        }
        writeln!(out, "</table></div>")?;
    }
    writeln!(out, "</div>")?;
    let several = base.n > 1 || new.n > 1;
    if several {
        writeln!(
            out,
            "<p class=\"dim\">Medians of each part by itself: they need not add up to that of the whole.</p>"
        )?;
    }
    writeln!(out, "</section>")
}

fn x(ns: u64, scale: u64) -> u64 {
    let wide = u128::from(ns.min(scale)) * u128::from(WIDTH) / u128::from(scale.max(1));
    u64::try_from(wide).unwrap_or(WIDTH)
}

/// Pieces on a line, to scale.
fn bar(class: &str, pieces: &[Piece], scale: u64, called: &str) -> String {
    let mut text = format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {WIDTH} 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
        escape(called)
    );
    for piece in pieces.iter().filter(|piece| piece.ns > 0) {
        let from = x(piece.at, scale);
        let to = x(piece.at.saturating_add(piece.ns), scale);
        // What is too short for its scale is still there.
        let width = to.saturating_sub(from).max(12);
        text.push_str(&format!(
            "<rect class=\"{}\" x=\"{from}\" y=\"0\" width=\"{width}\" height=\"10\"><title>{}: {}</title></rect>",
            piece.class,
            escape(&label::harmless(&piece.name, 100)),
            duration(piece.ns),
        ));
    }
    text.push_str("</svg>");
    text
}

/// How the values of both sides are spread: smallest, quartiles, median, largest.
fn spread(base: &Summary, new: &Summary) -> String {
    let scale = base.max_ns.max(new.max_ns).max(1);
    let mut text = format!(
        "<svg class=\"box\" viewBox=\"0 0 {WIDTH} 22\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"spread\">"
    );
    for (y, class, of) in [(1, "base", base), (12, "new", new)] {
        let mut rect = |class: &str, from: u64, to: u64, y: u64, height: u64| {
            let from = x(from, scale);
            let width = x(to, scale).saturating_sub(from).max(25);
            text.push_str(&format!(
                "<rect class=\"{class}\" x=\"{from}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
            ));
        };
        rect(&format!("{class} whisker"), of.min_ns, of.max_ns, y + 4, 1);
        rect(class, of.p25_ns, of.p75_ns, y + 1, 7);
        rect("mid", of.median_ns, of.median_ns, y, 9);
    }
    text.push_str("</svg>");
    text
}

fn pairs(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let Shown { pairs, changed, same } = Shown::of(comparison, false);
    if comparison.pairs.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<section><h2>Starts on both sides</h2><table class=\"pairs\"><thead><tr><th></th><th>Start</th>\
         <th class=\"n\">BASE</th><th class=\"n\">NEW</th><th class=\"n\">Change</th><th class=\"n\">Surely within</th>\
         <th>Spread</th><th class=\"n\">p</th><th class=\"n\">Samples</th></tr></thead><tbody>"
    )?;
    for pair in pairs.iter().take(MAX_ROWS) {
        row(pair, comparison.alpha, out)?;
    }
    writeln!(out, "</tbody></table>")?;
    let hidden = pairs.len().saturating_sub(MAX_ROWS);
    if hidden > 0 {
        writeln!(out, "<p class=\"dim\">and {} more that changed</p>", count(hidden as u64))?;
    }
    if !pairs.is_empty() {
        writeln!(
            out,
            "<p class=\"dim\">Medians; the change is the Hodges-Lehmann shift, with where it lies for {:.0} % of all \
             such comparisons. Spread: grey BASE, coloured NEW; line from the smallest to the largest, box for the \
             middle half, mark at the median.</p>",
            (1.0 - comparison.alpha) * 100.0
        )?;
    }
    if !changed.is_empty() {
        writeln!(out, "<h4>Also changed</h4><ul>")?;
        for pair in changed.iter().take(MAX_ROWS) {
            let changes: Vec<String> = pair.changes.iter().map(told).collect();
            writeln!(out, "<li>{}: {}</li>", shown(&pair.new.label), shown(&changes.join("; ")))?;
        }
        writeln!(out, "</ul>")?;
        let hidden = changed.len().saturating_sub(MAX_ROWS);
        if hidden > 0 {
            writeln!(out, "<p class=\"dim\">and {} more</p>", count(hidden as u64))?;
        }
    }
    if same > 0 {
        let kinds = if same == 1 { "kind of start" } else { "kinds of start" };
        writeln!(
            out,
            "<p class=\"dim\">{} other {kinds} without a change that matters</p>",
            count(same as u64)
        )?;
    }
    writeln!(out, "</section>")
}

fn row(pair: &Pair, alpha: f64, out: &mut dyn Write) -> io::Result<()> {
    let (base, new) = (pair.base.tally.duration, pair.new.tally.duration);
    let middle = |of: Option<Summary>| of.map_or("-".to_owned(), |of| duration(of.median_ns));
    let by = pair.shift.map_or("-".to_owned(), |shift| change(shift.estimate_ns, pair.shift_percent));
    let within = pair.shift.and_then(|shift| shift.interval_ns);
    let within = within
        .map_or("-".to_owned(), |(low, high)| format!("{} to {}", change(low, None), change(high, None)));
    let unit = match pair.unit {
        Unit::Run => "runs",
        Unit::Start => "starts",
    };
    writeln!(
        out,
        "<tr><td><span class=\"badge {}\">{}</span></td><td>{}",
        class(pair.verdict),
        word(pair.verdict),
        shown(&pair.new.label)
    )?;
    writeln!(out, "<details><summary>details</summary><p>{}</p>", escape(&numbers(pair, alpha)))?;
    for (name, parts) in [("phases", &pair.phases), ("path", &pair.path)] {
        let text = super::text::parts(pair, parts, alpha);
        if !text.is_empty() {
            writeln!(out, "<p>{name}: {}</p>", shown(&text))?;
        }
    }
    for change in &pair.changes {
        writeln!(out, "<p>changed {}</p>", shown(&told(change)))?;
    }
    if let Some(parent) = &pair.new.parent {
        writeln!(out, "<p class=\"dim\">started by {}, {}</p>", shown(parent), shown(&pair.new.method))?;
    }
    for (called, kind) in [("BASE", &pair.base), ("NEW", &pair.new)] {
        if let Some(text) = left_out(kind) {
            writeln!(out, "<p class=\"dim\">left out of {called}: {}</p>", escape(&text))?;
        }
    }
    writeln!(
        out,
        "</details></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n {}\">{by}</td>\
         <td class=\"n\">{within}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{} + {} {unit}</td></tr>",
        middle(base),
        middle(new),
        class(pair.verdict),
        base.zip(new).map(|(base, new)| spread(&base, &new)).unwrap_or_default(),
        pair.p_adjusted.or(pair.p).map_or("-".to_owned(), |p| escape(&p_text(p))),
        base.map_or(0, |of| of.n),
        new.map_or(0, |of| of.n),
    )
}

fn alone_section(kinds: &[Kind], heading: &str, out: &mut dyn Write) -> io::Result<()> {
    if kinds.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section><h2>{heading}</h2><ul>")?;
    for kind in kinds.iter().take(MAX_ROWS) {
        writeln!(out, "<li>{} <span class=\"dim\">{}</span></li>", shown(&kind.label), shown(&alone(kind)))?;
    }
    writeln!(out, "</ul>")?;
    if kinds.len() > MAX_ROWS {
        writeln!(out, "<p class=\"dim\">and {} more</p>", count((kinds.len() - MAX_ROWS) as u64))?;
    }
    writeln!(out, "</section>")
}

/// Both runs in one table, to one scale.
fn waterfall(base: &Representative, new: &Representative, out: &mut dyn Write) -> io::Result<()> {
    let scale = base.end().max(new.end()).max(1);
    let of = |run: &Representative| match run.of {
        1 => "the only one".to_owned(),
        n => format!("the median of {}", count(n as u64)),
    };
    writeln!(
        out,
        "<section><h2>One run of each side</h2><p class=\"dim\">BASE: {}; NEW: {}. One scale for both; upper bar \
         phases, lower bar what its critical path waited for.</p><table class=\"water\"><thead><tr><th>Start</th>\
         <th class=\"n\">BASE</th><th class=\"chart\">0<span>{2}</span></th><th class=\"n\">NEW</th>\
         <th class=\"chart\">0<span>{2}</span></th></tr></thead><tbody>",
        of(base),
        of(new),
        duration(scale)
    )?;
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for Line { depth, base: old, new: after } in lines(base, new) {
        let members = |of: &'_ [usize], run: &'_ Representative| -> Vec<(u64, u64, Drawn)> {
            let drawn = |at: &usize| {
                let member = run.members.get(*at)?;
                Some((member.at, member.ns, member.drawn.clone()?))
            };
            of.iter().filter_map(drawn).collect()
        };
        let (old, after) = (members(&old, base), members(&after, new));
        let mut labels = after.iter().chain(&old).map(|(_, _, drawn)| &*drawn.label);
        let Some(first) = labels.next() else { continue };
        let name = label::common(first, labels);
        let most = old.len().max(after.len());
        let many = if most > 1 { format!("<b>{} ×</b> ", count(most as u64)) } else { String::new() };
        let only = match (old.is_empty(), after.is_empty()) {
            (true, false) => " <span class=\"badge slower\">new</span>".to_owned(),
            (false, true) => " <span class=\"badge\">gone</span>".to_owned(),
            _ if old.len() != after.len() => {
                format!(
                    " <span class=\"badge\">{} &rarr; {}</span>",
                    count(old.len() as u64),
                    count(after.len() as u64)
                )
            }
            _ => String::new(),
        };
        let method = after.iter().chain(&old).next().map_or("", |(_, _, drawn)| &*drawn.method);
        let pids = |called: &str, of: &[(u64, u64, Drawn)]| match of {
            [(_, _, drawn)] => format!("; {called} pid {}", drawn.pid),
            _ => String::new(),
        };
        writeln!(
            out,
            "<tr><td class=\"name\" title=\"{} ({}{}{})\">{}{many}{}{only}</td>{}{}</tr>",
            escape(&name),
            escape(method),
            pids("BASE", &old),
            pids("NEW", &after),
            "&emsp;".repeat(depth.min(12)),
            shown(&name),
            cells(&old, scale, &mut seen),
            cells(&after, scale, &mut seen)
        )?;
    }
    writeln!(out, "</tbody></table><div class=\"legend\">")?;
    for (class, name) in seen {
        writeln!(out, "<span><i class=\"dot {class}\"></i>{}</span>", shown(&name))?;
    }
    writeln!(out, "</div>")?;
    for (called, run) in [("BASE", base), ("NEW", new)] {
        if run.left_out > 0 {
            writeln!(
                out,
                "<p class=\"dim\">{called}: the longest {}; {} more are not drawn.</p>",
                counted(run.members.len() as u64, "start"),
                count(run.left_out as u64)
            )?;
        }
    }
    writeln!(out, "</section>")
}

/// The time of a start (of several, their median) and its bars.
fn cells(of: &[(u64, u64, Drawn)], scale: u64, seen: &mut BTreeMap<String, String>) -> String {
    let Some((_, _, first)) = of.first() else { return "<td></td><td class=\"chart\"></td>".to_owned() };
    let mut times: Vec<u64> = of.iter().map(|(_, ns, _)| *ns).collect();
    let about = if of.len() > 1 { "~ " } else { "" };
    let mut text =
        format!("<td class=\"n\">{about}{}</td><td class=\"chart\">", duration(median(&mut times)));
    let at = |list: &dyn Fn(&Drawn) -> Vec<Piece>| -> Vec<Piece> {
        let moved = of.iter().flat_map(|(at, _, drawn)| {
            list(drawn).into_iter().map(|piece| Piece { at: piece.at.saturating_add(*at), ..piece })
        });
        moved.collect()
    };
    let (phases, states) = (at(&|drawn| drawn.phases.clone()), at(&|drawn| drawn.states.clone()));
    for piece in phases.iter().chain(&states) {
        let name = || if piece.class.ends_with("-other") { "other".to_owned() } else { piece.name.clone() };
        seen.entry(piece.class.clone()).or_insert_with(name);
    }
    text.push_str(&bar("line", &phases, scale, &first.label));
    if !states.is_empty() {
        text.push_str(&bar("thin", &states, scale, "critical path"));
    }
    text.push_str("</td>");
    text
}

fn footer(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<footer>")?;
    for (called, note) in [("BASE", &comparison.base), ("NEW", &comparison.new)] {
        let SideNote { traces, runs, starts, .. } = note;
        let names: Vec<&str> = traces.iter().take(MAX_TRACES).map(|trace| &*trace.name).collect();
        let rest = traces.len().saturating_sub(names.len());
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let machine = traces.first().map(|trace| format!("; {}, Linux {}", trace.host, trace.kernel));
        let text = format!(
            "{called}: {}, {}; {}{rest}{}",
            counted(*runs, "run"),
            counted(*starts, "start"),
            names.join(", "),
            machine.unwrap_or_default()
        );
        writeln!(out, "<p>{}</p>", shown(&text))?;
    }
    writeln!(out, "<p>startrace {}</p></footer>", env!("CARGO_PKG_VERSION"))
}
