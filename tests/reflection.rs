//! What a server sends to a victim because of datagrams with a forged source address never exceeds what was sent in the
//! victim's name: neither in bytes nor in datagrams, whatever they hold. By STUN, the one exception, not by more than SPEC 11 says.
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

use roundtable_signalling::config::{Config, Stun};

/// Datagrams of an ordinary test run.
const DATAGRAMS: usize = 100_000;
/// Bytes by which the server's resident memory may grow: tables that were made at the start are first touched page by page.
const GROWTH_MAX: u64 = 1 << 20;

/// Attacks a server of this configuration with these rows, and asserts what is promised of every server.
fn attack(test: &str, config: Config, rows: &[rows::Row], datagrams: usize, check: impl Fn(&table::Table)) {
    if remote::is_asked_for() {
        return remote::serve(config);
    }
    lab::inside(test, || {
        let mut random = random::Random::from_environment("REFLECTION_SEED");
        let mut attack = attack::Attack::new(hosts::start(test));
        // Once around, so that what is allocated once is allocated.
        attack.run(rows, &mut random, datagrams / 10);
        let before = attack.hosts.server.stats();
        let table = attack.run(rows, &mut random, datagrams);
        let after = attack.hosts.server.stats();
        println!("{table}\n");
        println!("server before: {before:?}\nserver after:  {after:?}");
        table.check();
        check(&table);
        assert!(table.sent() >= datagrams as u64, "{}", table.sent());
        assert_eq!((after.peers, after.offers), (before.peers, before.offers), "a table has moved");
        assert!(after.resident <= before.resident + GROWTH_MAX, "the server grows");
    });
}

/// How many datagrams there are in all.
fn total() -> usize {
    std::env::var("REFLECTION_DATAGRAMS").map_or(DATAGRAMS, |text| text.parse().unwrap())
}

#[test]
fn no_victim_gets_more_than_was_sent_in_its_name() {
    let test = "no_victim_gets_more_than_was_sent_in_its_name";
    attack(test, Config::default(), &rows::all(), total(), |table| {
        table.check_pings();
        assert!(table.received("STUN") > 0, "no STUN was answered");
    });
}

#[test]
fn no_victim_of_a_strict_server_gets_more_by_stun() {
    let config = Config { stun: Stun::Strict, ..Config::default() };
    let (rows, test) = (rows::stun(true), "no_victim_of_a_strict_server_gets_more_by_stun");
    attack(test, config, &rows, total() / 2, |table| {
        assert_eq!(table.received("STUN Binding, shortest"), 0);
        assert!(table.received("STUN") > 0, "no STUN was answered");
    });
}

#[test]
fn no_victim_gets_stun_where_it_is_off() {
    let config = Config { stun: Stun::Off, ..Config::default() };
    attack("no_victim_gets_stun_where_it_is_off", config, &rows::stun(true), total() / 100, |table| {
        assert_eq!(table.received("STUN"), 0);
    });
}
