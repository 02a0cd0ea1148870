//! What a call costs: how long it takes, in round trips, and what the server carries for it.
//!
//! `cargo run --example cost_of_a_call` prints the same on every machine: the engines run in virtual time, each peer
//! 50 ms from the server, nothing is lost. A round trip is that between the peers, by way of the server.
//! `roundtable-probe demo` has the times over real sockets on loopback.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use roundtable_signalling::proto::Instant;
use roundtable_signalling::proto::client::{Client, Event};
use roundtable_signalling::proto::server::{Config, Counters};
use roundtable_signalling::proto::vnet::{INTERNET, Link, Seat, World};
use roundtable_signalling::proto::wire::PeerId;

/// From each peer to the server, one way.
const DELAY: Duration = Duration::from_millis(50);
/// From one peer to the other and back.
const ROUND_TRIP: Duration = Duration::from_millis(200);
/// Longer than any of these calls.
const PATIENCE: Duration = Duration::from_secs(10);

const CALLS: [(&str, &[u8], &[u8]); 2] = [
    (
        "small",
        include_bytes!("../tests/data/pion3-audio-offer.sdp"),
        include_bytes!("../tests/data/pion3-audio-answer.sdp"),
    ),
    (
        "large",
        include_bytes!("../tests/data/aiortc-audio-x20-10if-offer.sdp"),
        include_bytes!("../tests/data/aiortc-audio-x20-10if-answer.sdp"),
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:32} {:>9} {:>12} {:>9} {:>9} {:>7}", "", "ms", "round trips", "in", "out", "out/in");
    for (name, offer, answer) in CALLS {
        let mut world = World::new(1, Config::default());
        let callee_id = PeerId::plain([2; 16]).ok_or("no identifier")?;
        let caller = join(&mut world, PeerId::plain([1; 16]).ok_or("no identifier")?);
        let callee = join(&mut world, callee_id);
        world.run(Duration::from_secs(1));
        let (begun, before) = (world.now(), counters(&world));

        let id = world.command(caller, |client, now| client.offer(now, callee_id, offer.to_vec()))?;
        let offered = when(&mut world, callee, |event| matches!(event, Event::Offered { .. }))?;
        show(&format!("{name}: {} bytes offered", offer.len()), offered.since(begun));
        world.command(callee, |client, now| client.answer(now, id, answer.to_vec()))?;
        let answered = when(&mut world, caller, |event| matches!(event, Event::Answered { .. }))?;
        show(&format!("{name}: {} bytes answered", answer.len()), answered.since(begun));
        when(&mut world, callee, |event| matches!(event, Event::AnswerDelivered { .. }))?;

        let after = counters(&world);
        let (bytes_in, bytes_out) = (after.bytes_in - before.bytes_in, after.bytes_out - before.bytes_out);
        let ratio = bytes_out as f64 / bytes_in as f64;
        let line = format!("{name}: bytes at the server");
        println!("{line:32} {:>9} {:>12} {bytes_in:>9} {bytes_out:>9} {ratio:>7.3}", "", "");
    }
    Ok(())
}

/// Adds a peer that registers.
fn join(world: &mut World, identifier: PeerId) -> Seat {
    let address = IpAddr::V4(Ipv4Addr::new(198, 51, 100, identifier.as_bytes()[0]));
    let host = world.network_mut().add_host(INTERNET, &[address], Link::after(DELAY));
    let seat = world.add_client(host, 4000, identifier);
    world.command(seat, Client::register);
    seat
}

/// Lets time pass until a client has told this, and returns when that was.
fn when(world: &mut World, seat: Seat, is_it: impl Fn(&Event) -> bool) -> Result<Instant, String> {
    let told = |world: &World| world.events(seat).iter().find(|(_, event)| is_it(event)).map(|(at, _)| *at);
    world.run_until(PATIENCE, |world| told(world).is_some());
    told(world).ok_or_else(|| format!("the call did not come about: {}", world.whereabouts()))
}

fn counters(world: &World) -> Counters {
    world.server().map(|server| server.counters().clone()).unwrap_or_default()
}

fn show(what: &str, took: Duration) {
    let (millis, trips) = (took.as_secs_f64() * 1000.0, took.as_secs_f64() / ROUND_TRIP.as_secs_f64());
    println!("{what:32} {millis:>9.1} {trips:>12.2}");
}
