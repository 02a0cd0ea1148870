//! Attacks on who holds an identifier: cookies, replays, signatures, tickets, downgrades.

use std::net::Ipv4Addr;
use std::sync::Arc;

use roundtable_signalling::config::Config;
use roundtable_signalling::proto::wire::{Cookie, PeerId, Session, Signature, Ticket};

use crate::attacker::{Attacker, Tally, assail};
use crate::frames::Claim;
use crate::random::Random;
use crate::report::{Report, Row};
use crate::rig::{OTHER_STRANGER, STRANGER, Stage, Target, cookie_of, crew, serve, unhurried};

pub(crate) async fn run(random: &mut Random, rows: &mut Report) {
    let config = unhurried();
    rows.push(
        keyed(&config, "cookie of another address, port or server", 12_000, random, foreign_cookies).await,
    );
    rows.push(keyed(&config, "cookie made up, or a bit off", 10_000, random, made_up_cookies).await);
    rows.push(keyed(&config, "REGISTER replayed from elsewhere", 10_000, random, replays).await);
    rows.push(after_roaming(random).await);
    rows.push(keyed(&config, "neighbour's good cookie, bad signature", 10_000, random, bad_signatures).await);
    rows.push(keyed(&config, "REGISTER for another server passed on", 4_000, random, passed_on).await);
    rows.push(keyed(&config, "forged or foreign ticket", 6_000, random, forged_tickets).await);
    rows.push(keyed(&config, "downgrade from keyed to plain", 8_000, random, downgrades).await);
    let keyed_only = Config { plainids: false, ..unhurried() };
    rows.push(keyed(&keyed_only, "downgrade where plain is refused", 2_000, random, downgrades).await);
    let stage = Stage::plain(&config, random).await;
    rows.push(stage.endure("plain identifier held by another", 6_000, random, held_plain).await);
}

async fn keyed(
    config: &Config,
    name: &'static str,
    plan: u64,
    random: &mut Random,
    attack: impl AsyncFnOnce(u64, &Target, &mut Random) -> Tally,
) -> Row {
    let stage = Stage::keyed(config, random).await;
    stage.endure(name, plan, random, attack).await
}

/// What the victim signed, once, and what an attacker could make instead.
fn any_signature(claim: Claim, target: &Target, by: &Attacker, random: &mut Random) -> Claim {
    let captured = target.alice.claim.signature;
    match random.below(5) {
        0 => claim,
        1 => Claim { signature: captured, ..claim },
        2 => Claim { signature: Signature(random.bytes()), ..claim },
        3 => Claim { signature: Signature(random.flip(captured.0, 0)), ..claim },
        _ => claim.signed(&by.key, by.address),
    }
}

fn any_session(claim: Claim, target: &Target, random: &mut Random) -> Claim {
    let session = *random.pick(&[Session::NONE, target.alice.session, target.bob.session]);
    Claim { session, ..claim }
}

async fn foreign_cookies(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let (elsewhere, _) = serve(&unhurried());
    let mut cookies = vec![target.alice.claim.cookie];
    for (server, ip) in [
        (target.server, target.alice.address.ip()),
        (target.server, STRANGER.into()),
        (target.server, Ipv4Addr::new(127, 4, 0, 1).into()),
        (elsewhere, target.alice.address.ip()),
        (elsewhere, STRANGER.into()),
    ] {
        cookies.push(cookie_of(server, ip).await);
    }
    let mut crew = crew(target, random).await;
    for attacker in &crew {
        // Each other's, and what the other server gives this very address.
        cookies.push(attacker.cookie);
    }
    assail(&mut crew, plan, random, &target.progress, |by, random| {
        let others: Vec<_> = cookies.iter().copied().filter(|cookie| *cookie != by.cookie).collect();
        let claim = Claim::of(target.alice.id, *random.pick(&others), target.server);
        any_signature(any_session(claim, target, random), target, by, random).attempt(random)
    })
    .await
    .challenged()
}

async fn made_up_cookies(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let mut crew = crew(target, random).await;
    assail(&mut crew, plan, random, &target.progress, |by, random| {
        let cookie = match random.below(3) {
            0 => Cookie(random.bytes()),
            1 => Cookie(random.flip(by.cookie.0, 0)),
            _ => Cookie(random.flip(target.alice.claim.cookie.0, 0)),
        };
        any_signature(Claim::of(target.alice.id, cookie, target.server), target, by, random).attempt(random)
    })
    .await
    .challenged()
}

async fn replays(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let mut crew = crew(target, random).await;
    assail(&mut crew, plan, random, &target.progress, |_, random| {
        random.pick(&[&target.alice.register, &target.bob.register]).to_vec()
    })
    .await
    .challenged()
}

/// The strongest place to replay from: the address that the victim has left, while the cookie lives.
async fn after_roaming(random: &mut Random) -> Row {
    let mut stage = Stage::keyed(&unhurried(), random).await;
    let left = Arc::clone(&stage.alice.socket);
    stage.roam().await;
    let attack = async |plan: u64, target: &Target, random: &mut Random| {
        let mut crew = crew(target, random).await;
        crew.push(Attacker::on(left, target.server, random).await);
        assail(&mut crew, plan, random, &target.progress, |_, random| {
            // The session is not signed: it can be put into an old REGISTER.
            match random.below(2) {
                0 => target.alice.register.clone(),
                _ => any_session(target.alice.claim, target, random).attempt(random),
            }
        })
        .await
        .challenged()
    };
    stage.endure("REGISTER replayed after the victim roamed", 10_000, random, attack).await
}

async fn bad_signatures(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let mut crew = crew(target, random).await;
    crew.truncate(1);
    assail(&mut crew, plan, random, &target.progress, |by, random| {
        let claim =
            Claim { ticket: target.alice.ticket, ..Claim::of(target.alice.id, by.cookie, target.server) };
        any_signature(any_session(claim, target, random), target, by, random).attempt(random)
    })
    .await
}

/// The attacker runs a server that the victim's client uses. He gives it the true server's cookie for his own address, and
/// calls that the client's: what the client then signs is true, but for the server.
async fn passed_on(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let key = target.alice.key.as_ref().expect("a keyed victim");
    let mut crew = crew(target, random).await;
    assail(&mut crew, plan, random, &target.progress, |by, random| {
        let signed = Claim::of(target.alice.id, by.cookie, by.address).signed(key, by.address);
        // As it is, or with the true server's name put in afterwards.
        let server = *random.pick(&[signed.server, target.server.into()]);
        any_session(Claim { server, ..signed }, target, random).attempt(random)
    })
    .await
}

async fn forged_tickets(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let mut registered = Vec::new();
    for attacker in crew(target, random).await {
        registered.push(attacker.enlisted().await);
    }
    assail(&mut registered, plan, random, &target.progress, |by, random| {
        let ticket = match random.below(5) {
            0 => Ticket(random.bytes()),
            // The victim's, which was for another address, and the attacker's, which was for another identifier.
            1 => target.alice.ticket,
            2 => by.ticket,
            3 => Ticket(random.flip(target.alice.ticket.0, 0)),
            _ => Ticket(random.flip(by.ticket.0, 4)),
        };
        any_session(Claim { ticket, ..Claim::of(target.alice.id, by.cookie, target.server) }, target, random)
            .attempt(random)
    })
    .await
}

async fn downgrades(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let mut first_half = [0; 16];
    first_half.copy_from_slice(&target.alice.id.as_bytes()[..16]);
    let lookalike = PeerId::plain(first_half).unwrap();
    let mut crew = crew(target, random).await;
    assail(&mut crew, plan, random, &target.progress, |by, random| {
        let keyed = Claim::of(target.alice.id, by.cookie, target.server);
        let plain = Claim { identifier: lookalike, ..keyed };
        match random.below(5) {
            // The key, as if it needed no proof.
            0 => keyed.attempt(random),
            1 => Claim { session: target.alice.session, ..keyed }.attempt(random),
            // Another identifier, that anybody may have: with it all that is the victim's.
            2 => plain.own(random),
            3 => Claim { session: target.alice.session, ticket: target.alice.ticket, ..plain }.own(random),
            _ => Claim { signature: target.alice.claim.signature, ..plain }.own(random),
        }
    })
    .await
}

async fn held_plain(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let mut crew = crew(target, random).await;
    crew.push(Attacker::at(target.server, OTHER_STRANGER, random).await.enlisted_plain(random).await);
    assail(&mut crew, plan, random, &target.progress, |by, random| {
        let session = match random.below(4) {
            0 => Session::NONE,
            1 => Session(random.bytes()),
            2 => Session(random.flip(target.alice.session.0, 0)),
            _ => by.session,
        };
        let claim = Claim { session, ..Claim::of(target.alice.id, by.cookie, target.server) };
        any_signature(claim, target, by, random).attempt(random)
    })
    .await
}
