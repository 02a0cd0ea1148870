//! Whether a client that waits for calls can be called: says so whenever that changes.

use std::net::SocketAddr;

use roundtable_proto::client::RefusalCode;
use roundtable_proto::wire::ErrorCode;
use serde_json::json;

use super::failure::Failure;
use super::report::Report;
use crate::client::{Client, Registration};

/// Another client has the identifier: whatever this one had is void.
const TAKEN: RefusalCode = RefusalCode::Known(ErrorCode::IdentifierTaken);

/// Shows what becomes of the registration, until the server refuses it for good. Can be cancelled.
pub(super) async fn follow(report: &Report, client: &Client, server: SocketAddr) -> Failure {
    let mut client = client.clone();
    let mut before = client.registration();
    loop {
        let now = match client.registration_changed().await {
            Ok(now) => now,
            Err(error) => return Failure::Client(error),
        };
        if let Registration::Refused { code, detail, retry_after: None } = now {
            return Failure::Refused { code, detail, retry_after: None };
        }
        if let Some((state, text)) = changed(before, now, server) {
            report.step("changed", json!({ "state": state }), &text);
        }
        // What is asked meanwhile is no state to tell a change from.
        if now != Registration::Asking {
            before = now;
        }
    }
}

/// Names what the registration has become, for scripts, and says what that means for who wants to be called.
fn changed(before: Registration, now: Registration, server: SocketAddr) -> Option<(&'static str, String)> {
    match now {
        Registration::Asking | Registration::Unregistered => None,
        Registration::ServerSilent if before == now => None,
        Registration::ServerSilent => Some((
            "silent",
            format!(
                "the server does not answer any more: nobody can call until it does; roundtable-probe doctor {server} says why"
            ),
        )),
        Registration::Refused { code, detail, retry_after } => {
            let so_far = match before {
                Registration::Refused { code: old, .. } if old == code => return None,
                Registration::Registered { .. } if code != TAKEN => {
                    "the registration is not renewed for now, and nobody can call once the server has forgotten the last one"
                }
                Registration::Asking
                | Registration::Registered { .. }
                | Registration::Refused { .. }
                | Registration::ServerSilent
                | Registration::Unregistered => "nobody can call any more",
            };
            let refusal = Failure::Refused { code, detail, retry_after };
            Some(("refused", format!("{so_far}: {refusal}")))
        }
        Registration::Registered { observed, resumed, .. } => {
            let why = match before {
                Registration::Registered { observed: old, .. } if old == observed && resumed => return None,
                Registration::Registered { observed: old, .. } if old == observed => {
                    ": the server was started anew, or another client of this identifier had taken its place"
                }
                Registration::Asking
                | Registration::Registered { .. }
                | Registration::Refused { .. }
                | Registration::ServerSilent
                | Registration::Unregistered => "",
            };
            Some(("registered", format!("registered again, seen at {observed}{why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use roundtable_proto::client::{Client as Engine, Config, TICKET_LIFETIME};
    use roundtable_proto::identity::SecretKey;
    use roundtable_proto::server;
    use roundtable_proto::vnet::{INTERNET, Link, SERVER_V4, Seat, UNIX_TIME, World};

    use super::*;

    fn at(port: u16) -> Registration {
        as_of(port, false)
    }

    fn as_of(port: u16, resumed: bool) -> Registration {
        let observed = SocketAddr::from(([198, 51, 100, 1], port));
        Registration::Registered { observed, timeout: Duration::from_secs(30), maxblob: 65_536, resumed }
    }

    fn refused(code: ErrorCode, seconds: u64) -> Registration {
        let retry_after = Some(Duration::from_secs(seconds));
        Registration::Refused { code: RefusalCode::Known(code), detail: 0, retry_after }
    }

    fn told(before: Registration, now: Registration) -> Option<String> {
        changed(before, now, SocketAddr::from(([192, 0, 2, 1], 1066))).map(|(_, text)| text)
    }

    #[test]
    fn every_change_that_matters_to_a_caller_is_told() {
        let taken = refused(ErrorCode::IdentifierTaken, 9);
        let limited = refused(ErrorCode::RateLimited, 1);
        for (before, now, begins) in [
            (
                at(1),
                at(1),
                "registered again, seen at 198.51.100.1:1: the server was started anew, or another",
            ),
            (at(1), at(2), "registered again, seen at 198.51.100.1:2"),
            (Registration::ServerSilent, at(1), "registered again, seen at 198.51.100.1:1"),
            (at(1), Registration::ServerSilent, "the server does not answer any more"),
            (
                at(1),
                taken,
                "nobody can call any more: the server refuses the registration: the identifier is held from",
            ),
            (at(1), as_of(2, true), "registered again, seen at 198.51.100.1:2"),
            (Registration::ServerSilent, as_of(1, true), "registered again, seen at 198.51.100.1:1"),
            (
                at(1),
                limited,
                "the registration is not renewed for now, and nobody can call once the server has forgotten the last one: the \
                 server refuses the registration: ",
            ),
            (limited, taken, "nobody can call any more: "),
            (taken, limited, "nobody can call any more: "),
            (Registration::ServerSilent, limited, "nobody can call any more: "),
            (limited, as_of(1, true), "registered again, seen at 198.51.100.1:1"),
        ] {
            let text = told(before, now).unwrap();
            assert!(text.starts_with(begins), "{text}");
        }
        for (before, now) in [
            (Registration::ServerSilent, Registration::ServerSilent),
            (at(1), Registration::Asking),
            (at(1), Registration::Unregistered),
            (at(1), as_of(1, true)),
            (limited, refused(ErrorCode::RateLimited, 2)),
        ] {
            assert_eq!(told(before, now), None, "{before:?} {now:?}");
        }
    }

    /// Tells what a listener is shown of what its client has told from the event of that number on.
    fn shown(world: &World, seat: Seat, from: usize) -> Vec<String> {
        let (mut standing, mut told) = (Registration::Asking, Vec::new());
        for (number, (_, event)) in world.events(seat).iter().enumerate() {
            let Some(now) = standing.after(event) else { continue };
            let text = changed(standing, now, SERVER_V4).map(|(_, text)| text);
            told.extend(text.filter(|_| number >= from));
            standing = now;
        }
        told
    }

    #[test]
    fn renewed_ticket_is_no_change_and_a_restarted_server_is_one() {
        let mut world = World::new(7, server::Config { max_peers: 64, ..server::Config::default() });
        let link = Link::after(Duration::from_millis(20));
        let host = world.network_mut().add_host(INTERNET, &[[198, 51, 100, 1].into()], link);
        let key = SecretKey::from_seed(&[7; 32]).unwrap();
        let seat = world.add_client_with(host, 5000, Config::new(SERVER_V4, key, UNIX_TIME));
        world.command(seat, Engine::register);
        world.run(Duration::from_secs(1));
        let registered = world.events(seat).len();
        world.run(TICKET_LIFETIME * 2);
        assert!(world.events(seat).len() > registered, "the ticket was renewed");
        assert_eq!(shown(&world, seat, registered), Vec::<String>::new());
        world.stop_server();
        world.start_server();
        world.run(Duration::from_secs(60));
        let told = shown(&world, seat, registered);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("seen at 198.51.100.1:5000: the server was started anew"), "{told:?}");
    }
}
