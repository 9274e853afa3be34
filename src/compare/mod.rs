//! Starts against starts: which of two sides' starts are the same, and what differs between them.
//!
//! Pure: from traces (`trace::read`) to a [`Comparison`], and from that to text, Markdown and JSON. A start
//! is read into a digest of a few hundred bytes ([`Digest`]); everything after that is linear in their
//! number. What comes from a file is hostile: bounded, sanitised where it is shown, computed with
//! saturating arithmetic.
//!
//! - `digest.rs` - what is kept of each start, and to which run it belongs.
//! - `fold.rs` - what makes two command lines the same. `pairs.rs` - which kinds of start belong together.
//! - `stats.rs` - ranks, medians, intervals. `comparison.rs` - one pair's numbers; `gate.rs` - yes or no.
//! - `budget.rs` - what a start may take.
//! - `spread.rs` - many runs of the same command: what `stat` says.
//! - `text.rs`, `markdown.rs` - for people; `html.rs` - a page, with the run that stands for each side
//!   (`waterfall.rs`).

pub mod budget;
mod comparison;
mod digest;
mod fold;
mod gate;
mod html;
mod markdown;
mod pairs;
pub mod spread;
pub mod stats;
mod text;
mod waterfall;

pub use comparison::{
    Change, Comparison, Kind, Options, Pair, Part, SideNote, Tally, TraceNote, Unit, Verdict, compare,
};
pub use digest::{Digest, Reading, Side, Sides};
pub use fold::Map;
pub use gate::{Gate, Limit, Outcome};
pub use html::html;
pub use markdown::markdown;
pub use pairs::MatchedBy;
pub use text::text;
pub use waterfall::Representative;
