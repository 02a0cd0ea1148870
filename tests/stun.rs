//! STUN on the server's port, asked for by clients that nobody here wrote. SPEC 17
//!
//! One that is not installed is named in a line that begins with SKIPPED; `.ci/run` installs them.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use roundtable_signalling::Server;
use roundtable_signalling::config::{Config, Stun};
use roundtable_signalling::proto::wire::{
    self, Address, BENCHMARK_ID, Cookie, Frame, Register, Session, Signature, Ticket, TransactionId,
};
use tokio::net::UdpSocket;
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

/// Proves the socket's address to a server: by a REGISTER that is refused, so that nothing is left of it.
async fn prove(socket: &UdpSocket, server: SocketAddr) {
    let mut register = Register {
        session: Session::NONE,
        transaction: TransactionId([1; 16]),
        identifier: BENCHMARK_ID,
        cookie: Cookie::NONE,
        ticket: Ticket::NONE,
        server: Address::NONE,
        signature: Signature::NONE,
    };
    let (bytes, _) = exchange(socket, server, &Frame::Register(register).to_vec()).await;
    let Ok(Frame::Challenge(challenge)) = wire::decode(&bytes) else { panic!("{bytes:?}") };
    register.cookie = challenge.cookie;
    let (bytes, _) = exchange(socket, server, &Frame::Register(register).to_vec()).await;
    assert!(matches!(wire::decode(&bytes), Ok(Frame::Error(_))), "{bytes:?}");
}

async fn exchange(socket: &UdpSocket, server: SocketAddr, datagram: &[u8]) -> (Vec<u8>, SocketAddr) {
    socket.send_to(datagram, server).await.unwrap();
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
    (buffer[..length].to_vec(), from)
}

/// A Binding request that asks for a change.
fn change(bits: u8) -> Vec<u8> {
    let mut request = vec![0, 1, 0, 8, 0x21, 0x12, 0xA4, 0x42];
    request.extend([bits; 12]);
    request.extend([0, 3, 0, 4, 0, 0, 0, bits]);
    request
}

/// Asks a server at 127.0.0.1 whose second address is 127.0.0.2.
async fn asks_for_changes(localaddress: Option<IpAddr>) {
    let altaddress = Some("127.0.0.2".parse().unwrap());
    let config = Config { localport: 0, localaddress, altport: Some(0), altaddress, ..Config::default() };
    let server = Server::bind(&config).unwrap();
    let ports = [server.local_addr().port(), server.alternate_addr().unwrap().port()];
    let place =
        |ip: usize, port: usize| format!("127.0.0.{ip}:{}", ports[port]).parse::<SocketAddr>().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async { drop(stopped.await) }));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (answer, from) = exchange(&socket, place(1, 0), &change(2)).await;
    assert_eq!((answer[1], from), (0x11, place(1, 0)));
    prove(&socket, place(1, 0)).await;
    for asked in [0, 1] {
        for (bits, from) in
            [(0, place(1, asked)), (2, place(1, 1 - asked)), (4, place(2, asked)), (6, place(2, 1 - asked))]
        {
            let (answer, came_from) = exchange(&socket, place(1, asked), &change(bits)).await;
            assert_eq!((answer[1], came_from), (1, from), "{bits} at {asked}");
            // XOR-MAPPED-ADDRESS, RESPONSE-ORIGIN, OTHER-ADDRESS.
            let [p0, p1] = from.port().to_be_bytes();
            let last = if from.ip() == place(1, 0).ip() { 1 } else { 2 };
            assert_eq!(answer[32..44], [0x80, 0x2B, 0, 8, 0, 1, p0, p1, 127, 0, 0, last]);
            let [p0, p1] = place(2, 1 - asked).port().to_be_bytes();
            assert_eq!(answer[44..], [0x80, 0x2C, 0, 8, 0, 1, p0, p1, 127, 0, 0, 2]);
        }
    }
    // All of the protocol is served at the second address and port.
    let (answer, from) = exchange(&socket, place(2, 1), &change(0)).await;
    assert_eq!((answer[1], from), (1, place(2, 1)));
    prove(&socket, place(2, 1)).await;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn server_of_all_addresses_answers_from_where_it_is_asked_to() {
    asks_for_changes(None).await;
}

#[tokio::test]
async fn server_of_two_addresses_answers_from_where_it_is_asked_to() {
    asks_for_changes(Some("127.0.0.1".parse().unwrap())).await;
}

#[tokio::test]
async fn second_port_or_address_that_cannot_be_had_is_named() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let localaddress = Some("127.0.0.1".parse().unwrap());
    let config = Config { localport: 0, localaddress, ..Config::default() };
    let refused = |config: &Config| Server::bind(config).expect_err("it is bound").to_string();
    let text = refused(&Config { altport: Some(port), ..config.clone() });
    assert!(text.starts_with(&format!("altport or altaddress, 127.0.0.1:{port}: ")), "{text}");
    let altaddress = Some("192.0.2.1".parse().unwrap());
    for localaddress in [localaddress, None] {
        let text = refused(&Config { altport: Some(0), altaddress, localaddress, ..config.clone() });
        assert!(text.starts_with("altport or altaddress, 192.0.2.1:"), "{text}");
    }
}
