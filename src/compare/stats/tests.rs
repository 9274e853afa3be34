use super::*;
use proptest::prelude::*;

/// By the definition: over every way to deal the values out.
fn brute_p(a: &[u64], b: &[u64]) -> f64 {
    let all: Vec<u64> = a.iter().chain(b).copied().collect();
    // U, doubled: two for each pair in order, one for a tie.
    let u = |chosen: &dyn Fn(usize) -> bool| -> u64 {
        let mut sum = 0;
        for i in (0..all.len()).filter(|&i| chosen(i)) {
            for j in (0..all.len()).filter(|&j| !chosen(j)) {
                sum += match all[i].cmp(&all[j]) {
                    std::cmp::Ordering::Greater => 2,
                    std::cmp::Ordering::Equal => 1,
                    std::cmp::Ordering::Less => 0,
                };
            }
        }
        sum
    };
    let observed = u(&|i| i < a.len());
    let (mut low, mut high, mut total) = (0, 0, 0);
    for mask in 0_u32..1 << all.len() {
        if mask.count_ones() as usize == a.len() {
            let value = u(&|i| mask >> i & 1 == 1);
            total += 1;
            low += u32::from(value <= observed);
            high += u32::from(value >= observed);
        }
    }
    (2.0 * f64::from(low.min(high)) / f64::from(total)).min(1.0)
}

fn sorted(mut values: Vec<u64>) -> Vec<u64> {
    values.sort_unstable();
    values
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn exact_p_values_are_those_of_every_permutation(
        a in prop::collection::vec(0_u64..6, 1..6),
        b in prop::collection::vec(0_u64..6, 1..6),
    ) {
        let (a, b) = (sorted(a), sorted(b));
        let (want, got) = (brute_p(&a, &b), p_value(&a, &b));
        prop_assert!((want - got).abs() < 1e-9, "{a:?} {b:?}: {want} {got}");
        prop_assert!((p_value(&b, &a) - got).abs() < 1e-9);
    }

    #[test]
    fn the_shift_is_the_median_of_all_differences(
        a in prop::collection::vec(any::<u64>(), 1..12),
        b in prop::collection::vec(0_u64..1_000_000, 1..12),
    ) {
        let (a, b) = (sorted(a), sorted(b));
        let mut all: Vec<i64> =
            a.iter().flat_map(|x| b.iter().map(|y| difference(*x, *y))).collect();
        all.sort_unstable();
        for (nth, want) in all.iter().enumerate() {
            prop_assert_eq!(nth_difference(&a, &b, nth as u128), *want);
        }
        let shift = shift(&a, &b, 0.05).unwrap();
        let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
        prop_assert_eq!(shift.estimate_ns, low + (high - low) / 2);
        if let Some((low, high)) = shift.interval_ns {
            prop_assert!(low <= shift.estimate_ns && shift.estimate_ns <= high);
        }
    }

    /// The interval leaves 0 out exactly where the test says that there is a difference.
    #[test]
    fn interval_and_test_agree(
        a in prop::collection::hash_set(0_u64..1 << 40, 1..20),
        b in prop::collection::hash_set(1_u64 << 39..3 << 39, 1..20),
    ) {
        let (a, b) = (sorted(a.into_iter().collect()), sorted(b.into_iter().collect()));
        prop_assume!(!a.iter().any(|value| b.contains(value)));
        let apart = p_value(&a, &b) <= 0.05;
        let interval = shift(&a, &b, 0.05).unwrap().interval_ns;
        prop_assert_eq!(interval.is_some_and(|(low, high)| low > 0 || high < 0), apart);
    }

    #[test]
    fn absurd_numbers_do_no_harm(
        a in prop::collection::vec(any::<u64>(), 0..80),
        b in prop::collection::vec(any::<u64>(), 0..80),
    ) {
        let (a, b) = (sorted(a), sorted(b));
        let p = p_value(&a, &b);
        prop_assert!((0.0..=1.0).contains(&p));
        prop_assert_eq!(shift(&a, &b, 0.05).is_none(), a.is_empty() || b.is_empty());
        if let Some(summary) = Summary::of(&a) {
            prop_assert!(summary.min_ns <= summary.p25_ns && summary.p25_ns <= summary.median_ns);
            prop_assert!(summary.median_ns <= summary.p75_ns && summary.p75_ns <= summary.p90_ns);
            prop_assert!(summary.p90_ns <= summary.max_ns);
        }
    }
}

/// The same numbers every time: what is tested is no matter of luck.
struct Luck(u64);

impl Luck {
    /// Uniform in (0, 1).
    fn next(&mut self) -> f64 {
        // xorshift64*, by its published constants.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Start times: 100 ms, a spread of some 5 %, and a long tail upwards; times `factor`.
    fn starts(&mut self, n: usize, factor: f64) -> Vec<u64> {
        let one = |luck: &mut Self| {
            let normal = (-2.0 * luck.next().ln()).sqrt() * (std::f64::consts::TAU * luck.next()).cos();
            let tail = if luck.next() < 0.05 { 1.5 } else { 1.0 };
            (100e6 * factor * tail * (0.05 * normal).exp()) as u64
        };
        sorted((0..n).map(|_| one(self)).collect())
    }

    fn share(&mut self, rounds: usize, mut of: impl FnMut(&mut Self) -> bool) -> f64 {
        (0..rounds).filter(|_| of(self)).count() as f64 / rounds as f64
    }
}

#[test]
fn false_alarms_are_as_rare_as_asked_for() {
    let mut luck = Luck(0x5EED);
    for (n, m) in [(4, 4), (5, 9), (10, 10), (20, 20), (30, 40), (100, 150)] {
        let share = luck.share(2_000, |luck| p_value(&luck.starts(n, 1.0), &luck.starts(m, 1.0)) <= 0.05);
        // Three standard deviations of such a count, upwards; exact tests of few samples stay below.
        assert!(share < 0.05 + 0.015, "{n}+{m}: {share}");
        assert!(share > 0.015, "{n}+{m}: {share} is no test any more");
    }
    // Values that are much alike: ties by rounding to 10 ms.
    let coarse = |values: Vec<u64>| values.into_iter().map(|v| v / 10_000_000).collect::<Vec<_>>();
    for (n, m) in [(6, 6), (40, 60)] {
        let share = luck
            .share(2_000, |luck| p_value(&coarse(luck.starts(n, 1.0)), &coarse(luck.starts(m, 1.0))) <= 0.05);
        assert!(share < 0.065, "{n}+{m} with ties: {share}");
    }
}

#[test]
fn what_is_slower_is_seen() {
    let mut luck = Luck(0xF00D);
    // Ten percent, twice the spread: nearly always with ten of each, half of the time with five.
    for (n, least) in [(5, 0.5), (10, 0.85), (20, 0.99)] {
        let share = luck.share(1_000, |luck| p_value(&luck.starts(n, 1.0), &luck.starts(n, 1.1)) <= 0.05);
        assert!(share >= least, "{n}: {share}");
    }
    // Three of each can never tell.
    let share = luck.share(200, |luck| p_value(&luck.starts(3, 1.0), &luck.starts(3, 5.0)) <= 0.05);
    assert_eq!(share, 0.0);
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let mut luck = Luck(0xBEEF);
    for (n, m) in [(4, 4), (10, 15), (60, 60)] {
        // A pure shift of 20 ms.
        let share = luck.share(1_000, |luck| {
            let a = luck.starts(n, 1.0);
            let b: Vec<u64> = luck.starts(m, 1.0).iter().map(|v| v + 20_000_000).collect();
            let (low, high) = shift(&a, &b, 0.05).unwrap().interval_ns.unwrap();
            (low..=high).contains(&20_000_000)
        });
        assert!((0.93..=0.995).contains(&share), "{n}+{m}: {share}");
    }
}

#[test]
fn few_samples_are_too_few() {
    assert!(smallest_p(3, 3) > 0.05 && smallest_p(4, 4) < 0.05 && smallest_p(3, 5) < 0.05);
    assert_eq!(smallest_p(0, 9), 1.0);
    assert_eq!(smallest_p(1, 1), 1.0);
    assert!((smallest_p(4, 4) - p_value(&[1, 2, 3, 4], &[5, 6, 7, 8])).abs() < 1e-12);
    assert_eq!(shift(&[1, 2, 3], &[4, 5, 6], 0.05).unwrap().interval_ns, None);
    assert_eq!(shift(&[1, 2, 3, 4], &[5, 6, 7, 8], 0.05).unwrap().interval_ns, Some((1, 7)));
    assert_eq!(p_value(&[], &[1]), 1.0);
    assert_eq!(p_value(&[7; 100], &[7; 100]), 1.0);
}

/// The approximation takes over where the exact p-values are the same for all that matters.
#[test]
fn exact_and_approximate_meet() {
    let mut luck = Luck(7);
    for factor in [1.0, 1.02, 1.05] {
        let (a, b) = (luck.starts(22, 1.0), luck.starts(23, factor));
        let exact = p_value(&a, &b);
        // One more value at the median of all hardly changes anything, and makes it approximate.
        let mut more = b.clone();
        more.push(b[11]);
        let approximate = p_value(&a, &sorted(more));
        assert!((exact - approximate).abs() < 0.03, "{factor}: {exact} {approximate}");
    }
}

#[test]
fn quantiles_lie_between_neighbours() {
    assert_eq!(quantile(&[], 1, 2), 0);
    assert_eq!(quantile(&[7], 9, 10), 7);
    assert_eq!(quantile(&[1, 2, 3, 4], 1, 2), 2);
    assert_eq!(quantile(&[10, 20, 30, 40], 1, 2), 25);
    assert_eq!(quantile(&[0, 100], 9, 10), 90);
    assert_eq!(quantile(&[0, u64::MAX], 9, 10), (u128::from(u64::MAX) * 9 / 10) as u64);
    assert_eq!(Summary::of(&[]), None);
}

#[test]
fn families_are_adjusted_together() {
    assert_eq!(holm(&[]), Vec::<f64>::new());
    assert_eq!(holm(&[0.04]), [0.04]);
    let adjusted = holm(&[0.01, 0.5, 0.02, 0.03]);
    let want = [0.04, 0.5, 0.06, 0.06];
    assert!(adjusted.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
}

#[test]
fn the_share_of_false_alarms_is_kept() {
    assert_eq!(benjamini_hochberg(&[]), Vec::<f64>::new());
    let adjusted = benjamini_hochberg(&[0.01, 0.5, 0.02, 0.03]);
    let want = [0.04, 0.5, 0.04, 0.04];
    assert!(adjusted.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
}
