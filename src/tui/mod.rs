//! The full screen of `startrace watch --tui`, as far as it is pure: what it remembers ([`state`]), how that is drawn
//! into a buffer ([`view`], [`detail`]), and what keys mean ([`keys`]). The terminal itself is in `command::watch`.
//!
//! Of ratatui only the core is used: its buffer, and the difference of two buffers. Its terminal waits until all is
//! written, and its event sources want threads or handlers of their own; the loop that records may wait for neither.

mod detail;
pub mod keys;
pub mod state;
pub mod view;
