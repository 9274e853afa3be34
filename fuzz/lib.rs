//! What several targets share: a mutator that knows JSON.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::Value;

/// More values than this are left to the plain mutator.
const MAX_NODES: usize = 100_000;

/// A few bits of chance at a time, from libFuzzer's seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap_or(0) % n.max(1)
    }
}

/// Numbers at which arithmetic breaks.
const NUMBERS: [i128; 14] = [
    0, 1, -1, 2, 127, 65_536, 4_294_967_295, 1_000_000_000, 9_007_199_254_740_993, i64::MAX as i128, i64::MIN as i128,
    u64::MAX as i128, u64::MAX as i128 - 1, 1 << 62,
];

/// Texts at which layouts, terminals and pages break.
const TEXTS: [&str; 12] = [
    "", "\u{1b}[31m\u{7}", "\u{202e}abc\u{200b}", "</script><b>", "\u{ef80}\u{efff}", "日本語日本語", "\n\r\t",
    "../../../etc/passwd", "a\u{301}\u{301}\u{301}", "*?[!", "=cmd|' /C x'!A0", "👩‍👩‍👧‍👦",
];

fn count(value: &Value) -> usize {
    let mut todo = vec![value];
    let mut nodes = 0;
    while let Some(value) = todo.pop() {
        nodes += 1;
        match value {
            Value::Array(list) => todo.extend(list),
            Value::Object(map) => todo.extend(map.values()),
            _ => {}
        }
    }
    nodes
}

/// The `n`th value of a text, in the order of the text.
fn nth<'a>(value: &'a mut Value, n: &mut usize) -> Option<&'a mut Value> {
    if *n == 0 {
        return Some(value);
    }
    *n -= 1;
    match value {
        Value::Array(list) => list.iter_mut().find_map(|value| nth(value, n)),
        Value::Object(map) => map.values_mut().find_map(|value| nth(value, n)),
        _ => None,
    }
}

fn scalar(chance: &mut Chance) -> Value {
    match chance.below(4) {
        0 => Value::Null,
        1 => Value::Bool(chance.below(2) == 0),
        2 => serde_json::from_str(&NUMBERS[chance.below(NUMBERS.len())].to_string()).unwrap_or(Value::Null),
        _ => Value::String(TEXTS[chance.below(TEXTS.len())].to_owned()),
    }
}

/// One change, of the same kind where that can be: what has another type is refused at the first look.
fn change(value: &mut Value, chance: &mut Chance) {
    let odd = chance.below(8) == 0;
    match value {
        Value::Number(number) if !odd => {
            let old = i128::from(number.as_i64().unwrap_or(0)).max(number.as_u64().map_or(0, i128::from));
            let new = match chance.below(4) {
                0 => NUMBERS[chance.below(NUMBERS.len())],
                1 => old + 1,
                2 => old - 1,
                _ => old.wrapping_mul(chance.below(1000) as i128) / (1 + chance.below(1000) as i128),
            };
            *value = serde_json::from_str(&new.to_string()).unwrap_or(Value::Null);
        }
        Value::String(text) if !odd => match chance.below(4) {
            0 => *text = TEXTS[chance.below(TEXTS.len())].to_owned(),
            1 => text.push_str(TEXTS[chance.below(TEXTS.len())]),
            2 => *text = text.chars().skip(chance.below(4)).collect(),
            _ => *text = text.repeat(1 + chance.below(3)),
        },
        Value::Array(list) if !odd && !list.is_empty() => {
            let (from, to) = (chance.below(list.len()), chance.below(list.len()));
            match chance.below(4) {
                0 => drop(list.remove(from)),
                1 => list.swap(from, to),
                2 => list.truncate(from),
                _ => list.push(list[from].clone()),
            }
        }
        Value::Object(map) if !odd && !map.is_empty() => {
            let key = map.keys().nth(chance.below(map.len())).cloned();
            if let Some(key) = key {
                map.remove(&key);
            }
        }
        Value::Bool(old) if !odd => *old = !*old,
        _ => *value = scalar(chance),
    }
}

/// Changes a JSON text (or one of its lines) as JSON, or any text by its bytes; the new length.
pub fn mutate_json(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut chance = Chance(seed.into());
    if chance.below(10) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let text = String::from_utf8_lossy(&data[..size]).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    // A document on many lines is one; else a line is.
    let whole = serde_json::from_str::<Value>(&text).ok();
    let at = chance.below(lines.len());
    let parsed = whole.clone().or_else(|| serde_json::from_str(lines.get(at)?).ok());
    let Some(mut value) = parsed else { return fuzzer_mutate(data, size, max_size) };
    let nodes = count(&value);
    if nodes > MAX_NODES {
        return fuzzer_mutate(data, size, max_size);
    }
    for _ in 0..=chance.below(3) {
        if let Some(one) = nth(&mut value, &mut chance.below(nodes)) {
            change(one, &mut chance);
        }
    }
    let changed = value.to_string();
    let out = if whole.is_some() {
        changed
    } else {
        match chance.below(8) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, &changed),
            _ => lines[at] = &changed,
        }
        lines.join("\n") + "\n"
    };
    if out.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..out.len()].copy_from_slice(out.as_bytes());
    out.len()
}
