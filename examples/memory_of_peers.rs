//! How much memory the server engine takes for each registered peer, and how long a registration takes it.
//!
//! `cargo run --release --example memory_of_peers` registers a million peers, both round trips each, and reads this
//! process's resident memory before and after (Linux).

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant as Clock};

use roundtable_proto::server::{Config, Limits, Path, Server};
use roundtable_proto::wire::{
    self, Address, Cookie, Frame, PeerId, Register, Session, Signature, Ticket, TransactionId,
};
use roundtable_proto::{Instant, Seed};

const PEERS: u32 = 1_000_000;
/// Bytes of a page of memory on x86-64.
const PAGE: u64 = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::from_micros(1_000_000);
    // A million from few addresses, faster than anybody may.
    let config = Config { limits: Limits::NONE, ..Config::default() };
    let mut server = Server::new(start, config, Seed::from_number(1));
    let before = resident()?;
    let clock = Clock::now();
    for number in 0..PEERS {
        // A million registrations in 40 s, so that none lapses meanwhile.
        let now = start + Duration::from_micros(u64::from(number) * 40);
        register(&mut server, now, number)?;
    }
    let took = clock.elapsed();
    let grown = resident()?.saturating_sub(before);
    println!("{} peers, {} bytes of resident memory each", server.peers(), grown / u64::from(PEERS));
    println!(
        "{} ns a registration (2 datagrams in, 2 out), engine alone",
        took.as_nanos() / u128::from(PEERS)
    );
    Ok(())
}

/// Plays both round trips of one client.
fn register(server: &mut Server, now: Instant, number: u32) -> Result<(), Box<dyn Error>> {
    let from = Path::from(SocketAddr::from((
        Ipv4Addr::from_bits(0x0A00_0000 + number / 1000),
        (number % 1000 + 1024) as u16,
    )));
    let mut uuid = [7; 16];
    uuid[..4].copy_from_slice(&number.to_be_bytes());
    let mut register = Register {
        session: Session::NONE,
        transaction: TransactionId([1; 16]),
        identifier: PeerId::plain(uuid).ok_or("a nil UUID")?,
        cookie: Cookie::NONE,
        ticket: Ticket::NONE,
        server: Address::NONE,
        signature: Signature::NONE,
    };
    server.handle_datagram(now, from, &Frame::Register(register).to_vec());
    let transmit = server.poll_transmit().ok_or("no CHALLENGE")?;
    let Frame::Challenge(challenge) = wire::decode(transmit.contents)? else {
        return Err("no CHALLENGE".into());
    };
    register.cookie = challenge.cookie;
    server.handle_datagram(now, from, &Frame::Register(register).to_vec());
    let transmit = server.poll_transmit().ok_or("no REGISTERED")?;
    let Frame::Registered(_) = wire::decode(transmit.contents)? else { return Err("no REGISTERED".into()) };
    Ok(())
}

fn resident() -> Result<u64, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    Ok(statm.split(' ').nth(1).ok_or("no second field in statm")?.parse::<u64>()? * PAGE)
}
