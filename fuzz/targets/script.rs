//! An input read as a script: bytes become numbers, times and datagrams, as far as they reach.

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::identity::SecretKey;
use roundtable_proto::wire::{Kind, OfferId, PeerId};

pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next byte; none at the end.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A number below `bound`; zero at the end.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte().unwrap_or_default()) % bound
    }

    pub(crate) fn is_odd(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte().unwrap_or_default(), self.byte().unwrap_or_default()])
    }

    /// Milliseconds up to a minute, or microseconds.
    pub(crate) fn time(&mut self) -> Duration {
        if self.is_odd() {
            Duration::from_millis(self.short().into())
        } else {
            Duration::from_micros(self.short().into())
        }
    }

    /// Up to so many bytes of the input itself.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = usize::from(self.short()) % (most + 1);
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A datagram of that kind, zero but for what the caller fills in.
    pub(crate) fn blank(&mut self, kind: Kind) -> Vec<u8> {
        let mut datagram = vec![0; kind.size()];
        datagram[..4].copy_from_slice(&[b'R', b'T', 1, kind.number()]);
        if kind.has_blob() {
            datagram.resize(kind.size() + self.below(64), 7);
        }
        datagram
    }

    /// Changes up to seven bytes, and perhaps the length.
    pub(crate) fn patch(&mut self, datagram: &mut Vec<u8>) {
        let changes = self.byte().unwrap_or_default();
        for _ in 0..changes & 7 {
            let (at, value) = (usize::from(self.short()), self.byte().unwrap_or_default());
            if !datagram.is_empty() {
                let at = at % datagram.len();
                datagram[at] = value;
            }
        }
        if changes & 0x80 != 0 {
            let length = usize::from(self.short()) % 1300;
            datagram.resize(length, 0);
        }
    }
}

/// Addresses that take part: two ports of one, one of another, and IPv6.
pub(crate) const ADDRESSES: usize = 6;

pub(crate) fn address(number: usize) -> SocketAddr {
    let port = 4000 + (number / 2) as u16;
    if number.is_multiple_of(2) {
        SocketAddr::from(([198, 51, 100, 7], port))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port))
    }
}

/// Identifiers that take part; the last two have keys.
pub(crate) const IDENTIFIERS: usize = 6;

pub(crate) fn key(number: usize) -> Option<SecretKey> {
    (number >= IDENTIFIERS - 2).then(|| SecretKey::from_seed(&[number as u8; 32]).ok()).flatten()
}

pub(crate) fn identifier(number: usize) -> PeerId {
    let plain = PeerId::plain([number as u8 + 1; 16]);
    key(number).map(|key| key.identifier()).or(plain).expect("a number is an identifier")
}

/// Offers that take part.
pub(crate) const OFFERS: usize = 4;

pub(crate) fn offer(number: usize) -> OfferId {
    OfferId::from_random([number as u8 + 1; 16])
}
