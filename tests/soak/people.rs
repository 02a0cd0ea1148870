//! Who uses the server: residents, who stay and call each other, and visitors, who come and go.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use roundtable_signalling::client::{Client, ClientError, Incoming, Options, Registration};
use roundtable_signalling::proto::client::OfferError;
use roundtable_signalling::proto::identity::{Identity, SecretKey};
use roundtable_signalling::proto::wire::PeerId;
use tokio::time::Instant;

use crate::link::Link;
use crate::{RESIDENTS, Shared};

/// Mean times: between two calls of a resident, until the callee picks up, between two new mappings of a resident, of a
/// visitor's stay and of his absence.
const BETWEEN_CALLS: Duration = Duration::from_secs(15);
const RINGING: Duration = Duration::from_secs(2);
const BETWEEN_MAPPINGS: Duration = Duration::from_secs(300);
const STAY: Duration = Duration::from_secs(20);
const ABSENCE: Duration = Duration::from_secs(5);
/// No call begins so shortly before the end that it cannot be answered.
const LAST_CALL: Duration = Duration::from_secs(12);
/// Bytes of the largest session description, as the largest real ones have.
const LARGEST: usize = 58_000;

/// One who stays.
pub(crate) struct Resident {
    number: usize,
    client: Client,
    incoming: Option<Incoming>,
    link: Rc<Link>,
    /// How often the server refused or ended the registration.
    lost: Arc<AtomicU64>,
}

/// The identity with this number; every fourth has a key.
fn identity(number: usize) -> Identity {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
    if number.is_multiple_of(4) {
        SecretKey::from_seed(&bytes).unwrap().into()
    } else {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[..16]);
        PeerId::plain(uuid).unwrap().into()
    }
}

async fn join(shared: &Rc<Shared>, number: usize) -> (Client, Incoming, Link) {
    let link = Link::start(shared).await;
    let options = Options { known_as: Some(shared.server), ..Options::new(link.address, identity(number)) };
    let (client, incoming) = Client::start(options).await.unwrap();
    client.registered().await.unwrap();
    (client, incoming, link)
}

/// Registers all who stay.
pub(crate) async fn settle(shared: &Rc<Shared>, count: usize) -> Vec<Resident> {
    let mut residents = Vec::new();
    for number in 0..count {
        let (client, incoming, link) = join(shared, number).await;
        let lost = Arc::new(AtomicU64::new(0));
        let resident = Resident { number, client, incoming: Some(incoming), link: link.into(), lost };
        tokio::task::spawn_local(watch(resident.client.clone(), Arc::clone(&resident.lost)));
        residents.push(resident);
    }
    residents
}

/// Counts how often a registration is refused or ends. Three keepalives that are lost in a row make a client ask anew,
/// which at this loss is to be expected in an hour; the server has not forgotten it then.
async fn watch(mut client: Client, lost: Arc<AtomicU64>) {
    while let Ok(registration) = client.registration_changed().await {
        match registration {
            Registration::Registered { .. } | Registration::Asking | Registration::ServerSilent => {}
            Registration::Refused { .. } | Registration::Unregistered => {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Resident {
    /// Lives until the end: calls others, answers whoever calls, gets a new mapping now and then.
    pub(crate) fn live(&mut self, shared: Rc<Shared>) -> impl Future<Output = ()> + 'static {
        let (number, client, link) = (self.number, self.client.clone(), Rc::clone(&self.link));
        if let Some(incoming) = self.incoming.take() {
            tokio::task::spawn_local(pick_up(Rc::clone(&shared), incoming));
        }
        async move {
            let mut remap = Instant::now() + shared.about(BETWEEN_MAPPINGS);
            loop {
                tokio::time::sleep(shared.about(BETWEEN_CALLS)).await;
                if shared.left() < LAST_CALL {
                    return;
                }
                if Instant::now() >= remap {
                    remap = Instant::now() + shared.about(BETWEEN_MAPPINGS);
                    link.remap().await;
                    shared.report.borrow_mut().count_move();
                }
                let other = shared.random.borrow_mut().below(RESIDENTS);
                if other != number {
                    call(&shared, &client, number, other).await;
                }
            }
        }
    }

    /// Whoever stays was never refused, and is registered.
    pub(crate) fn check(&self) {
        assert_eq!(self.lost.load(Ordering::Relaxed), 0, "resident {} was lost", self.number);
        assert!(matches!(self.client.registration(), Registration::Registered { .. }));
    }
}

/// Answers every call, a little later, with what was offered.
async fn pick_up(shared: Rc<Shared>, mut incoming: Incoming) {
    while let Some(mut ringing) = incoming.accept().await {
        let shared = Rc::clone(&shared);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(shared.about(RINGING)).await;
            let offer = ringing.offer.clone();
            // The caller may have yielded, or be a visitor who has left; what becomes of his call is the caller's to judge.
            let _judged_there = ringing.answer(offer).await;
        });
    }
}

async fn call(shared: &Rc<Shared>, client: &Client, number: usize, other: usize) {
    let offer = {
        let mut random = shared.random.borrow_mut();
        // Most descriptions are small.
        let largest = *random.pick(&[4000, 4000, 4000, 4000, 4000, 4000, 4000, 16_000, LARGEST]);
        let mut offer = vec![0; 500 + random.below(largest - 500)];
        random.fill(&mut offer);
        Bytes::from(offer)
    };
    let started = Instant::now();
    let target = identity(other).identifier();
    let answered = match client.call(target, offer.clone()).await {
        Ok(mut call) => call.answered().await,
        Err(error) => Err(error),
    };
    let mut report = shared.report.borrow_mut();
    match answered {
        Ok(answer) if answer.blob == offer => report.count_call(started.elapsed()),
        Ok(_) => report.fail(format!("the answer of {other} to {number} is damaged")),
        // Both called each other; his call has come in already, or goes on in place of this one.
        Err(ClientError::Yielded | ClientError::Offer(OfferError::TargetIsCalling(_))) => {
            report.count_glare()
        }
        Err(error) => {
            report.fail(format!("{number} calls {other} with {} bytes: {error}", offer.len()));
        }
    }
}

/// Comes and goes, mostly with a call; one in three leaves without a word.
pub(crate) async fn visit(shared: Rc<Shared>, number: usize) {
    loop {
        tokio::time::sleep(shared.about(ABSENCE)).await;
        if shared.left() < LAST_CALL {
            return;
        }
        // Somebody new each time.
        let name = RESIDENTS + number + (shared.random.borrow_mut().next() >> 8) as usize;
        let (client, _incoming, link) = join(&shared, name).await;
        shared.report.borrow_mut().count_visit();
        if shared.chance(70) {
            let other = shared.random.borrow_mut().below(RESIDENTS);
            call(&shared, &client, name, other).await;
        }
        let stay = shared.about(STAY).min(shared.left());
        tokio::time::sleep(stay).await;
        if shared.chance(33) {
            link.cut();
            shared.report.borrow_mut().count_vanished();
        } else {
            client.unregister().await.unwrap();
        }
    }
}
