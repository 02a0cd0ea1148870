//! Says where a datagram stops being a frame, and why. SPEC 2

use roundtable_proto::wire::{
    BLOB_MAX, DATAGRAM_MAX, DecodeError, FRAGMENT, FieldLayout, Form, HEADER, Kind, MAGIC, layout,
};

use super::field;

/// What is wrong with a datagram.
pub(super) struct Fault {
    /// Bytes from the start of the datagram to what is wrong.
    pub(super) offset: usize,
    /// Why.
    pub(super) reason: String,
}

/// Explains what the decoder says of this datagram.
pub(super) fn explain(error: &DecodeError, datagram: &[u8]) -> Fault {
    match *error {
        DecodeError::Truncated { field, need, had } => {
            Fault { offset: had, reason: format!("it ends within {field}, which needs {need} bytes in all") }
        }
        DecodeError::BadMagic { .. } => Fault { offset: 0, reason: foreign(datagram) },
        DecodeError::BadVersion { found } => Fault {
            offset: 2,
            reason: format!("version {found}: this probe speaks {}", roundtable_proto::wire::VERSION),
        },
        DecodeError::UnknownKind { found } => {
            Fault { offset: 3, reason: format!("no kind has the number 0x{found:02x}") }
        }
        DecodeError::Oversized { had } => {
            Fault { offset: DATAGRAM_MAX, reason: format!("{had} bytes, {DATAGRAM_MAX} are allowed") }
        }
        DecodeError::Trailing { need, had } => {
            Fault { offset: need, reason: format!("{} bytes follow the end of the frame", had - need) }
        }
        DecodeError::BadField { field } => bad_field(field, datagram),
    }
}

/// Returns the kind that the header names, if it names one.
pub(super) fn kind(datagram: &[u8]) -> Option<Kind> {
    datagram.get(3).filter(|_| datagram.starts_with(&MAGIC)).and_then(|number| Kind::from_number(*number))
}

fn bad_field(name: &'static str, datagram: &[u8]) -> Fault {
    let found = kind(datagram).and_then(|kind| layout(kind).into_iter().find(|one| one.name == name));
    let Some(layout) = found else {
        return Fault { offset: HEADER, reason: format!("{name} is not allowed") };
    };
    let bytes = datagram.get(layout.offset..layout.offset + layout.size).unwrap_or_default();
    let within = match layout.form {
        Form::Zero => bytes.iter().position(|byte| *byte != 0).unwrap_or(0),
        Form::Opaque | Form::Number | Form::OfferId | Form::Identifier | Form::Address | Form::Blob => 0,
    };
    Fault { offset: layout.offset + within, reason: forbidden(&layout, bytes) }
}

/// Says what the field forbids. SPEC 3
fn forbidden(layout: &FieldLayout, bytes: &[u8]) -> String {
    let (name, shown) = (layout.name, field::hex(bytes));
    match layout.form {
        Form::Zero => format!("a byte of {name} is not zero"),
        Form::OfferId | Form::Identifier => format!("{name} is all zero"),
        Form::Address => match bytes.first() {
            Some(4) => format!("{name} is IPv4, and its last 12 address bytes are not zero: {shown}"),
            Some(6) => format!("{name} is an IPv4-mapped IPv6 address, which has to be IPv4: {shown}"),
            Some(0) => format!("{name} has family 0, none, but other bytes: {shown}"),
            _ => format!("{name} has a family that is none of 4, 6 and 0: {shown}"),
        },
        Form::Number => {
            let allowed = match name {
                "length" => format!("1 to {BLOB_MAX} (ANSWER from 0, CANDIDATE to {FRAGMENT})"),
                "index" => "below the number of fragments, or 64 in CANDIDATE".to_owned(),
                "kind" => "6 OFFER, 7 ANSWER or 8 CANDIDATE".to_owned(),
                "nominate" => "0 or 1".to_owned(),
                _ => "another".to_owned(),
            };
            format!("{name} is {}; allowed: {allowed}", field::text(layout, bytes, false))
        }
        Form::Opaque | Form::Blob => format!("{name} is not allowed: {shown}"),
    }
}

/// Says what else a datagram may be. RFC 7983
fn foreign(datagram: &[u8]) -> String {
    let what = match datagram {
        [0..=3, _, _, _, 0x21, 0x12, 0xA4, 0x42, ..] => "it looks like STUN",
        [20..=63, 0xFE, ..] => "it looks like DTLS",
        [128..=191, ..] => "it looks like RTP or RTCP",
        [b'R' | b'r', b'T' | b't', ..] => "\"RT\" is in upper case",
        _ if datagram.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
            "it is text"
        }
        _ => "it is of another protocol",
    };
    format!("it does not begin with 52 54, \"RT\": {what}")
}
