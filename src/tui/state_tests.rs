use super::*;
use crate::trace::document::tests as samples;
use crate::trace::schema::Phase;

fn start(id: &str, parent: Option<&str>, began: u64, ns: u64) -> Start {
    let mut start = samples::start(id, parent, began);
    start.timeline.duration_ns = ns;
    start.argv = Some(vec![format!("prog-{id}"), "\x1b[31m".into()]);
    start
}

fn open(id: &str, parent: Option<&str>, origin_ns: u64) -> UnderWay {
    let phase = Phase { name: "app".into(), at_ns: 0, duration_ns: 5, exec: None };
    UnderWay {
        start_id: id.into(),
        parent: parent.map(str::to_owned),
        pid: 7,
        comm: "late\n".into(),
        exe: None,
        argv: None,
        origin_ns,
        phases: vec![phase],
    }
}

fn ids(state: &State) -> Vec<(usize, String)> {
    state.list().into_iter().map(|(depth, item)| (depth, item.start_id().to_owned())).collect()
}

fn flat(state: &State) -> Vec<String> {
    ids(state).into_iter().map(|(_, id)| id).collect()
}

fn filled() -> State {
    let mut state = State::new("all".into());
    for start in [
        start("c", Some("b"), 30, 500),
        start("b", Some("a"), 20, 1_000),
        start("d", Some("gone"), 40, 2_000),
        start("x", Some("x"), 50, 1),
    ] {
        state.start(&start);
    }
    state.under_way(vec![open("a", None, 10), open("e", Some("d"), 45)]);
    state
}

#[test]
fn the_tree_has_what_is_under_way_and_no_start_twice() {
    let state = filled();
    let tree: Vec<(usize, String)> =
        [(0, "a"), (1, "b"), (2, "c"), (0, "d"), (1, "e"), (0, "x")].map(|(n, id)| (n, id.to_owned())).into();
    assert_eq!(ids(&state), tree);
    // Two that claim to be each other's parents are lost from a tree, and nothing hangs.
    let mut state = State::new("all".into());
    state.start(&start("a", Some("b"), 1, 1));
    state.start(&start("b", Some("a"), 2, 1));
    assert!(state.list().len() <= 2);
}

#[test]
fn keys_sort_filter_pause_and_choose() {
    let mut state = filled();
    assert_eq!(state.key(Key::Char('s')), None);
    assert_eq!(flat(&state), ["c", "b", "d", "x"]);
    state.key(Key::Char('s'));
    assert_eq!(flat(&state), ["d", "b", "c", "x"]);
    for c in "/PROG-B".chars() {
        state.key(Key::Char(c));
    }
    assert_eq!(flat(&state), ["b"]);
    state.key(Key::Backspace);
    assert_eq!(flat(&state).len(), 4);
    // While it is typed, a q is a letter.
    assert_eq!(state.key(Key::Char('q')), None);
    assert!(state.list().is_empty());
    state.key(Key::Escape);
    assert_eq!((state.typing, state.filter.as_str()), (false, ""));
    assert_eq!(state.key(Key::Char('q')), Some(Wish::Quit));
    assert_eq!(state.key(Key::Interrupt), Some(Wish::Quit));

    state.key(Key::Char(' '));
    state.start(&start("later", None, 60, 9));
    assert!(state.is_paused() && !flat(&state).contains(&"later".to_owned()));
    state.key(Key::Char(' '));
    assert!(flat(&state).contains(&"later".to_owned()));

    state.key(Key::Down);
    assert_eq!(state.selected.as_deref(), Some("d"));
    state.key(Key::Down);
    state.key(Key::End);
    assert_eq!(state.selected.as_deref(), Some("x"));
    state.key(Key::Down);
    assert_eq!(state.selected.as_deref(), Some("x"));
    state.key(Key::PageUp);
    assert_eq!(state.selected.as_deref(), Some("d"));
    state.key(Key::Enter);
    assert!(state.detail && state.looked_at().is_some_and(|start| start.start_id == "d"));
    state.key(Key::Down);
    assert_eq!((state.detail_scroll, state.selected.as_deref()), (1, Some("d")));
    state.key(Key::Escape);
    assert!(!state.detail);
    assert_eq!(state.key(Key::Char('w')), Some(Wish::Save));
}

#[test]
fn what_is_dropped_is_counted_and_ends_are_kept() {
    let mut state = State::new("all".into());
    state.limit = (3, usize::MAX);
    for i in 0..10 {
        state.start(&start(&i.to_string(), None, i, i));
    }
    assert_eq!((state.kept(), state.dropped, state.total.starts), (3, 7, 10));
    state.exit("8", samples::exit(3));
    state.exit("0", samples::exit(3));
    assert_eq!(state.failed, 1);
    let lines: Vec<Line> = state.trace_lines().collect();
    let ends: Vec<Option<i32>> = lines
        .iter()
        .map(|line| match line {
            Line::Start(start) => start.exit.as_ref().and_then(|exit| exit.code),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ends, [None, Some(3), None]);

    // By size, too: but the last one stays, however large it is.
    let mut state = State::new("all".into());
    state.limit = (1_000, 20_000);
    let mut large = start("large", None, 1, 1);
    large.argv = Some(vec!["y".repeat(30_000)]);
    for i in 0..50 {
        state.start(&start(&i.to_string(), None, i, i));
    }
    assert!(state.bytes <= 20_000 && state.kept() > 1);
    assert_eq!(state.kept() as u64 + state.dropped, 50);
    state.start(&large);
    assert_eq!((state.kept(), state.dropped), (1, 50));
}

#[test]
fn rates_are_of_whole_seconds() {
    let mut state = State::new("all".into());
    for second in 0..20 {
        state.elapsed = Duration::from_secs(second);
        (0..second).for_each(|i| state.start(&start(&format!("{second}-{i}"), None, i, 7)));
    }
    // The seconds 14 to 18; 19 is not over.
    assert_eq!(state.total.rate(19), 16.0);
    let all = state.by_method();
    assert_eq!((all[0].0, all[0].1.starts, all[0].2), ("fork", 190, 16.0));
    assert_eq!(state.total.rate(1_000), 0.0);
}
