//! Numbers for people.

const UNITS: [(&str, u64); 4] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];

/// A duration in nanoseconds with three significant digits: `412 ns`, `1.20 ms`, `34.5 s`; from 1000 s
/// on in the two largest of days, hours, minutes and seconds.
pub fn duration(ns: u64) -> String {
    if ns < 1_000 {
        return format!("{ns} ns");
    }
    for (name, unit) in UNITS {
        // Digits after the point that leave three in all; rounding can carry into the next size.
        for (below, scale) in [(10, 100), (100, 10), (1_000, 1)] {
            let rounded = (u128::from(ns) * scale + u128::from(unit) / 2) / u128::from(unit);
            if rounded < below * scale {
                let (whole, part) = (rounded / scale, rounded % scale);
                return match scale {
                    100 => format!("{whole}.{part:02} {name}"),
                    10 => format!("{whole}.{part} {name}"),
                    _ => format!("{whole} {name}"),
                };
            }
        }
    }
    let seconds = ns / 1_000_000_000;
    match seconds {
        0..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A count with thousands apart: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 start`, `2 starts`.
pub(crate) fn counted(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(n), if n == 1 { "" } else { "s" })
}

/// What made a start ready, and that it was concluded where it was not seen.
pub(crate) fn ready_by(kind: &str, inferred: bool) -> String {
    if inferred { format!("{kind}, inferred") } else { kind.to_owned() }
}

/// A share in whole percent, rounded; `<1 %` where it is more than nothing, `>99 %` where it is less than all.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let (hundredfold, whole) = (u128::from(part) * 100, u128::from(whole.max(1)));
    match (hundredfold + whole / 2) / whole {
        0 | 1 if part > 0 && hundredfold < whole => "<1 %".into(),
        100 if hundredfold < whole * 100 => ">99 %".into(),
        share => format!("{share} %"),
    }
}

/// The median, by nearest rank; 0 of nothing. Reorders its input.
pub(crate) fn median(durations: &mut [u64]) -> u64 {
    let middle = durations.len().saturating_sub(1) / 2;
    if durations.is_empty() {
        return 0;
    }
    *durations.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits_and_carry() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (9_994, "9.99 us"),
            (9_995, "10.0 us"),
            (99_949, "99.9 us"),
            (99_950, "100 us"),
            (999_499, "999 us"),
            (999_500, "1.00 ms"),
            (1_234_567, "1.23 ms"),
            (612_000_000, "612 ms"),
            (1_620_000_000, "1.62 s"),
            (999_499_999_999, "999 s"),
            (999_500_000_000, "16m 39s"),
            (3_600_000_000_000, "1h 00m"),
            (86_400_000_000_000, "1d 00h"),
            (u64::MAX, "213503d 23h"),
        ] {
            assert_eq!(duration(ns), text, "{ns}");
        }
    }

    #[test]
    fn counts_shares_and_medians() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(2, 3), "67 %");
        assert_eq!(percent(1, 1_000), "<1 %");
        // What rounding would make something or all of it.
        for (part, text) in [
            (0, "0 %"),
            (1, "<1 %"),
            (9_999, "<1 %"),
            (10_000, "1 %"),
            (14_999, "1 %"),
            (15_000, "2 %"),
            (994_999, "99 %"),
            (995_000, ">99 %"),
            (999_600, ">99 %"),
            (999_999, ">99 %"),
            (1_000_000, "100 %"),
            (1_004_999, "100 %"),
        ] {
            assert_eq!(percent(part, 1_000_000), text, "{part}");
        }
        assert_eq!(percent(u64::MAX - 1, u64::MAX), ">99 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100 %");
        assert_eq!(percent(5, 0), "500 %");
        assert_eq!(median(&mut []), 0);
        assert_eq!(median(&mut [3, 1, 2]), 2);
        assert_eq!(median(&mut [4, 1, 2, 3]), 2);
    }
}
