//! The trace: its schema (`startrace/1`), how it is written and how it is read.
//!
//! Everything here is pure data and file handling; nothing knows where the events come from.

pub mod document;
pub mod json;
pub mod json_schema;
mod lines;
mod names;
pub mod parse;
pub mod parts;
mod place;
pub mod read;
pub mod schema;
pub mod text;
pub mod vocabulary;
pub mod whole;
pub mod write;
