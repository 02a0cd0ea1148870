//! Finds datagrams in what was given: raw bytes, hexadecimal digits, base64, or a capture.

use std::net::SocketAddr;

use roundtable_proto::wire::{self, DATAGRAM_MAX, DecodeError, MAGIC};

use super::captured;
use super::field::unhex;

/// How datagrams are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are, one after the other.
    Raw,
    /// Hexadecimal digits, a datagram a line.
    Hex,
    /// Base64, a datagram a line.
    Base64,
    /// A file of tcpdump or Wireshark: pcap or pcapng.
    Capture,
}

impl std::str::FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "raw" => Ok(Self::Raw),
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            "pcap" | "pcapng" => Ok(Self::Capture),
            _ => Err("one of raw, hex, base64, pcap".to_owned()),
        }
    }
}

/// A datagram, and what is known of its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) bytes: Vec<u8>,
    /// Bytes that it had, where the capture has kept fewer.
    pub(super) cut_from: Option<usize>,
    /// Where a capture tells it.
    pub(super) way: Option<Way>,
}

/// When a datagram was captured, from where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Nanoseconds since 1970.
    pub(super) at: u128,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) datagrams: Vec<Datagram>,
    /// Packets of a capture that are none of the protocol's.
    pub(super) others: usize,
}

/// Finds the datagrams.
///
/// # Errors
/// Says where it is not in that form.
pub(super) fn read(bytes: &[u8], form: Option<Form>) -> Result<Found, String> {
    let found = match form.unwrap_or_else(|| guess(bytes)) {
        Form::Raw => raw(bytes),
        Form::Hex => lines(bytes, "hexadecimal digits", |line| unhex(&digits(line)))?,
        Form::Base64 => lines(bytes, "base64", base64)?,
        Form::Capture => return captured::read(bytes),
    };
    Ok(Found { datagrams: found, others: 0 })
}

fn guess(bytes: &[u8]) -> Form {
    let is_line_of = |test: fn(&str) -> bool| {
        std::str::from_utf8(bytes).is_ok_and(|text| text.lines().all(test) && !text.trim().is_empty())
    };
    if captured::is_one(bytes) {
        Form::Capture
    } else if bytes.starts_with(&MAGIC) && bytes.get(2).is_some_and(|version| *version < b' ') {
        Form::Raw
    } else if is_line_of(|line| unhex(&digits(line)).is_some()) {
        Form::Hex
    } else if is_line_of(|line| base64(line).is_some_and(|bytes| line.is_empty() || wire::is_ours(&bytes))) {
        Form::Base64
    } else {
        Form::Raw
    }
}

/// Cuts a stream where a frame ends and another begins: a pipe knows no datagrams.
fn raw(bytes: &[u8]) -> Vec<Datagram> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let longest = &rest[..rest.len().min(DATAGRAM_MAX)];
        let end = match wire::decode(longest) {
            Ok(_) => longest.len(),
            Err(DecodeError::Trailing { need, .. }) => need,
            Err(_) => rest.len(),
        };
        let (one, more) = rest.split_at(end);
        // What does not begin another frame belongs to this one, which is then too long.
        let one = if more.is_empty() || wire::is_ours(more) { one } else { rest };
        found.push(Datagram { bytes: one.to_vec(), ..Datagram::default() });
        rest = &rest[one.len()..];
    }
    found
}

fn lines(bytes: &[u8], what: &str, read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Vec<Datagram>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("this is not {what}"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let bytes = read(line).ok_or_else(|| format!("line {} is not {what}", at + 1))?;
            Ok(Datagram { bytes, ..Datagram::default() })
        })
        .collect()
}

/// What people put between digits is left out.
fn digits(line: &str) -> String {
    let line = line.trim();
    let line = line.strip_prefix("0x").unwrap_or(line);
    line.chars().filter(|one| !one.is_whitespace() && *one != ':').collect()
}

/// Reads base64 (RFC 4648, 4), with or without its padding.
fn base64(line: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in line.trim().trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|one| *one == digit)?;
        // Below 64.
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    // What is left over is less than a byte, and zero.
    (count < 6 && bits & ((1 << count) - 1) == 0).then_some(bytes)
}

/// Writes base64 (RFC 4648, 4).
pub(super) fn to_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            (0..3).fold(0u32, |group, at| group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = ALPHABET[(group >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, 10.
    const BASE64: [(&str, &str); 7] = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];

    #[test]
    fn base64_is_that_of_the_rfc_both_ways() {
        for (bytes, text) in BASE64 {
            assert_eq!(base64(text).unwrap(), bytes.as_bytes());
            assert_eq!(base64(text.trim_end_matches('=')).unwrap(), bytes.as_bytes());
            assert_eq!(to_base64(bytes.as_bytes()), text);
        }
        for not in ["Z", "Zm9=v", "Zh==", "Zm9v!"] {
            assert_eq!(base64(not), None, "{not}");
        }
    }
}
