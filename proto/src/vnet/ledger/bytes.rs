//! Bytes are conserved: for each datagram, for each address and in all. SPEC 11

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::{Breach, Handled, Sent};
use crate::server::Outcome;
use crate::wire::{ErrorCode, Frame, Kind};

#[derive(Default)]
pub(super) struct Bytes {
    received: u64,
    sent: u64,
    /// For each address, what came from it and what it was sent because of that.
    accounts: BTreeMap<SocketAddr, Account>,
    /// Notices that an OFFER has paid for: to whom, and for which offer.
    paid: BTreeSet<(SocketAddr, [u8; 16])>,
    /// What came in, and went out, as STUN: on no account, since its answers may be longer. SPEC 17
    stun: Account,
}

/// The most by which a STUN answer exceeds its request: 32 bytes to 20, over IPv6 44 to 20. SPEC 11
const STUN_FACTOR: (u64, u64) = (8, 5);
const STUN_FACTOR_V6: (u64, u64) = (11, 5);

#[derive(Clone, Copy, Default)]
struct Account {
    received: u64,
    sent: u64,
}

impl Bytes {
    pub(super) const fn in_all(&self) -> (u64, u64) {
        (self.received + self.stun.received, self.sent + self.stun.sent)
    }

    pub(super) fn handled(&mut self, handled: &Handled<'_>) -> Result<(), Breach> {
        let address = handled.from;
        let received = handled.contents.len() as u64;
        let caused = length(handled.sent.iter());
        if caused > received {
            return Err(Breach::Amplified { address, received, caused });
        }
        self.received += received;
        let back = length(handled.sent.iter().filter(|sent| sent.to == address));
        let account = self.accounts.entry(address).or_default();
        account.received += received;
        account.sent += back;
        self.book(caused)
    }

    /// Enters a STUN request and its one answer, the only exception: bounded by a factor, and never more than came in
    /// where the server is strict.
    pub(super) fn reflected(&mut self, handled: &Handled<'_>, is_strict: bool) -> Result<(), Breach> {
        let address = handled.from;
        let received = handled.contents.len() as u64;
        let caused = length(handled.sent.iter());
        let (most, of) = match address.ip().to_canonical() {
            _ if is_strict => (1, 1),
            IpAddr::V4(_) => STUN_FACTOR,
            IpAddr::V6(_) => STUN_FACTOR_V6,
        };
        if caused * of > received * most {
            return Err(Breach::Amplified { address, received, caused });
        }
        self.stun.received += received;
        self.stun.sent += caused;
        Ok(())
    }

    /// Notes that an OFFER that was relayed has paid for one notice.
    pub(super) fn prepaid(&mut self, handled: &Handled<'_>, frame: Option<&Frame<'_>>) {
        if let (Outcome::Relayed(Kind::Offer), Some(Frame::Offer(fragment))) = (handled.outcome, frame) {
            self.paid.insert((handled.from, *fragment.head().offer.as_bytes()));
        }
    }

    pub(super) fn noticed(&mut self, sent: &Sent, frame: &Frame<'_>) -> Result<(), Breach> {
        let address = sent.to;
        let unpaid = Err(Breach::UnpaidNotice { address });
        let Frame::Error(notice) = frame else { return unpaid };
        if notice.code != ErrorCode::Timeout.number() || !self.paid.remove(&(address, notice.reference.0)) {
            return unpaid;
        }
        let account = self.accounts.entry(address).or_default();
        account.sent += sent.contents.len() as u64;
        if account.sent > account.received {
            return Err(Breach::AmplifiedInTime { address, received: account.received, sent: account.sent });
        }
        self.book(sent.contents.len() as u64)
    }

    fn book(&mut self, bytes: u64) -> Result<(), Breach> {
        self.sent += bytes;
        if self.sent > self.received {
            return Err(Breach::AmplifiedInAll { received: self.received, sent: self.sent });
        }
        Ok(())
    }
}

fn length<'a>(sent: impl Iterator<Item = &'a Sent>) -> u64 {
    sent.map(|sent| sent.contents.len() as u64).sum()
}
