//! Names most like one that there is not.

use crate::sort::SortSmall;

/// The nearest of `all`, at most so many.
pub(crate) fn nearest<'n>(name: &str, all: impl IntoIterator<Item = &'n str>, most: usize) -> Vec<&'n str> {
    // Somebody who types a part of a name means it; otherwise a letter or so in three is wrong.
    let within = |one: &str| name.len() > 2 && one.contains(name);
    let far = |one: &str| if within(one) { 1 } else { distance(one, name) };
    let mut near: Vec<(usize, &str)> = all.into_iter().map(|one| (far(one), one)).collect();
    near.retain(|(far, _)| *far <= 1 + name.len().min(24) / 4);
    near.sort_small_by(Ord::cmp);
    near.dedup();
    near.into_iter().map(|(_, one)| one).take(most).collect()
}

/// Letters to change, add or leave out.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&other) {
            let changed = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = changed.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_by_its_letters_or_as_a_part() {
        assert_eq!((distance("kitten", "sitting"), distance("", "ab"), distance("ab", "")), (3, 2, 2));
        assert_eq!(nearest("pyhton3", ["sh", "python3", "python3", "perl"], 3), ["python3"]);
        assert_eq!(nearest("spawn", ["multiprocessing.spawn", "fork"], 3), ["multiprocessing.spawn"]);
        assert_eq!(nearest("zzzzzz", ["sh", "a"], 3), [""; 0]);
    }
}
