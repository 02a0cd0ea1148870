//! What a server sends to a victim because of datagrams with a forged source address never exceeds what was sent in the
//! victim's name: neither in bytes nor in datagrams, whatever they hold.
//!
//! Three hosts: the attacker (here), the server, the victim. Datagrams of every kind leave a raw socket; what reaches the
//! victim is counted at its interface. Prints a Markdown table. `REFLECTION_DATAGRAMS` says how many there are in all
//! (`make reflection`: a million), `REFLECTION_SEED` repeats a run.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "reflection/attack.rs"]
mod attack;
#[path = "reflection/hosts.rs"]
mod hosts;
#[path = "support/lab.rs"]
mod lab;
#[path = "reflection/packet.rs"]
mod packet;
#[path = "support/random.rs"]
mod random;
#[path = "support/remote.rs"]
mod remote;
#[path = "reflection/rows.rs"]
mod rows;
#[path = "reflection/table.rs"]
mod table;

const TEST: &str = "no_victim_gets_more_than_was_sent_in_its_name";
/// Datagrams of an ordinary test run.
const DATAGRAMS: usize = 100_000;
/// Bytes by which the server's resident memory may grow: tables that were made at the start are first touched page by page.
const GROWTH_MAX: u64 = 1 << 20;

#[test]
fn no_victim_gets_more_than_was_sent_in_its_name() {
    if remote::is_asked_for() {
        return remote::serve(roundtable_signalling::config::Config::default());
    }
    lab::inside(TEST, || {
        let total = std::env::var("REFLECTION_DATAGRAMS").map_or(DATAGRAMS, |text| text.parse().unwrap());
        let mut random = random::Random::from_environment("REFLECTION_SEED");
        let mut attack = attack::Attack::new(hosts::start());
        // Once around, so that what is allocated once is allocated.
        attack.run(&mut random, total / 10);
        let before = attack.hosts.server.stats();
        let table = attack.run(&mut random, total);
        let after = attack.hosts.server.stats();
        println!("{table}\n");
        println!("server before: {before:?}\nserver after:  {after:?}");
        table.check();
        assert!(table.sent() >= total as u64, "{}", table.sent());
        assert_eq!((after.peers, after.offers), (before.peers, before.offers), "a table has moved");
        assert!(after.resident <= before.resident + GROWTH_MAX, "the server grows");
    });
}
