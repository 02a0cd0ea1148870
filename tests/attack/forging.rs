//! Attacks under a session that is not the sender's, on an offer that is not his.

use roundtable_signalling::proto::wire::{Kind, OfferId, Session};

use crate::attacker::{Attacker, Tally, assail};
use crate::frames::forged;
use crate::random::Random;
use crate::report::Report;
use crate::rig::{Stage, Target, crew, unhurried};

/// Every kind that carries a session, but REGISTER.
pub(crate) const KINDS: [Kind; 7] =
    [Kind::Keepalive, Kind::Unregister, Kind::Offer, Kind::Answer, Kind::Candidate, Kind::Ack, Kind::Punch];
/// Bytes of a session that are its slot in the server's table.
const SLOT: usize = 4;

pub(crate) async fn run(random: &mut Random, rows: &mut Report) {
    for (name, plan, plain) in [
        ("forged session, every kind", 10_000, false),
        ("forged session, every kind, plain identifiers", 6_000, true),
    ] {
        let stage = stage(plain, random).await;
        rows.push(stage.endure(name, plan, random, made_up_sessions).await);
    }
    for (name, kind) in [
        ("forged OFFER under the victim's offer id", Kind::Offer),
        ("forged ANSWER", Kind::Answer),
        ("forged ACK", Kind::Ack),
        ("forged CANDIDATE", Kind::Candidate),
        ("forged PUNCH", Kind::Punch),
        ("forged UNREGISTER", Kind::Unregister),
    ] {
        let stage = stage(false, random).await;
        let attack =
            async |plan: u64, target: &Target, random: &mut Random| of_kind(kind, plan, target, random).await;
        rows.push(stage.endure(name, 4_000, random, attack).await);
    }
}

async fn stage(plain: bool, random: &mut Random) -> Stage {
    if plain { Stage::plain(&unhurried(), random).await } else { Stage::keyed(&unhurried(), random).await }
}

/// A session near the victim's, or anywhere.
pub(crate) fn made_up(of: Session, random: &mut Random) -> Session {
    let mut near = of.0;
    match random.below(5) {
        0 => near = random.bytes(),
        // One more, one less, as a number: the random part, or the slot.
        1 => near = u128::from_be_bytes(near).wrapping_add(1).to_be_bytes(),
        2 => near[SLOT - 1] = near[SLOT - 1].wrapping_sub(1),
        // The slot is right, one bit or all of the random part is not.
        3 => near = random.flip(near, SLOT),
        _ => near[SLOT..].copy_from_slice(&random.bytes::<12>()),
    }
    Session(near)
}

async fn made_up_sessions(plan: u64, target: &Target, random: &mut Random) -> Tally {
    let mut crew = crew(target, random).await;
    assail(&mut crew, plan, random, &target.progress, |_, random| {
        let [from, to] = roles(target, random);
        forged(*random.pick(&KINDS), made_up(from.session, random), target.offer, to.id, random)
    })
    .await
    .challenged()
}

/// Every session that the sender does not have at his address, and, about the victims' offer, the one that he has.
async fn of_kind(kind: Kind, plan: u64, target: &Target, random: &mut Random) -> Tally {
    let mut registered = Vec::new();
    for attacker in crew(target, random).await {
        registered.push(attacker.enlisted().await);
    }
    assail(&mut registered, plan, random, &target.progress, |by, random| {
        let [from, to] = roles(target, random);
        let session = any_session(kind, by, from.session, random);
        forged(kind, session, offer(kind, session == by.session, target.offer, random), to.id, random)
    })
    .await
}

fn any_session(kind: Kind, by: &Attacker, victims: Session, random: &mut Random) -> Session {
    match random.below(3) {
        0 => made_up(victims, random),
        // Read on the way; right, but not here.
        1 => victims,
        // To end the own session is no attack.
        _ if kind == Kind::Unregister => made_up(by.session, random),
        _ => by.session,
    }
}

/// The victims' offer, or one that is not open. To offer under a free id is no attack but a call.
fn offer(kind: Kind, own_session: bool, open: OfferId, random: &mut Random) -> OfferId {
    let must_be_open = kind == Kind::Offer && own_session;
    if must_be_open || random.below(4) > 0 { open } else { OfferId::from_random(random.bytes()) }
}

/// Alice and Bob, or Bob and Alice.
fn roles<'a>(target: &'a Target, random: &mut Random) -> [&'a crate::rig::Known; 2] {
    let Target { alice, bob, .. } = target;
    if random.below(2) == 0 { [alice, bob] } else { [bob, alice] }
}
