//! Tables and hashes for what a trace or the kernel names: quick, and seeded for each run, so that a file cannot be made
//! to collide. Where a value has to be beyond guessing (a nonce, a pseudonym), it is the standard library's that is used.

/// [`std::collections::HashMap`] with a quicker hash.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
/// [`std::collections::HashSet`] with a quicker hash.
pub(crate) type HashSet<T> = std::collections::HashSet<T, foldhash::fast::RandomState>;
/// For hashes that stand for what was hashed: all their bits are as good.
pub(crate) use foldhash::quality::RandomState;
