//! Where a function returns: the instructions that a probe can stand on. A return probe of the kernel's puts an address
//! of its own on the stack instead, and ends a program that copies stacks about, as greenlets do.

use super::hooks::code_offset;
use super::image::Image;
use goblin::elf::header::{EM_AARCH64, EM_X86_64};
use std::collections::BTreeSet;

/// Bytes of a function that are looked at.
const MAX_SIZE: u64 = 64 << 10;
/// Returns of one function; compilers make one to four.
const MAX_RETURNS: usize = 16;
/// Instructions that are looked at in what a compiler has put elsewhere of a function, as it goes there seldom.
const MAX_ELSEWHERE: usize = 2_000;
/// The longest instruction.
const LONGEST: u64 = 15;

/// What an instruction does to the order of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    /// The next one follows, unless what is called does not return.
    Call,
    Return,
    /// It always goes there, so far from the next.
    Jump(i64),
    /// It may.
    Branch(i64),
    /// Nobody can tell where it goes.
    Somewhere,
    /// Nothing follows.
    Stop,
}

/// Its length and what it does; `None` where that is not known for certain.
type Decode = fn(&[u8]) -> Option<(u64, Flow)>;

/// The offsets in the file of the instructions by which a function returns; `None` where what is read is no function,
/// or goes where nobody can tell. Of what a compiler has put elsewhere what comes after a call is not known: an error is
/// told there as a rule, by what does not return. `address` and `size`: the function's.
pub(super) fn returns(image: &Image<'_>, address: u64, size: u64) -> Option<Vec<u64>> {
    let decode: Decode = match image.header.e_machine {
        EM_X86_64 => x86,
        EM_AARCH64 => arm,
        _ => return None,
    };
    if size == 0 || size > MAX_SIZE {
        return None;
    }
    let read = |address: u64, size: u64| -> Vec<u8> {
        code_offset(image, address).map_or(Vec::new(), |offset| image.source.read_up_to(offset, size))
    };
    let found = addresses(address, size, decode, &read)?;
    found.into_iter().map(|address| code_offset(image, address)).collect()
}

fn addresses(
    address: u64,
    size: u64,
    decode: Decode,
    read: &dyn Fn(u64, u64) -> Vec<u8>,
) -> Option<Vec<u64>> {
    let code = read(address, size);
    let (mut begins, mut inside, mut outside) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut returns = Vec::new();
    let mut at = 0;
    while at < size {
        let (length, flow) = decode(code.get(usize::try_from(at).ok()?..)?)?;
        let here = address.checked_add(at)?;
        begins.insert(here);
        at += length;
        match flow {
            Flow::Return => returns.push(here),
            Flow::Jump(distance) | Flow::Branch(distance) => {
                let to = address.checked_add(at)?.checked_add_signed(distance)?;
                let is_inside = to.checked_sub(address).is_some_and(|from| from < size);
                if is_inside { &mut inside } else { &mut outside }.insert(to);
            }
            Flow::Somewhere => return None,
            Flow::On | Flow::Call | Flow::Stop => {}
        }
    }
    // What was taken for instructions are the ones that it goes to, up to its very end.
    let whole = at == size && inside.is_subset(&begins);
    if !whole {
        return None;
    }
    returns.extend(elsewhere(&outside, address..address + size, decode, read)?);
    (!returns.is_empty() && returns.len() <= MAX_RETURNS).then_some(returns)
}

/// By which instructions it returns in what it goes to outside.
fn elsewhere(
    to: &BTreeSet<u64>,
    function: std::ops::Range<u64>,
    decode: Decode,
    read: &dyn Fn(u64, u64) -> Vec<u8>,
) -> Option<BTreeSet<u64>> {
    let mut todo: Vec<u64> = to.iter().copied().collect();
    let (mut seen, mut returns) = (BTreeSet::new(), BTreeSet::new());
    while let Some(at) = todo.pop() {
        if function.contains(&at) || !seen.insert(at) {
            continue;
        }
        if seen.len() > MAX_ELSEWHERE {
            return None;
        }
        let (length, flow) = decode(&read(at, LONGEST))?;
        let next = at.saturating_add(length);
        match flow {
            Flow::On => todo.push(next),
            Flow::Jump(distance) => todo.push(next.saturating_add_signed(distance)),
            Flow::Branch(distance) => todo.extend([next, next.saturating_add_signed(distance)]),
            Flow::Return => {
                returns.insert(at);
            }
            Flow::Call | Flow::Stop => {}
            Flow::Somewhere => return None,
        }
    }
    Some(returns)
}

/// What follows an opcode on x86-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing.
    Plain,
    /// So many bytes.
    Immediate(u64),
    /// Two bytes or four, by the operand's size.
    Word,
    /// A byte that names operands, with what belongs to them.
    Operands,
    /// ... and so many bytes.
    OperandsImmediate(u64),
    OperandsWord,
}

/// Instructions that compilers use; not those of the kernel's, of other modes, or with addresses in themselves.
fn x86(code: &[u8]) -> Option<(u64, Flow)> {
    let byte = |at: usize| code.get(at).copied();
    let mut at = 0;
    let mut short = false;
    loop {
        match byte(at)? {
            0x66 => short = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x67 | 0xf0 | 0xf2 | 0xf3 => {}
            _ => break,
        }
        at += 1;
    }
    let mut wide = false;
    if let rex @ 0x40..=0x4f = byte(at)? {
        wide = rex & 8 != 0;
        at += 1;
    }
    let opcode = byte(at)?;
    at += 1;
    let relative = |at: usize, bytes: usize| -> Option<(u64, i64)> {
        let found = code.get(at..at + bytes)?;
        let distance = match bytes {
            1 => i64::from(found.first()?.cast_signed()),
            _ => i64::from(i32::from_le_bytes(found.try_into().ok()?)),
        };
        Some(((at + bytes) as u64, distance))
    };
    // Processors do not agree on what a short distance is.
    if short && !wide && matches!(opcode, 0xe8 | 0xe9) {
        return None;
    }
    let form = match opcode {
        0x0f => {
            let second = byte(at)?;
            at += 1;
            match second {
                0x0b | 0xb9 | 0xff => return Some((at as u64, Flow::Stop)),
                0x80..=0x8f if short => return None,
                0x80..=0x8f => {
                    let (length, distance) = relative(at, 4)?;
                    return Some((length, Flow::Branch(distance)));
                }
                0x38 => {
                    at += 1;
                    Form::Operands
                }
                0x3a => {
                    at += 1;
                    Form::OperandsImmediate(1)
                }
                other => second_map(other)?,
            }
        }
        0xc5 => {
            let which = byte(at + 1)?;
            at += 2;
            if which == 0x77 { Form::Plain } else { second_map(which)? }
        }
        0xc4 | 0x62 => {
            let map = byte(at)? & if opcode == 0xc4 { 0x1f } else { 7 };
            at += if opcode == 0xc4 { 2 } else { 3 };
            let which = byte(at)?;
            at += 1;
            match map {
                1 if which == 0x77 => Form::Plain,
                1 => second_map(which)?,
                2 => Form::Operands,
                3 => Form::OperandsImmediate(1),
                _ => return None,
            }
        }
        0xc3 => return Some((at as u64, Flow::Return)),
        0xcc | 0xf4 => return Some((at as u64, Flow::Stop)),
        0x70..=0x7f | 0xe0..=0xe3 => {
            let (length, distance) = relative(at, 1)?;
            return Some((length, Flow::Branch(distance)));
        }
        0xeb | 0xe9 => {
            let (length, distance) = relative(at, if opcode == 0xeb { 1 } else { 4 })?;
            return Some((length, Flow::Jump(distance)));
        }
        0xff => match byte(at)? >> 3 & 7 {
            0 | 1 | 6 => Form::Operands,
            2 => {
                let length = at as u64 + operands(code.get(at..)?)?;
                return (length <= code.len() as u64).then_some((length, Flow::Call));
            }
            4 => return Some((0, Flow::Somewhere)),
            _ => return None,
        },
        0xf6 if byte(at)? >> 3 & 7 < 2 => Form::OperandsImmediate(1),
        0xf7 if byte(at)? >> 3 & 7 < 2 => Form::OperandsWord,
        0xb8..=0xbf if wide => Form::Immediate(8),
        0x00..=0x3f => match opcode & 7 {
            0..=3 => Form::Operands,
            4 => Form::Immediate(1),
            5 => Form::Word,
            _ => return None,
        },
        0x63 | 0x84..=0x8b | 0x8d | 0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xf6 | 0xf7 | 0xfe => Form::Operands,
        0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 | 0xc6 => Form::OperandsImmediate(1),
        0x69 | 0x81 | 0xc7 => Form::OperandsWord,
        0x50..=0x5f | 0x90..=0x99 | 0x9b | 0x9e | 0x9f | 0xa4..=0xa7 | 0xaa..=0xaf | 0xc9 => Form::Plain,
        0x6a | 0xa8 | 0xb0..=0xb7 => Form::Immediate(1),
        0x68 | 0xa9 | 0xb8..=0xbf => Form::Word,
        0xe8 => return Some((relative(at, 4)?.0, Flow::Call)),
        _ => return None,
    };
    let word = if short && !wide { 2 } else { 4 };
    let operands = || -> Option<u64> { Some(at as u64 + operands(code.get(at..)?)?) };
    let length = match form {
        Form::Plain => at as u64,
        Form::Immediate(bytes) => at as u64 + bytes,
        Form::Word => at as u64 + word,
        Form::Operands => operands()?,
        Form::OperandsImmediate(bytes) => operands()? + bytes,
        Form::OperandsWord => operands()? + word,
    };
    (length <= LONGEST && length <= code.len() as u64).then_some((length, Flow::On))
}

/// After the byte 0f, or as the vector extensions say the same.
fn second_map(opcode: u8) -> Option<Form> {
    Some(match opcode {
        0x05 | 0x31 | 0x77 | 0xa2 | 0xc8..=0xcf => Form::Plain,
        0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => Form::OperandsImmediate(1),
        0x0d
        | 0x10..=0x1f
        | 0x28..=0x2f
        | 0x40..=0x6f
        | 0x74..=0x76
        | 0x7c..=0x7f
        | 0x90..=0x9f
        | 0xa3
        | 0xa5
        | 0xab
        | 0xad..=0xb1
        | 0xb3
        | 0xb6..=0xb8
        | 0xbb..=0xc1
        | 0xc3
        | 0xc7
        | 0xd0..=0xfe => Form::Operands,
        _ => return None,
    })
}

/// The bytes that name operands.
fn operands(code: &[u8]) -> Option<u64> {
    let first = code.first()?;
    let (mode, base) = (first >> 6, first & 7);
    let (scaled, base) = match base {
        4 if mode != 3 => (1, code.get(1)? & 7),
        _ => (0, base),
    };
    let distance = match mode {
        0 if base == 5 => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    Some(1 + scaled + distance)
}

fn arm(code: &[u8]) -> Option<(u64, Flow)> {
    let word = u32::from_le_bytes(code.get(..4)?.try_into().ok()?);
    // So many bits from there, with their sign, in instructions; the distance is from this one.
    let distance = |from: u32, bits: u32| {
        let found = (word << (32 - bits - from)).cast_signed() >> (32 - bits);
        i64::from(found) * 4 - 4
    };
    let flow = if word & 0xffff_fc1f == 0xd65f_0000 || word & 0xffff_fbff == 0xd65f_0bff {
        Flow::Return
    } else if word & 0xfe1f_f000 == 0xd61f_0000 && word & 0x0060_0000 == 0 {
        Flow::Somewhere
    } else if word & 0xfc00_0000 == 0x9400_0000
        || (word & 0xfe1f_f000 == 0xd61f_0000 && word & 0x0060_0000 == 0x0020_0000)
    {
        Flow::Call
    } else if word & 0xfc00_0000 == 0x1400_0000 {
        Flow::Jump(distance(0, 26))
    } else if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
        Flow::Branch(distance(5, 19))
    } else if word & 0x7e00_0000 == 0x3600_0000 {
        Flow::Branch(distance(5, 14))
    } else if word & 0xffff_0000 == 0 || word & 0xffe0_001f == 0xd420_0000 {
        Flow::Stop
    } else {
        Flow::On
    };
    Some((4, flow))
}

#[cfg(test)]
mod tests {
    use super::super::symbols::Symbols;
    use super::super::testing::{gcc, output};
    use super::*;
    use std::fs::File;
    use std::path::Path;
    use std::process::Command;

    /// Instructions as objdump has them: address, bytes, words.
    fn disassembled(path: &Path, args: &[&str]) -> Vec<(u64, Vec<u8>, String)> {
        let text = output(Command::new("objdump").args(["-d", "-w"]).args(args).arg(path));
        let line = |line: &str| {
            let mut columns = line.split('\t');
            let address = u64::from_str_radix(columns.next()?.trim().strip_suffix(':')?, 16).ok()?;
            let bytes = columns.next()?.split_ascii_whitespace().map(|byte| u8::from_str_radix(byte, 16));
            Some((address, bytes.collect::<Result<_, _>>().ok()?, columns.next()?.to_owned()))
        };
        text.lines().filter_map(line).collect()
    }

    #[test]
    fn instructions_are_as_long_as_the_disassembler_says() {
        if !cfg!(target_arch = "x86_64") {
            return;
        }
        let (mut known, mut unknown) = (0, 0);
        for path in ["/bin/bash", "/proc/self/exe"] {
            let path = std::fs::canonicalize(path).unwrap();
            for (address, bytes, words) in disassembled(&path, &["-j", ".text"]).iter().take(300_000) {
                // What the program has there may be no instruction: objdump does not know it either.
                let Some((length, flow)) = x86(bytes).filter(|_| !words.contains("(bad)")) else {
                    unknown += 1;
                    continue;
                };
                known += 1;
                assert!(length == bytes.len() as u64 || flow == Flow::Somewhere, "{bytes:x?} {words}");
                let word = words.split_ascii_whitespace().find(|word| {
                    !["bnd", "rep", "repz", "notrack", "cs", "ds", "lock", "data16"].contains(word)
                });
                let word = word.unwrap_or_default();
                assert_eq!(flow == Flow::Return, word == "ret", "{bytes:x?} {words}");
                assert_eq!(flow == Flow::Call, word == "call", "{bytes:x?} {words}");
                let jumps = matches!(flow, Flow::Jump(_) | Flow::Branch(_) | Flow::Somewhere);
                let said = (word.starts_with('j') || word.starts_with("loop")) && !word.contains(',');
                assert_eq!(jumps, said, "{bytes:x?} {words}");
                if let Flow::Jump(distance) | Flow::Branch(distance) = flow {
                    let to = (address + length).checked_add_signed(distance).unwrap();
                    assert!(words.contains(&format!("{to:x}")), "{bytes:x?} {words}");
                }
            }
        }
        assert!(known > 100_000 && unknown * 200 < known, "{known} known, {unknown} unknown");
    }

    fn returns_of(path: &Path, function: &str) -> Option<Vec<u64>> {
        let file = File::open(path).unwrap();
        let image = Image::read(&file).unwrap();
        let symbol = Symbols::new(&image).unwrap().find(function).unwrap();
        returns(&image, symbol.st_value, symbol.st_size)
    }

    #[test]
    fn all_returns_of_a_function_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let code = "extern int other(int), never(const char *) __attribute__((noreturn, cold));\n\
            int plain(int a) { return a + 1; }\n\
            int several(int a) {\n\
                if (a > 5) { other(a); return 7 * other(a); }\n\
                for (int n = 0; n < a; n++) if (other(n)) return n - 3;\n\
                return other(2 * a) ^ a;\n\
            }\n\
            int elsewhere(int a) {\n\
                if (__builtin_expect(a == 17, 0)) never(\"x\");\n\
                return other(a) + other(2 * a);\n\
            }\n\
            int hands_on(int a) { return a ? other(a + 1) : 3; }\n\
            int switches(int a) {\n\
                switch (a) { case 0: other(1); break; case 1: other(7); other(3); break; case 2: other(9); case 3: \
                    other(5); break; case 4: other(11); break; case 5: other(12); break; case 6: other(a); }\n\
                return other(3) + 1;\n\
            }\n";
        let args = ["-shared", "-fPIC", "-O2", "-fno-toplevel-reorder"];
        let path = gcc(&folder.path().join("lib.so"), code, &args);
        for function in ["plain", "several", "elsewhere"] {
            let said: Vec<u64> = disassembled(&path, &[&format!("--disassemble={function}")])
                .into_iter()
                .filter(|(.., words)| words.split_ascii_whitespace().any(|word| word == "ret"))
                .map(|(address, ..)| address)
                .collect();
            // Offset and address are the same in the file's first segments.
            assert!(!said.is_empty());
            assert_eq!(returns_of(&path, function), Some(said), "{function}");
        }
        // It returns from a function of another library, or goes by a table: nobody knows where.
        assert_eq!(returns_of(&path, "hands_on"), None);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(returns_of(&path, "switches"), None);
        }
    }

    #[test]
    fn odd_bytes_are_no_function() {
        let of = |code: &'static [u8], size: u64| {
            addresses(0x1000, size, x86, &|address, _| {
                let from = usize::try_from(address - 0x1000).unwrap();
                code.get(from..).unwrap_or_default().to_vec()
            })
        };
        assert_eq!(of(&[0x90, 0xc3], 2), Some(vec![0x1001]));
        assert_eq!(of(&[0xf3, 0xc3], 2), Some(vec![0x1000]));
        // Its end is within an instruction; it jumps into one; it is not there; it does not return; it never ends.
        assert_eq!(of(&[0xc3, 0xe8, 0, 0, 0, 0], 3), None);
        assert_eq!(of(&[0xeb, 0x01, 0xb0, 0xc3, 0xc3], 5), None);
        assert_eq!(of(&[], 4), None);
        assert_eq!(of(&[0xeb, 0xfe], 2), None);
        assert_eq!(of(&[0x66, 0x66, 0x66], 3), None);
        // Part of it is elsewhere, and comes back, stops, does not go on after a call, returns from there, or is nowhere.
        assert_eq!(of(&[0x74, 0x01, 0xc3, 0xeb, 0xfd], 3), Some(vec![0x1002]));
        assert_eq!(of(&[0x74, 0x01, 0xc3, 0x0f, 0x0b], 3), Some(vec![0x1002]));
        assert_eq!(of(&[0x74, 0x01, 0xc3, 0xe8, 0, 0, 0, 0, 0xc3], 3), Some(vec![0x1002]));
        assert_eq!(of(&[0x74, 0x01, 0xc3, 0x5b, 0xc3], 3), Some(vec![0x1002, 0x1004]));
        assert_eq!(of(&[0x74, 0x01, 0xc3], 3), None);
        let mut random = super::super::testing::Random(7);
        for _ in 0..20_000 {
            let code: Vec<u8> = (0..20).map(|_| random.below(256) as u8).collect();
            if let Some((length, flow)) = x86(&code) {
                assert!(length <= LONGEST && (length > 0 || flow == Flow::Somewhere), "{code:x?}");
            }
        }
    }

    #[test]
    fn returns_and_jumps_of_arm64() {
        let flow = |word: u32| arm(&word.to_le_bytes()).unwrap().1;
        for (word, want) in [
            (0xd65f_03c0, Flow::Return),     // ret
            (0xd65f_0bff, Flow::Return),     // retaa
            (0xd65f_0fff, Flow::Return),     // retab
            (0xd61f_0200, Flow::Somewhere),  // br x16
            (0xd71f_0a11, Flow::Somewhere),  // braa x16, x17
            (0xd63f_0040, Flow::Call),       // blr x2
            (0x9400_0004, Flow::Call),       // bl +16
            (0x1400_0004, Flow::Jump(12)),   // b +16
            (0x17ff_ffff, Flow::Jump(-8)),   // b -4
            (0x5400_0040, Flow::Branch(4)),  // b.eq +8
            (0xb4ff_ffe0, Flow::Branch(-8)), // cbz x0, -4
            (0x3707_fff3, Flow::Branch(-8)), // tbnz w19, #0, -4
            (0xd420_7d00, Flow::Stop),       // brk
            (0x0000_0000, Flow::Stop),       // udf
            (0xa9bf_7bfd, Flow::On),         // stp x29, x30, [sp, #-16]!
        ] {
            assert_eq!(flow(word), want, "{word:#x}");
        }
    }
}
