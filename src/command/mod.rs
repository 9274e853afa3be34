//! The subcommands, one file each.

pub mod doctor;
pub mod recording;
pub mod inspect;
pub mod report;
pub mod schema;
