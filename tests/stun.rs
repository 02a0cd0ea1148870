//! STUN on the server's port, asked for by clients that nobody here wrote. SPEC 17
//!
//! One that is not installed is named in a line that begins with SKIPPED; `.ci/run` installs them.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use roundtable_signalling::Server;
use roundtable_signalling::config::{Config, Stun};
use tokio::sync::oneshot;

/// What a program printed, and how often the server answered; `None` where the program is missing.
async fn ask(stun: Stun, host: &str, program: &str, arguments: &[&str]) -> Option<(String, u64)> {
    let localaddress = Some(host.parse::<IpAddr>().unwrap());
    let server = Server::bind(&Config { localport: 0, localaddress, stun, ..Config::default() }).unwrap();
    let port = server.local_addr().port().to_string();
    let at = SocketAddr::new(host.parse().unwrap(), server.local_addr().port()).to_string();
    let stats = server.stats();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async { drop(stopped.await) }));
    let mut command = Command::new("timeout");
    command.args(["5", program]);
    command.args(arguments.iter().map(|one| one.replace("PORT", &port).replace("ADDRESS", &at)));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    // What timeout ends with where there is no such program.
    if output.status.code() == Some(127) {
        println!("SKIPPED: {program} is not installed");
        return None;
    }
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Some((text.concat(), stats.snapshot().counters.stun))
}

#[tokio::test]
async fn client_of_coturn_learns_its_address_over_ipv4_and_ipv6() {
    for (host, expected) in [("127.0.0.1", "reflexive addr: 127.0.0.1:"), ("::1", "reflexive addr: ::1:")] {
        let asked = ask(Stun::On, host, "turnutils_stunclient", &["-p", "PORT", host]).await;
        let Some((text, answers)) = asked else { return };
        assert!(text.contains(expected) && answers > 0, "{answers} answers: {text}");
    }
}

#[tokio::test]
async fn client_of_coturn_gets_silence_where_its_request_is_shorter_than_the_answer() {
    let arguments = ["-p", "PORT", "127.0.0.1"];
    let asked = ask(Stun::Strict, "127.0.0.1", "turnutils_stunclient", &arguments).await;
    let Some((text, answers)) = asked else { return };
    assert!(!text.contains("reflexive") && answers == 0, "{answers} answers: {text}");
}

#[tokio::test]
async fn discovery_of_coturn_learns_its_address() {
    let arguments = ["-m", "-f", "-p", "PORT", "127.0.0.1"];
    let Some((text, _)) = ask(Stun::On, "127.0.0.1", "turnutils_natdiscovery", &arguments).await else {
        return;
    };
    assert!(text.contains("reflexive addr: 127.0.0.1:"), "{text}");
}

#[tokio::test]
async fn classic_client_of_debian_learns_its_address() {
    let Some((text, answers)) = ask(Stun::On, "127.0.0.1", "stun", &["ADDRESS", "1", "-v"]).await else {
        return;
    };
    assert!(text.contains("MappedAddress = 127.0.0.1:") && answers == 1, "{answers} answers: {text}");
}
