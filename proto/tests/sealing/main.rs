//! Sealed calls between two client engines, over the server engine and a relay that reads and changes what it likes.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test")]

mod calls;
mod talk;
mod threats;
