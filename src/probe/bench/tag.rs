//! What the load writes into a datagram so that the answer says what it answers: no table of what is under way.

use roundtable_proto::stun::MAGIC_COOKIE;

/// Marks the load's own tags, and keeps them from being zero.
const MARK: u8 = 0xB5;

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Register = 1,
    Keepalive = 2,
    Offer = 3,
    Call = 4,
    Ping = 5,
    /// A PING behind datagrams that are not answered.
    Batch = 6,
    Stale = 7,
    Stun = 8,
}

impl Task {
    const ALL: [Self; 8] = [
        Self::Register,
        Self::Keepalive,
        Self::Offer,
        Self::Call,
        Self::Ping,
        Self::Batch,
        Self::Stale,
        Self::Stun,
    ];
}

/// Sixteen bytes that come back: as a transaction, an offer id, or the start of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// An answer of an earlier round is late and does not count.
    pub(super) round: u16,
    pub(super) task: Task,
    pub(super) peer: u32,
    /// When it was, or was to be, sent.
    pub(super) nanos: u64,
}

impl Tag {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&self.round.to_be_bytes());
        bytes[2] = self.task as u8;
        bytes[3] = MARK;
        bytes[4..8].copy_from_slice(&self.peer.to_be_bytes());
        bytes[8..].copy_from_slice(&self.nanos.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let [r0, r1, task, MARK, p0, p1, p2, p3, nanos @ ..] = bytes else { return None };
        Some(Self {
            round: u16::from_be_bytes([r0, r1]),
            task: Task::ALL.into_iter().find(|known| *known as u8 == task)?,
            peer: u32::from_be_bytes([p0, p1, p2, p3]),
            nanos: u64::from_be_bytes(nanos),
        })
    }

    /// The shortest STUN Binding request, whose transaction holds all of the tag but its peer.
    pub(super) fn to_binding(self) -> [u8; 20] {
        let ([r0, r1, task, mark, ..], mut request) = (self.to_bytes(), [0; 20]);
        request[1] = 1;
        request[4..8].copy_from_slice(&MAGIC_COOKIE);
        request[8..12].copy_from_slice(&[r0, r1, task, mark]);
        request[12..].copy_from_slice(&self.nanos.to_be_bytes());
        request
    }

    fn of_binding(transaction: &[u8]) -> Option<Self> {
        let (head, nanos) = transaction.split_first_chunk::<4>()?;
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(head);
        bytes[8..].copy_from_slice(nanos.get(..8)?);
        Self::from_bytes(bytes)
    }

    /// Finds the tag and the kind byte of a datagram: an answer, or what an echo gives back. STUN has no kind.
    pub(super) fn read(datagram: &[u8]) -> Option<(u8, Self)> {
        if datagram.get(4..8) == Some(&MAGIC_COOKIE) {
            return Some((0, Self::of_binding(datagram.get(8..20)?)?));
        }
        let kind = *datagram.get(3)?;
        let offset = match kind {
            0x01 | 0x81 | 0x83 | 0x8F => 4,
            0x06 => 128,
            0x86 | 0x87 => 100,
            _ => 20,
        };
        let bytes = datagram.get(offset..offset + 16)?.try_into().ok()?;
        Some((kind, Self::from_bytes(bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roundtable_proto::wire::{Frame, Ping, TransactionId, Zeros};

    #[test]
    fn a_tag_comes_back_as_it_was_sent() {
        for task in Task::ALL {
            let tag = Tag { round: 3, task, peer: 0x0102_0304, nanos: u64::MAX - 7 };
            let ping = Frame::Ping(Ping { transaction: TransactionId(tag.to_bytes()), zero: Zeros::ZERO });
            assert_eq!(Tag::read(&ping.to_vec()), Some((1, tag)));
        }
        let tag = Tag { round: 3, task: Task::Stun, peer: 0, nanos: u64::MAX - 7 };
        assert_eq!(Tag::read(&tag.to_binding()), Some((0, tag)));
        assert_eq!(Tag::read(&[0; 64]), None);
        assert_eq!(Tag::read(b"RT"), None);
    }
}
