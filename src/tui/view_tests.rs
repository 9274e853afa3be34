use super::*;
use crate::trace::document::tests as samples;
use crate::trace::schema::{Phase, ProcessRef, States, Wait, WokenBy};
use crate::tui::keys::Key;
use ratatui_core::backend::TestBackend;
use ratatui_core::terminal::Terminal;
use std::time::Duration;

const RICH: Text = Text { width: 80, color: true, unicode: true };
const POOR: Text = Text { width: 80, color: false, unicode: false };

fn phase(name: &str, at_ns: u64, duration_ns: u64) -> Phase {
    Phase { name: name.into(), at_ns, duration_ns, exec: None }
}

fn filled(evil: &str) -> State {
    let mut state = State::new("every start on the machine".into());
    state.elapsed = Duration::from_secs(62);
    state.in_progress = 3;
    for i in 0..40u64 {
        let id = format!("{i}@{i}/0");
        let mut start = samples::start(&id, (i % 4 > 0).then_some(&format!("{0}@{0}/0", i - i % 4)), i);
        start.pid = 1_000 + i as u32;
        let last = (!evil.is_empty()).then(|| evil.to_owned());
        start.argv = Some([format!("/usr/bin/prog{i}"), "--flag".into()].into_iter().chain(last).collect());
        start.exe = Some(format!("/usr/bin/prog{i}"));
        start.method = samples::method(if i % 3 == 0 { "subprocess" } else { "shell.pipeline" });
        start.timeline.duration_ns = 1_000_000 * (i + 1);
        start.timeline.phases =
            vec![phase("fork", 0, 200_000 * (i + 1)), phase("app", 200_000 * (i + 1), 800_000 * (i + 1))];
        start.timeline.states =
            Some(States { running_ns: 5, blocked: [("disk".to_owned(), 995)].into(), ..States::default() });
        start.timeline.waits = vec![Wait {
            at_ns: 1,
            duration_ns: 995,
            runnable_ns: 0,
            tid: 1,
            kind: "disk".into(),
            syscall: Some("read".into()),
            detail: Some(format!("/data{evil}")),
            woken_by: Some(WokenBy { kind: "task".into(), pid: Some(4), comm: Some(evil.into()) }),
            holder: None,
        }];
        start.parent = start.parent.map(|parent| ProcessRef { comm: Some(evil.into()), ..parent });
        if i == 7 {
            start.exit = Some(samples::exit(3));
        }
        state.start(&start);
    }
    state.under_way(vec![UnderWay {
        start_id: "99@99/0".into(),
        parent: None,
        pid: 99,
        comm: evil.into(),
        exe: None,
        argv: Some(vec!["sleepy".into(), evil.into()]),
        origin_ns: 99,
        phases: vec![phase("fork", 0, 1_000_000), phase("setup", 1_000_000, 3_000_000)],
    }]);
    state
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content().chunks(width.max(1));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()).collect()
}

fn shown(state: &mut State, width: u16, height: u16, text: Text) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(state, frame.buffer_mut(), text)).unwrap();
    lines(terminal.backend().buffer()).join("\n")
}

#[test]
fn a_screen_of_80_by_24_has_it_all() {
    let mut state = filled("");
    let text = shown(&mut state, 80, 24, RICH);
    let rows: Vec<&str> = text.lines().collect();
    assert!(
        rows[0].starts_with("startrace  1m 02s  40 starts  0/s  3 under way  1 failed  (every"),
        "{text}"
    );
    assert!(rows[1].starts_with("UNDER WAY") && rows[2].starts_with("sleepy"), "{text}");
    assert!(rows[2].contains("in setup") && rows[2].contains("4.00 ms ▚▚"), "{text}");
    assert!(rows[2].contains('▒'), "{text}");
    assert!(rows[3].starts_with("STARTS  41 by tree"), "{text}");
    // The tree follows its end.
    assert!(text.contains("\n  prog39 --flag"), "{text}");
    assert!(rows[23].starts_with("q quit  / filter"), "{text}");
    state.key(Key::Char('?'));
    let text = shown(&mut state, 80, 24, RICH);
    assert!(text.contains("w           write what is kept") && text.contains("▚ fork"), "{text}");
}

#[test]
fn details_show_phases_states_and_waits() {
    let mut state = filled("");
    state.selected = Some("7@7/0".into());
    state.detail = true;
    let text = shown(&mut state, 80, 40, RICH);
    for wanted in [
        "DETAIL  7@7/0",
        "command   /usr/bin/prog7 --flag",
        "method    shell.pipeline (a guess)",
        "ready     exit after 8.00 ms",
        "states    disk 995 ns, running 5 ns",
        "phases    fork        1.60 ms ▚▚",
        "waits       995 ns disk in read: /data; ended by task 4",
    ] {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
    assert!(text.contains("exit 3 prog7"), "{text}");
}

#[test]
fn wide_screens_show_methods_and_the_slowest_too() {
    let mut state = filled("");
    let text = shown(&mut state, 200, 50, RICH);
    assert!(text.contains("METHODS") && text.contains("SLOWEST"), "{text}");
    assert!(text.lines().any(|line| line.contains("shell.pipeline") && line.ends_with("20.5 ms")), "{text}");
    assert!(text.contains("40.0 ms prog39"), "{text}");
    state.key(Key::Tab);
    assert!(shown(&mut state, 80, 24, RICH).contains("PER S"));
    state.key(Key::Tab);
    assert!(shown(&mut state, 80, 24, RICH).contains("SLOWEST"));
}

#[test]
fn any_size_and_any_text_are_drawn_and_nothing_is_obeyed() {
    let evil = "\x1b]0;owned\x07\u{202e}\n\u{301}\u{fffd}日本語".repeat(30);
    let mut state = filled(&evil);
    state.filter = "prog".into();
    for detail in [false, true] {
        for key in [Key::Char('s'), Key::Tab, Key::Tab, Key::Char('?'), Key::Char('/')] {
            state.key(key);
            state.selected = Some("7@7/0".into());
            state.detail = detail;
            for (width, height) in
                [(0, 0), (1, 1), (1, 50), (10, 3), (3, 10), (39, 8), (80, 24), (121, 21), (300, 9)]
            {
                for text in [RICH, POOR] {
                    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                    draw(&mut state, &mut buffer, text);
                    assert_eq!(buffer.area, Rect::new(0, 0, width, height));
                    for cell in buffer.content() {
                        let symbol = cell.symbol();
                        assert!(!symbol.chars().any(char::is_control), "{symbol:?}");
                        assert!(text.unicode || symbol.is_ascii(), "{symbol:?}");
                        assert!(text.color || cell.fg == Color::Reset, "{cell:?}");
                    }
                }
            }
        }
        state.key(Key::Escape);
    }
}

#[test]
fn a_chosen_start_stays_in_sight() {
    let mut state = filled("");
    state.key(Key::Char('s'));
    shown(&mut state, 80, 24, RICH);
    for _ in 0..60 {
        state.key(Key::Up);
        let text = shown(&mut state, 80, 24, RICH);
        let id = state.selected.clone().unwrap();
        let name = format!("prog{} ", id.split('@').next().unwrap());
        assert!(text.contains(&name), "{name}:\n{text}");
    }
    assert_eq!(state.selected.as_deref(), Some("0@0/0"));
}

/// A storm must not be what the drawing of it makes slow.
#[test]
fn ten_thousand_starts_are_drawn_quickly() {
    let mut state = State::new("all".into());
    for i in 0..u64::try_from(crate::tui::state::MOST_STARTS).unwrap() {
        state.start(&samples::start(&format!("{i}@{i}/0"), Some(&format!("{0}@{0}/0", i / 3)), i));
    }
    let mut buffer = Buffer::empty(Rect::new(0, 0, 200, 50));
    let begin = std::time::Instant::now();
    draw(&mut state, &mut buffer, RICH);
    let took = begin.elapsed();
    println!("a picture of 10,000 starts: {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}
