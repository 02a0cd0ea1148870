//! The gate before a server, and the engine behind it: whatever proxies and others send, nothing breaks, and nobody's answer
//! goes another's way.

use std::net::SocketAddr;

use roundtable_proto::proxy::{Gate, Protocol, spp};
use roundtable_proto::server::{Config, Path, Server, Via};
use roundtable_proto::{Instant, Seed};

use super::script::{Script, address};

/// Ends of proxies, of which the last is none.
const ENDS: usize = 4;

pub(super) fn proxy(input: &[u8]) {
    let mut script = Script::new(input);
    let protocol = if script.is_odd() { Protocol::V2 } else { Protocol::Spp };
    let trusted = ["192.0.2.0/24".parse().expect("a network")];
    let mut gate = Gate::new(protocol, &trusted, Via(7), 4, &Seed::from_number(1));
    let mut now = Instant::from_micros(1_000_000);
    let config = Config { max_peers: 4, max_offers: 4, ..Config::default() };
    let mut server = Server::new(now, config, Seed::from_number(2));
    while let Some(step) = script.byte() {
        now += script.time();
        server.handle_timeout(now);
        server.poll_transmits().for_each(|transmit| gate.push(&transmit));
        assert!(gate.poll_transmits().all(|out| !out.contents.is_empty()), "nothing is sent");
        let end = end(usize::from(step) % ENDS);
        let datagram = datagram(step, protocol, &mut script);
        let Ok(admitted) = gate.admit(now, end, &datagram) else { continue };
        assert!(datagram.ends_with(admitted.datagram), "the payload is not what was sent");
        if let Some(asked) = admitted.opened {
            server.open_way(admitted.path.via, asked);
        }
        server.handle_datagram(now, admitted.path, admitted.datagram);
        while let Some(transmit) = server.poll_transmit() {
            let client = transmit.path.remote;
            gate.push(&transmit);
            for out in gate.poll_transmits() {
                check(protocol, end, admitted.path, client, out.path, out.contents);
            }
        }
        gate.settle(now, |via| server.is_held(via));
        server.check_invariants().expect("the server's invariants hold");
    }
}

/// Looks at one train that leaves the socket.
fn check(protocol: Protocol, end: Path, from: Path, client: SocketAddr, to: Path, contents: &[u8]) {
    if from.via == Via(0) && client == from.remote {
        assert_eq!(to, end, "an answer to a direct client goes elsewhere");
    } else if client == from.remote {
        assert_eq!(to, end, "an answer goes to another proxy");
        if protocol == Protocol::Spp {
            let header = spp::split(contents).expect("a header");
            assert_eq!(header.0.client, client, "an answer names another client");
        }
    }
}

/// Where number `number` sends from.
fn end(number: usize) -> Path {
    let end = if number == ENDS - 1 {
        "198.51.100.1:9"
    } else {
        ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"][number]
    };
    Path::from(end.parse::<SocketAddr>().expect("an address"))
}

/// A datagram with a header that is whole, or what the script says.
fn datagram(step: u8, protocol: Protocol, script: &mut Script<'_>) -> Vec<u8> {
    let header = match (step >> 4 & 3, protocol) {
        (0, _) => Vec::new(),
        (1, Protocol::Spp) => {
            let (client, proxy) = (address(script.below(4)), address(0));
            spp::Header { client, proxy }.to_bytes().to_vec()
        }
        _ => match protocol {
            Protocol::Spp => spp::MAGIC.to_vec(),
            Protocol::V2 => b"\r\n\r\n\0\r\nQUIT\n".to_vec(),
        },
    };
    [&header[..], script.bytes(400)].concat()
}
