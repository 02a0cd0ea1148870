//! Holds SPEC.md and the code equal: kinds, layouts, error codes, constants.

use std::collections::BTreeSet;

use roundtable_proto::peer_address::{PEER_ADDRESS_MAX, SERVER_PORT, SERVERS_MAX};
use roundtable_proto::seal::{OFFER_WINDOW, OFFERS_PER_SENDER, OFFERS_REMEMBERED};
use roundtable_proto::wire::{self, Direction, ErrorCode, Kind, layout};
use roundtable_proto::{client, proxy, server};

const SPEC: &str = include_str!("../SPEC.md");

/// Returns the rows of the first table after `heading`, each as its trimmed cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let start = SPEC.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("SPEC.md has no {heading}"));
    let lines = SPEC[start..].lines().skip(2);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in lines {
        if let Some(cells) = line.strip_prefix('|') {
            rows.push(cells.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect());
        } else if !rows.is_empty() || line.starts_with('#') {
            break;
        }
    }
    assert!(rows.len() > 2, "no table under {heading}");
    rows.split_off(2)
}

#[test]
fn table_of_kinds_is_the_code() {
    let rows = table("### Kinds");
    assert_eq!(rows.len(), Kind::ALL.len());
    for (row, kind) in rows.iter().zip(Kind::ALL) {
        assert_eq!(row[0], format!("0x{:02X}", kind.number()));
        assert_eq!(row[1], kind.name());
        let direction = match kind.direction() {
            Direction::In => "in",
            Direction::Out => "out",
            Direction::Peer => "peer",
        };
        assert_eq!(row[2], direction, "{}", kind.name());
        let blob = if kind.has_blob() { " + blob" } else { "" };
        assert_eq!(row[3], format!("{}{blob}", kind.size()), "{}", kind.name());
    }
}

#[test]
fn every_claim_about_attackers_names_tests_that_are_there() {
    for row in table("### Shown by") {
        let [claim, file, names] = &row[..] else { panic!("{row:?}") };
        let path = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{claim}: {path}: {error}"));
        let names: Vec<_> = names.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{claim} has no test");
        for name in names {
            let stands = text.contains(&format!("fn {name}(")) || text.contains(&format!("\"{name}"));
            assert!(stands, "{claim}: {file} has no {name}");
        }
    }
}

#[test]
fn byte_tables_are_the_code() {
    for kind in Kind::ALL {
        let heading = SPEC
            .lines()
            .find(|line| {
                line.strip_prefix("### ")
                    .is_some_and(|names| names.split(", ").any(|name| name == kind.name()))
            })
            .unwrap_or_else(|| panic!("SPEC.md has no table for {}", kind.name()));
        let rows = table(heading);
        let fields = layout(*kind);
        assert_eq!(rows.len(), fields.len(), "{}", kind.name());
        for (row, field) in rows.iter().zip(fields) {
            let size = if field.name == "blob" { "rest".to_owned() } else { field.size.to_string() };
            let expected = [field.offset.to_string(), size, field.name.to_owned()];
            assert_eq!(row[..3], expected, "{}", kind.name());
        }
    }
}

#[test]
fn error_codes_are_the_code() {
    let rows = table("## 9 Errors");
    assert_eq!(rows.len(), ErrorCode::ALL.len());
    for (row, code) in rows.iter().zip(ErrorCode::ALL) {
        assert_eq!(row[..2], [code.number().to_string(), code.name().to_owned()]);
        assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
    }
}

#[test]
fn constants_are_the_code() {
    let bytes = |bytes: usize| bytes as u128;
    let millis = |duration: std::time::Duration| duration.as_millis();
    let expected = [
        ("DATAGRAM_MAX", bytes(wire::DATAGRAM_MAX)),
        ("FRAGMENT", bytes(wire::FRAGMENT)),
        ("FRAGMENTS_MAX", bytes(wire::FRAGMENTS_MAX)),
        ("BLOB_MAX", bytes(wire::BLOB_MAX)),
        ("PEER_TTL", millis(server::PEER_TTL)),
        ("COOKIE_LIFETIME", millis(server::COOKIE_LIFETIME)),
        ("KEEPALIVE_INTERVAL", millis(client::KEEPALIVE_INTERVAL)),
        ("RTO_INITIAL", millis(client::RTO_INITIAL)),
        ("RTO_MIN", millis(client::RTO_MIN)),
        ("RTO_MAX", millis(client::RTO_MAX)),
        ("REGISTER_RTO_MAX", millis(client::REGISTER_RTO_MAX)),
        ("REGISTERS_EAGER", client::REGISTERS_EAGER.into()),
        ("KEEPALIVES_MAX", client::KEEPALIVES_MAX.into()),
        ("SILENT_TIMEOUTS", client::SILENT_TIMEOUTS.into()),
        ("SILENT_TIMEOUTS_OF_FEW", client::SILENT_TIMEOUTS_OF_FEW.into()),
        ("FEW_PIECES", bytes(client::FEW_PIECES)),
        ("ACK_DELAY", millis(client::ACK_DELAY)),
        ("ACK_EVERY", u128::from(client::ACK_EVERY)),
        ("NUDGE", millis(client::NUDGE)),
        ("WINDOW_INITIAL", bytes(client::WINDOW_INITIAL)),
        ("WINDOW_MIN", bytes(client::WINDOW_MIN)),
        ("REORDER_THRESHOLD", bytes(client::REORDER_THRESHOLD)),
        ("OFFER_REPEAT", millis(client::OFFER_REPEAT)),
        ("OFFER_LINGER", millis(client::OFFER_LINGER)),
        ("OFFER_MARGIN", millis(client::OFFER_MARGIN)),
        ("CALLS_MAX", bytes(client::CALLS_MAX)),
        ("REASSEMBLIES_MAX", bytes(client::REASSEMBLIES_MAX)),
        ("REASSEMBLIES_PER_PEER", bytes(client::REASSEMBLIES_PER_PEER)),
        ("FINISHED_MAX", bytes(client::FINISHED_MAX)),
        ("PROBE_INTERVAL", millis(client::PROBE_INTERVAL)),
        ("PROBE_TIME", millis(client::PROBE_TIME)),
        ("PROBE_TIME_MIN", millis(client::PROBE_TIME_MIN)),
        ("PUNCH_INTERVAL", millis(client::PUNCH_INTERVAL)),
        ("OPENING_TIME", millis(client::OPENING_TIME)),
        ("OPENING_MARGIN", millis(client::OPENING_MARGIN)),
        ("OPENING_HOPS", client::OPENING_HOPS.into()),
        ("OPENING_HOPS_NEAR", client::OPENING_HOPS_NEAR.into()),
        ("OPENING_HOPS_FAR", client::OPENING_HOPS_FAR.into()),
        ("FRESH_PORT_TIME", millis(client::FRESH_PORT_TIME)),
        ("CONSENT_INTERVAL", millis(client::CONSENT_INTERVAL)),
        ("CONSENT_TIME", millis(client::CONSENT_TIME)),
        ("HOSTS_MAX", client::HOSTS_MAX as u128),
        ("CHECKS_MAX", client::CHECKS_MAX as u128),
        ("CHECK_APART", millis(client::CHECK_APART)),
        ("HOST_INTERVAL", millis(client::HOST_INTERVAL)),
        ("HOST_PROBES", client::HOST_PROBES.into()),
        ("NOMINATE_WAIT", millis(client::NOMINATE_WAIT)),
        ("TICKET_LIFETIME", millis(server::TICKET_LIFETIME)),
        ("RESTART_GRACE", millis(server::RESTART_GRACE)),
        ("RESTART_RETRY", millis(server::RESTART_RETRY)),
        ("PROVED_FOR", millis(server::PROVED_FOR)),
        ("OFFER_WINDOW", u128::from(OFFER_WINDOW)),
        ("OFFERS_REMEMBERED", bytes(OFFERS_REMEMBERED)),
        ("OFFERS_PER_SENDER", bytes(OFFERS_PER_SENDER)),
        ("PEER_ADDRESS_MAX", bytes(PEER_ADDRESS_MAX)),
        ("SERVERS_MAX", bytes(SERVERS_MAX)),
        ("SERVER_PORT", u128::from(SERVER_PORT)),
        ("FLOW_TTL", millis(proxy::FLOW_TTL)),
        ("WAYS_SPARE", u128::from(proxy::WAYS_SPARE)),
    ];
    let rows = table("## 10 Constants");
    assert_eq!(rows.len(), expected.len(), "a constant is not compared");
    for (name, value) in expected {
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("SPEC.md has no {name}"));
        assert_eq!(row[1], value.to_string(), "{name}");
    }
}

#[test]
fn an_answer_is_never_longer_than_its_question() {
    let pays = |question: Kind, answers: &[Kind]| {
        for answer in answers {
            assert!(question.size() >= answer.size(), "{} < {}", question.name(), answer.name());
        }
    };
    pays(Kind::Ping, &[Kind::Pong, Kind::Error]);
    pays(Kind::Register, &[Kind::Registered, Kind::Challenge, Kind::Error]);
    pays(Kind::Keepalive, &[Kind::KeepaliveReply, Kind::Challenge, Kind::Error]);
    pays(Kind::Unregister, &[Kind::Unregistered, Kind::Challenge, Kind::Error]);
    pays(Kind::Ack, &[Kind::RelayedAck, Kind::Challenge, Kind::Error]);
    pays(Kind::Probe, &[Kind::ProbeReply]);
    for (sent, relayed) in [
        (Kind::Offer, Kind::RelayedOffer),
        (Kind::Answer, Kind::RelayedAnswer),
        (Kind::Candidate, Kind::RelayedCandidate),
    ] {
        pays(sent, &[Kind::Challenge, Kind::Error]);
        assert!(sent.size() >= relayed.size() + Kind::Error.size());
        assert!(sent.size() + wire::FRAGMENT <= wire::DATAGRAM_MAX);
    }
    assert!(Kind::Punch.size() >= 2 * Kind::PunchNow.size());
}

#[test]
fn errors_of_sealed_blobs_and_peer_addresses_are_those_of_the_vectors() {
    let vectors = [
        ("### Opening", include_str!("../vectors/seal.json")),
        ("|\n\nThere is one text for each value", include_str!("../vectors/peer-address.json")),
    ];
    for (before, file) in vectors {
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let entries = file["must_fail"].as_array().unwrap();
        let expected: BTreeSet<&str> = entries.iter().filter_map(|entry| entry["error"].as_str()).collect();
        let section = &SPEC[SPEC.find(before).unwrap()..];
        let rows = section.split("| name | when |\n|---|---|\n").nth(1).unwrap();
        let names = rows.lines().map_while(|row| row.strip_prefix("| ")?.split(" | ").next());
        // This one hangs on the receiver's limits.
        let names: BTreeSet<&str> = names.filter(|name| *name != "replay_memory_full").collect();
        assert_eq!(names, expected);
    }
}
