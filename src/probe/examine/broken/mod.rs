//! Networks, servers and peers that are broken on purpose, in virtual time: the examinations ask and judge as they do elsewhere,
//! and what they find is held against `tests/silences/virtual/`, to the digit. With `GOLDEN=write` the files are written anew.
//!
//! `tests/silences` has the same over sockets, in namespaces: there the system adds what a network of datagrams lacks, TCP and
//! routers that say where something died.

mod diagnose;
mod doctor;
mod rig;
mod two;
