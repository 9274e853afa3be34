//! Statistics of few, skewed, tied samples: what start times are.
//!
//! Start times have long tails and no known distribution, and there are often five of them. So everything
//! here goes by rank: medians, the Mann-Whitney test with its exact p-value (ties included), and the
//! Hodges-Lehmann shift with the interval that belongs to that test. A bootstrap would need random
//! numbers, thousands of rounds, and is too narrow for few samples.

use crate::sort::SortSmall;

/// How a sample lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// How many values.
    pub n: u64,
    /// The smallest.
    pub min_ns: u64,
    /// Lower quartile.
    pub p25_ns: u64,
    /// Half are below it.
    pub median_ns: u64,
    /// Upper quartile.
    pub p75_ns: u64,
    /// Nine of ten are below it.
    pub p90_ns: u64,
    /// The largest.
    pub max_ns: u64,
    /// Median distance from the median: the spread, whatever the outliers.
    pub spread_ns: u64,
}

impl Summary {
    /// Of values in ascending order; `None` of nothing.
    pub fn of(sorted: &[u64]) -> Option<Self> {
        let (&min_ns, &max_ns) = (sorted.first()?, sorted.last()?);
        let median_ns = quantile(sorted, 1, 2);
        let mut distances: Vec<u64> = sorted.iter().map(|value| value.abs_diff(median_ns)).collect();
        distances.sort_unstable();
        Some(Self {
            n: sorted.len() as u64,
            min_ns,
            p25_ns: quantile(sorted, 1, 4),
            median_ns,
            p75_ns: quantile(sorted, 3, 4),
            p90_ns: quantile(sorted, 9, 10),
            max_ns,
            spread_ns: quantile(&distances, 1, 2),
        })
    }
}

/// The quantile `of`/`parts` of values in ascending order, between two neighbours by their distance (the
/// median of an even number is the middle of two); 0 of nothing.
pub fn quantile(sorted: &[u64], of: u64, parts: u64) -> u64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0 };
    let place = last as u128 * u128::from(of);
    let parts = u128::from(parts.max(1));
    let (low, rest) = ((place / parts) as usize, place % parts);
    let at = |i: usize| sorted.get(i.min(last)).copied().unwrap_or(0);
    let (below, above) = (at(low), at(low + 1));
    below.saturating_add((u128::from(above.saturating_sub(below)) * rest / parts) as u64)
}

/// The median of values in any order; 0 of nothing.
pub fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    quantile(values, 1, 2)
}

/// Longest that two samples may be for exact p-values: the product of the smaller number and that of
/// both together. Exact until 22 against 22, or 2 against 498; past that the normal approximation is as
/// good.
const EXACT: usize = 1_000;

/// How many ways there are to choose `few` of the ranks so that their sum is at most (or at least) that
/// of a sample.
struct Sums {
    /// By the sum of the doubled ranks.
    ways: Vec<f64>,
    total: f64,
}

impl Sums {
    /// `ranks`: doubled, so that those of ties are whole numbers too.
    fn of(ranks: &[u64], few: usize) -> Self {
        let mut largest: Vec<u64> = ranks.to_vec();
        largest.sort_unstable();
        largest.reverse();
        let most = largest.iter().take(few).sum::<u64>() as usize;
        // ways[k][s]: of the ranks looked at so far, k with the sum s.
        let mut ways = vec![vec![0.0_f64; most + 1]; few + 1];
        if let Some(first) = ways.first_mut().and_then(|row| row.first_mut()) {
            *first = 1.0;
        }
        for &rank in ranks {
            let rank = rank as usize;
            for k in (1..=few).rev() {
                let (before, from) = ways.split_at_mut(k);
                let (Some(less), Some(row)) = (before.last(), from.first_mut()) else { continue };
                for (to, &n) in row.iter_mut().skip(rank).zip(less.iter()) {
                    *to += n;
                }
            }
        }
        let ways = ways.pop().unwrap_or_default();
        let total = ways.iter().sum();
        Self { ways, total }
    }

    fn at_most(&self, sum: u64) -> f64 {
        self.ways.iter().take(sum as usize + 1).sum::<f64>() / self.total
    }

    fn at_least(&self, sum: u64) -> f64 {
        self.ways.iter().skip(sum as usize).sum::<f64>() / self.total
    }
}

/// Can exact p-values be had of so many?
fn is_exact(a: usize, b: usize) -> bool {
    a.min(b).saturating_mul(a.saturating_add(b)) <= EXACT
}

/// Doubled ranks of both samples' values together, ties sharing theirs; and the sum of t³-t over ties.
/// Both in ascending order. The ranks are told as the tally of `a` and `b` at each distinct value.
fn tallies(a: &[u64], b: &[u64]) -> (Vec<(u64, u64, u64)>, f64) {
    let (mut i, mut j) = (0, 0);
    let mut seen = 0_u64;
    let mut ties = 0.0;
    let mut out = Vec::new();
    loop {
        let value = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => *x.min(y),
            (Some(x), None) | (None, Some(x)) => *x,
            (None, None) => return (out, ties),
        };
        let of = |list: &[u64], from: usize| list.iter().skip(from).take_while(|v| **v == value).count();
        let (in_a, in_b) = (of(a, i), of(b, j));
        let tied = (in_a + in_b) as u64;
        // The mean of the ranks seen+1 ..= seen+tied, doubled.
        out.push((2 * seen + tied + 1, in_a as u64, in_b as u64));
        let t = tied as f64;
        ties += t * t * t - t;
        seen += tied;
        i += in_a;
        j += in_b;
    }
}

/// The two-sided p-value of the Mann-Whitney test that two samples (in ascending order) come from one
/// distribution. Exact for small samples, given the ties that there are; the normal approximation with
/// corrections for ties and continuity for others. 1 where a sample is empty.
pub fn p_value(a: &[u64], b: &[u64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 1.0;
    }
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let (tallies, ties) = tallies(few, many);
    let sum: u64 = tallies.iter().map(|(rank, n, _)| rank * n).sum();
    if is_exact(few.len(), many.len()) {
        let ranks = tallies.iter().flat_map(|(rank, n, m)| std::iter::repeat_n(*rank, (n + m) as usize));
        let sums = Sums::of(&ranks.collect::<Vec<_>>(), few.len());
        return (2.0 * sums.at_most(sum).min(sums.at_least(sum))).min(1.0);
    }
    let (n, m) = (few.len() as f64, many.len() as f64);
    let all = n + m;
    let mean = n * (all + 1.0) / 2.0;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let off = ((sum as f64 / 2.0 - mean).abs() - 0.5).max(0.0);
    libm::erfc(off / variance.sqrt() / std::f64::consts::SQRT_2).min(1.0)
}

/// The smallest p-value that so many samples can give: both samples wholly apart.
pub fn smallest_p(a: usize, b: usize) -> f64 {
    if a == 0 || b == 0 {
        return 1.0;
    }
    let (few, many) = (a.min(b), a.max(b));
    // 2 / C(few + many, few), which is soon so small that it does not matter.
    let mut p = 2.0;
    for i in 1..=few.min(1_000) {
        p *= i as f64 / (many + i) as f64;
    }
    p.min(1.0)
}

/// By how much values have moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Shift {
    /// The Hodges-Lehmann estimate: the median of all differences between one value of each side.
    pub estimate_ns: i64,
    /// Where it lies with the confidence asked for, `None` where the samples are too few for any bound.
    pub interval_ns: Option<(i64, i64)>,
}

/// The shift from `a` to `b` (in ascending order), with an interval that leaves out `alpha`; `None`
/// where a sample is empty. Linear in time and without further memory but for small samples.
pub fn shift(a: &[u64], b: &[u64], alpha: f64) -> Option<Shift> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let pairs = a.len() as u128 * b.len() as u128;
    let low = nth_difference(a, b, (pairs - 1) / 2);
    let high = nth_difference(a, b, pairs / 2);
    let estimate_ns = low + (high - low) / 2;
    let interval_ns = left_out(a.len(), b.len(), alpha)
        .map(|skip| (nth_difference(a, b, skip), nth_difference(a, b, pairs - 1 - skip)));
    Some(Shift { estimate_ns, interval_ns })
}

/// How many of the smallest (and of the largest) differences lie outside of the interval; `None` where
/// even all of them are not enough.
fn left_out(a: usize, b: usize, alpha: f64) -> Option<u128> {
    let (few, many) = (a.min(b), a.max(b));
    if smallest_p(few, many) > alpha {
        return None;
    }
    if is_exact(few, many) {
        let ranks: Vec<u64> = (1..=(few + many) as u64).map(|rank| 2 * rank).collect();
        let sums = Sums::of(&ranks, few);
        // The statistic U is the sum of the ranks less the smallest that there is.
        let least = few * (few + 1);
        let mut below = 0.0;
        let mut count = 0;
        for ways in sums.ways.iter().skip(least).step_by(2) {
            below += ways / sums.total;
            if below > alpha / 2.0 {
                break;
            }
            count += 1;
        }
        // `count` values of U are as unlikely as that: 0 to count-1.
        return u128::checked_sub(count, 1);
    }
    let (n, m) = (few as f64, many as f64);
    let z = quantile_of_normal(alpha / 2.0);
    let skip = n * m / 2.0 - z * (n * m * (n + m + 1.0) / 12.0).sqrt();
    Some(skip.max(0.0).floor() as u128)
}

/// The z that a standard normal variable exceeds with this probability (at most one half).
fn quantile_of_normal(tail: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 40.0_f64);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if libm::erfc(middle / std::f64::consts::SQRT_2) / 2.0 > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Times past this (146 years) are taken for this, so that differences fit.
const LONGEST: u64 = 1 << 62;

fn difference(from: u64, to: u64) -> i64 {
    to.min(LONGEST).cast_signed() - from.min(LONGEST).cast_signed()
}

/// The `nth` smallest difference between a value of `b` and one of `a`, from 0: by halving the range of
/// values and counting how many differences are not larger.
fn nth_difference(a: &[u64], b: &[u64], nth: u128) -> i64 {
    let (Some(&a_min), Some(&a_max)) = (a.first(), a.last()) else { return 0 };
    let (Some(&b_min), Some(&b_max)) = (b.first(), b.last()) else { return 0 };
    let (mut low, mut high) = (difference(a_max, b_min), difference(a_min, b_max));
    while low < high {
        let middle = low + ((i128::from(high) - i128::from(low)) / 2) as i64;
        let mut count = 0_u128;
        let mut upto = 0;
        // The larger the value of `a`, the more values of `b` are near enough.
        for &from in a {
            while b.get(upto).is_some_and(|&to| difference(from, to) <= middle) {
                upto += 1;
            }
            count += upto as u128;
        }
        if count > nth {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// p-values as they are when all of a family are tested together (Holm): the chance of even one false
/// alarm stays what it is. In the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    let p = |i: usize| p_values.get(i).copied().unwrap_or(1.0);
    order.sort_small_by(|&i, &j| p(i).total_cmp(&p(j)));
    let mut out = vec![1.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (place, &i) in order.iter().enumerate() {
        largest = largest.max(p(i) * (p_values.len() - place) as f64).min(1.0);
        if let Some(slot) = out.get_mut(i) {
            *slot = largest;
        }
    }
    out
}

/// p-values as they are when only few of those that are called differences may be none (Benjamini and
/// Hochberg: the share of false alarms among all alarms stays what it is). In the order given.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    let p = |i: usize| p_values.get(i).copied().unwrap_or(1.0);
    order.sort_small_by(|&i, &j| p(i).total_cmp(&p(j)));
    let mut out = vec![1.0; p_values.len()];
    let mut smallest: f64 = 1.0;
    for (place, &i) in order.iter().enumerate().rev() {
        smallest = smallest.min(p(i) * p_values.len() as f64 / (place + 1) as f64);
        if let Some(slot) = out.get_mut(i) {
            *slot = smallest;
        }
    }
    out
}

#[cfg(test)]
mod tests;
