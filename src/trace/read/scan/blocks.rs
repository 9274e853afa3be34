//! Where strings, objects and lists end, 64 bytes at a time.

/// Bytes that are looked at together: each is a bit of a mask, the first one the lowest.
const BLOCK: usize = 64;
/// Bytes that are compared at once.
const PIECE: usize = 16;

/// Where in a block which bytes are.
#[derive(Clone, Copy)]
struct Masks {
    quotes: u64,
    backslashes: u64,
    opening: u64,
    closing: u64,
}

#[inline(always)]
fn masks(block: &[u8; BLOCK]) -> Masks {
    let mut masks = Masks { quotes: 0, backslashes: 0, opening: 0, closing: 0 };
    let (pieces, _) = block.as_chunks::<PIECE>();
    for (piece, shift) in pieces.iter().zip([0, 16, 32, 48]) {
        let [quotes, backslashes, opening, closing] = structure(piece);
        masks.quotes |= u64::from(quotes) << shift;
        masks.backslashes |= u64::from(backslashes) << shift;
        masks.opening |= u64::from(opening) << shift;
        masks.closing |= u64::from(closing) << shift;
    }
    masks
}

// `[` and `{`, as `]` and `}`, are one bit apart.
const CASE: u8 = 0x20;

/// Quotation marks, backslashes, opening and closing brackets.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn structure(piece: &[u8; PIECE]) -> [u16; 4] {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: every x86_64 processor has SSE2; what is loaded are the bytes of `piece`, aligned or not.
    unsafe {
        let bytes = _mm_loadu_si128(piece.as_ptr().cast());
        let cased = _mm_or_si128(bytes, _mm_set1_epi8(CASE as i8));
        let are =
            |bytes, byte: u8| _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8))) as u16;
        [are(bytes, b'"'), are(bytes, b'\\'), are(cased, b'{'), are(cased, b'}')]
    }
}

/// Quotation marks, backslashes and control characters.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn not_plain(piece: &[u8; PIECE]) -> u16 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: as above.
    unsafe {
        let bytes = _mm_loadu_si128(piece.as_ptr().cast());
        let are = |byte: u8| _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(are(b'"'), are(b'\\')), control)) as u16
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn are(piece: &[u8; PIECE], is: impl Fn(u8) -> bool) -> u16 {
    piece.iter().enumerate().fold(0, |mask, (at, &byte)| mask | u16::from(is(byte)) << at)
}

#[cfg(not(target_arch = "x86_64"))]
fn structure(piece: &[u8; PIECE]) -> [u16; 4] {
    let of = |byte: u8| are(piece, |b| b == byte);
    [of(b'"'), of(b'\\'), are(piece, |b| b | CASE == b'{'), are(piece, |b| b | CASE == b'}')]
}

#[cfg(not(target_arch = "x86_64"))]
fn not_plain(piece: &[u8; PIECE]) -> u16 {
    are(piece, is_not_plain)
}

fn is_not_plain(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// Of each bit: whether the number of bits that are set, up to it and with it, is odd.
#[inline(always)]
fn parity(bits: u64) -> u64 {
    let bits = bits ^ bits << 1;
    let bits = bits ^ bits << 2;
    let bits = bits ^ bits << 4;
    let bits = bits ^ bits << 8;
    let bits = bits ^ bits << 16;
    bits ^ bits << 32
}

/// What stands behind a backslash that does not stand behind another itself, and so on. `escaped`: whether the first
/// byte does; and then, whether the first one of the next block does.
fn after_backslashes(backslashes: u64, escaped: &mut bool) -> u64 {
    let mut out = 0;
    for at in 0..BLOCK {
        let bit = 1u64 << at;
        if *escaped {
            out |= bit;
            *escaped = false;
        } else {
            *escaped = backslashes & bit != 0;
        }
    }
    out
}

/// Why an object or a list has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trace::read) enum Unclosed {
    /// The text ends first.
    Open,
    /// It goes deeper than allowed.
    Deep,
}

/// Past the bracket that closes what is open at the beginning, which is not within a string.
pub(super) fn close(bytes: &[u8], max_depth: u32) -> Result<usize, Unclosed> {
    let mut depth = 1u32;
    // All ones: the block before ended within a string.
    let mut within = 0u64;
    let mut escaped = false;
    let mut rest = bytes;
    loop {
        let mut last = [b' '; BLOCK];
        let block = match rest.first_chunk() {
            Some(block) => block,
            None if rest.is_empty() => return Err(Unclosed::Open),
            None => {
                last.iter_mut().zip(rest).for_each(|(to, &from)| *to = from);
                &last
            }
        };
        let Masks { mut quotes, backslashes, opening, closing } = masks(block);
        if backslashes != 0 || escaped {
            quotes &= !after_backslashes(backslashes, &mut escaped);
        }
        let strings = parity(quotes) ^ within;
        within = 0u64.wrapping_sub(strings >> (BLOCK - 1));
        let (mut opening, mut closing) = (opening & !strings, closing & !strings);
        if closing.count_ones() >= depth {
            while closing != 0 {
                let end = closing.trailing_zeros();
                let before = (1u64 << end) - 1;
                depth += (opening & before).count_ones();
                depth -= 1;
                if depth == 0 {
                    return Ok(bytes.len() - rest.len() + end as usize + 1);
                }
                opening &= !before;
                closing &= closing - 1;
            }
        }
        // Within the block it may have been deeper, by less than its length.
        depth = depth + opening.count_ones() - closing.count_ones();
        if depth > max_depth {
            return Err(Unclosed::Deep);
        }
        rest = rest.get(BLOCK..).unwrap_or_default();
    }
}

/// How many bytes come before the first quotation mark, backslash or control character.
#[inline(always)]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (pieces, few) = bytes.as_chunks::<PIECE>();
    for (at, piece) in pieces.iter().enumerate() {
        let found = not_plain(piece);
        if found != 0 {
            return at * PIECE + found.trailing_zeros() as usize;
        }
    }
    bytes.len() - few.len() + plain_of_few(few)
}

#[cold]
fn plain_of_few(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| is_not_plain(byte)).unwrap_or(bytes.len())
}

/// Past the quotation mark that ends a string, from within it.
pub(super) fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += plain(bytes.get(at..)?);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, byte by byte.
    fn close_slowly(bytes: &[u8], max_depth: u32) -> Option<usize> {
        let (mut depth, mut in_string, mut escaped) = (1u32, false, false);
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'"' | b'\\' if escaped => {}
                // It stands in strings only; what it does elsewhere is no matter, as long as it is the same.
                b'\\' => {
                    escaped = true;
                    continue;
                }
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => depth -= 1,
                _ => {}
            }
            escaped = false;
            if depth == 0 {
                return Some(at + 1);
            }
            if depth > max_depth {
                return None;
            }
        }
        None
    }

    #[test]
    fn brackets_close_where_they_do_byte_by_byte() {
        // A small generator of what could stand there, with much of what is hard.
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize
        };
        let alphabet = b"\"\"\"\\\\{}[]}]}]aaaaaa:,0";
        for round in 0..20_000 {
            let text: Vec<u8> = (0..next() % 300)
                .map(|_| alphabet.get(next() % alphabet.len()).copied().unwrap_or(b' '))
                .collect();
            // How deep is looked at by the block: here it never is too deep.
            assert_eq!(
                close(&text, 1_000).ok(),
                close_slowly(&text, 1_000),
                "{round}: {:?}",
                String::from_utf8(text)
            );
        }
        let deep = "[".repeat(500) + &"]".repeat(501);
        assert_eq!(
            (close(deep.as_bytes(), 600), close(deep.as_bytes(), 128)),
            (Ok(1001), Err(Unclosed::Deep))
        );
    }

    #[test]
    fn strings_end_at_their_quotation_mark() {
        for length in 0..70 {
            let text = format!("{}\" ,{:40}", "x".repeat(length), "");
            assert_eq!((plain(text.as_bytes()), string_end(text.as_bytes())), (length, Some(length + 1)));
            let text = format!("{}\\\"\" ,{:40}", "x".repeat(length), "");
            assert_eq!((plain(text.as_bytes()), string_end(text.as_bytes())), (length, Some(length + 3)));
            let text = format!("{}\n\"{:40}", "x".repeat(length), "");
            assert_eq!((plain(text.as_bytes()), string_end(text.as_bytes())), (length, None));
        }
        assert_eq!((string_end(b""), string_end(b"a"), string_end(b"a\\")), (None, None, None));
    }
}
