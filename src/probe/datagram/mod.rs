//! Datagrams as text and back, by the layouts of the protocol: `roundtable-probe encode` and `decode`.

mod captured;
mod decode;
mod encode;
mod field;
mod input;
mod invalid;

pub(super) use decode::run as decode;
pub(super) use encode::run as encode;
pub(super) use encode::{Assignment, Notation};
pub(super) use input::Form as InputForm;
