//! The interactive session, driven as a user would.

mod cards;
#[cfg(unix)]
mod session;
#[cfg(unix)]
mod terminal;
