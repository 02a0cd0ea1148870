//! Behind a proxy that was written independently (`support/proxy.py`): true addresses, whole calls, forged headers. SPEC 18

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "proxy/calls.rs"]
mod calls;
#[path = "proxy/headers.rs"]
mod headers;
#[path = "support/program.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod program;
#[path = "proxy/rig.rs"]
mod proxied;
#[path = "loopback/rig.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod rig;
