//! Lengths of time as a person writes them: options, budgets, thresholds.

use std::time::Duration;

/// What is right.
pub(crate) const EXAMPLES: &str = "30s, 500ms, 1.5s or \"2m 30s\"";

/// `30s`, `1.5s`, `2m 30s`.
///
/// # Errors
/// It is none: what is right.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let bare = text.trim();
    if !bare.is_empty() && bare != "0" && bare.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("a time needs a unit, as in {EXAMPLES}"));
    }
    let wrong = || format!("a time is a number with its unit, as in {EXAMPLES}");
    // humantime knows whole numbers only; a person writes 1.5s.
    let Some((whole, rest)) = bare.split_once('.') else {
        return humantime::parse_duration(bare).map_err(|_| wrong());
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (part, unit) = rest.split_at(digits);
    let factor: f64 = match unit.trim() {
        "h" => 3600.0,
        "m" | "min" => 60.0,
        "s" | "sec" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        _ => return Err(wrong()),
    };
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: f64 = format!("0{whole}.{part}0").parse().map_err(|_| wrong())?;
    // Rounded to the nanosecond: what is written in decimal is no exact number of them in binary.
    Duration::try_from_secs_f64(number * factor).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, ns) in [
            ("30s", 30_000_000_000),
            ("1.5s", 1_500_000_000),
            (" 1s 500ms ", 1_500_000_000),
            ("2m", 120_000_000_000),
            ("1.5m", 90_000_000_000),
            (".5ms", 500_000),
            ("0", 0),
            ("0.001ms", 1_000),
        ] {
            assert_eq!(parse_time(text).map(|time| time.as_nanos()), Ok(ns), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_answered_with_what_is_one() {
        for text in ["banana", "", " ", "-5s", "-1.5s", "1.5 parsecs", "1e9s", "1.5s 2ms", "s", "1..5s"] {
            let why = parse_time(text).unwrap_err();
            assert!(why.contains("30s, 500ms"), "{text}: {why}");
        }
        for text in ["5", "1.5", "007"] {
            let why = parse_time(text).unwrap_err();
            assert!(why.contains("needs a unit, as in 30s, 500ms"), "{text}: {why}");
        }
        assert!(parse_time(&"9".repeat(400)).is_err());
        assert!(parse_time(&format!("{}.5h", "9".repeat(400))).is_err());
    }
}
