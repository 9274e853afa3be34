//! What the tests and benchmarks of `startrace` share with the chores: the corpus's table, how its
//! rows are judged, the table of findings, and the event streams that were recorded of them.

pub mod cases;
pub mod judge;
pub mod streams;
pub mod table;
