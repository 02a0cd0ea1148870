//! The host's date is another one when the server starts again: see `Clock` for why a running one does not care.

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_signalling::proto::identity::{Binding, Identity, SecretKey};
use roundtable_signalling::proto::server::{Config, LastingSecret, Path, Server};
use roundtable_signalling::proto::wire::{
    self, Address, Cookie, ErrorCode, Frame, Register, Session, Signature, Ticket, TransactionId,
};
use roundtable_signalling::proto::{Instant, Seed};

const DATE: u64 = 1_800_000_000;
const HOUR: u64 = 3_600;

fn client() -> SocketAddr {
    "192.0.2.7:4000".parse().unwrap()
}

fn server(unix_time: u64, seed: u64) -> Server {
    let secret = Some(LastingSecret { key: Seed::from_number(1), unix_time });
    Server::new(Instant::ORIGIN, Config { secret, ..Config::default() }, Seed::from_number(seed))
}

fn ask(server: &mut Server, register: Register) -> Vec<u8> {
    let now = Instant::ORIGIN + Duration::from_secs(1);
    server.handle_datagram(now, Path::from(client()), &Frame::Register(register).to_vec());
    server.poll_transmit().unwrap().contents.to_vec()
}

/// Registers with this ticket, signed or not; gives the new ticket or the refusal.
fn register(server: &mut Server, key: &SecretKey, ticket: Ticket, is_signed: bool) -> Result<Ticket, u16> {
    let none = Register {
        session: Session::NONE,
        transaction: TransactionId([1; 16]),
        identifier: Identity::from(SecretKey::clone(key)).identifier(),
        cookie: Cookie::NONE,
        ticket,
        server: Address::from("192.0.2.1:1066".parse::<SocketAddr>().unwrap()),
        signature: Signature::NONE,
    };
    let challenge = ask(server, none);
    let Ok(Frame::Challenge(challenge)) = wire::decode(&challenge) else { panic!("{challenge:?}") };
    let binding = Binding { cookie: challenge.cookie, observed: challenge.observed, server: none.server };
    let signature = if is_signed { key.sign_register(&binding) } else { Signature::NONE };
    match wire::decode(&ask(server, Register { cookie: challenge.cookie, signature, ..none })) {
        Ok(Frame::Registered(registered)) => Ok(registered.ticket),
        Ok(Frame::Error(refusal)) => Err(refusal.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ticket_of_another_date_is_worth_nothing_and_a_signature_is_as_good_as_ever() {
    let key = SecretKey::from_seed(&[5; 32]).unwrap();
    let ticket = register(&mut server(DATE, 1), &key, Ticket::NONE, true).unwrap();
    for (date, is_good) in [
        (DATE + HOUR / 2, true),
        (DATE + 2 * HOUR, false),
        (DATE - 2 * HOUR, false),
        // 1970 and the last second: a host without a clock.
        (0, false),
        (u64::MAX, false),
    ] {
        let mut again = server(date, 2);
        let refused = ErrorCode::BadSignature.number();
        assert_eq!(register(&mut again, &key, ticket, false).err(), (!is_good).then_some(refused), "{date}");
        assert!(register(&mut again, &key, ticket, true).is_ok(), "{date}");
    }
}
