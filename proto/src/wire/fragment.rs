//! How a blob is cut: which bytes fragment number `index` carries. SPEC 7

use std::ops::Range;

use super::{BLOB_MAX, BlobKind, DecodeError, FRAGMENT, FRAGMENTS_MAX, FragmentHead, RelayedHead};

/// A fragment on its way to the server: the bytes fit the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    head: FragmentHead,
    blob: &'a [u8],
}

/// A fragment on its way from the server: the bytes fit the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed<'a> {
    head: RelayedHead,
    blob: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Joins a head and the bytes that follow it.
    ///
    /// # Errors
    /// [`DecodeError`] if index or length are out of range, or there are not just the bytes that they demand.
    pub fn new(kind: BlobKind, head: FragmentHead, blob: &'a [u8]) -> Result<Self, DecodeError> {
        check(kind, head.length, head.index, blob.len(), kind.sent().size())?;
        Ok(Self { head, blob })
    }

    /// Returns the head.
    #[must_use]
    pub const fn head(&self) -> &FragmentHead {
        &self.head
    }

    /// Returns the fragment's own bytes of the blob.
    #[must_use]
    pub const fn blob(&self) -> &'a [u8] {
        self.blob
    }

    /// Turns it into what the target receives.
    #[must_use]
    pub(crate) fn relayed(&self, head: RelayedHead) -> Relayed<'a> {
        Relayed { head, blob: self.blob }
    }
}

impl<'a> Relayed<'a> {
    /// Joins a head and the bytes that follow it.
    ///
    /// # Errors
    /// [`DecodeError`] if index or length are out of range, or there are not just the bytes that they demand.
    pub fn new(kind: BlobKind, head: RelayedHead, blob: &'a [u8]) -> Result<Self, DecodeError> {
        check(kind, head.length, head.index, blob.len(), kind.relayed().size())?;
        Ok(Self { head, blob })
    }

    /// Returns the head.
    #[must_use]
    pub const fn head(&self) -> &RelayedHead {
        &self.head
    }

    /// Returns the fragment's own bytes of the blob.
    #[must_use]
    pub const fn blob(&self) -> &'a [u8] {
        self.blob
    }
}

/// Returns how many fragments an OFFER or ANSWER blob of `length` bytes has: 1 to 64 for a legal length.
#[must_use]
pub const fn fragment_count(length: usize) -> usize {
    if length == 0 { 1 } else { length.div_ceil(FRAGMENT) }
}

/// Returns the bytes of the blob that fragment `index` carries; empty beyond the end.
#[must_use]
pub const fn fragment_range(length: usize, index: u8) -> Range<usize> {
    let start = index as usize * FRAGMENT;
    let end = start + FRAGMENT;
    if start >= length { length..length } else { start..if end < length { end } else { length } }
}

fn check(kind: BlobKind, length: u32, index: u8, had: usize, head: usize) -> Result<(), DecodeError> {
    let length = length as usize;
    let (shortest, longest, count) = match kind {
        BlobKind::Offer => (1, BLOB_MAX, fragment_count(length)),
        BlobKind::Answer => (0, BLOB_MAX, fragment_count(length)),
        BlobKind::Candidate => (1, FRAGMENT, FRAGMENTS_MAX),
    };
    if length < shortest || length > longest {
        return Err(DecodeError::BadField { field: "length" });
    }
    if usize::from(index) >= count {
        return Err(DecodeError::BadField { field: "index" });
    }
    let need = match kind {
        BlobKind::Offer | BlobKind::Answer => fragment_range(length, index).len(),
        BlobKind::Candidate => length,
    };
    match had.cmp(&need) {
        std::cmp::Ordering::Less => {
            Err(DecodeError::Truncated { field: "blob", need: head + need, had: head + had })
        }
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(DecodeError::Trailing { need: head + need, had: head + had }),
    }
}
