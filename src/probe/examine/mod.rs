//! `roundtable-probe doctor` and `diagnose`: what is in the way of a call, found step by step, each with what it means
//! and what to do next.

mod addresses;
mod asking;
#[cfg(test)]
mod broken;
mod call;
mod callee;
mod diagnose;
mod doctor;
mod hops;
mod lengths;
mod mtu;
mod nat;
mod path;
mod pings;
mod reach;
mod sheet;
mod visitor;

pub(super) use callee::Part;
pub(super) use diagnose::run as diagnose;
pub(super) use doctor::run as doctor;
