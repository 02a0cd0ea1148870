//! Why nothing is heard: networks, servers and peers that are broken on purpose. `doctor` or `diagnose` names the cause of
//! each; what they print is kept in `tests/silences/`, with what differs from run to run left out. With
//! `GOLDEN=write` the files are written anew. The same in virtual time is in `src/probe/examine/broken/`.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "silences/golden.rs"]
mod golden;
#[path = "support/lab.rs"]
#[expect(dead_code, reason = "others make links")]
mod lab;
#[path = "support/nat/mod.rs"]
#[expect(dead_code, reason = "others make calls")]
mod nat;
#[path = "silences/networks.rs"]
mod networks;
#[path = "silences/peer.rs"]
mod peer;
#[path = "silences/peers.rs"]
mod peers;
#[path = "support/program.rs"]
mod program;
#[path = "silences/servers.rs"]
mod servers;

const PROBE: &str = env!("CARGO_BIN_EXE_roundtable-probe");
const SERVER: &str = env!("CARGO_BIN_EXE_signallingserver");
/// An identifier as people write it.
const BOB: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
