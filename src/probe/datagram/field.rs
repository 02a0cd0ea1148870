//! One field's bytes as text and back. Knows the forms of SPEC 3, and no frame.

use std::net::SocketAddr;

use roundtable_proto::wire::{Address, ErrorCode, FieldLayout, Form, Kind, OfferId, PeerId};
use serde_json::Value;

/// Bytes of a blob that people are shown, unless they ask for all.
const BLOB_SHOWN: usize = 48;

/// A field's value, for scripts.
pub(super) fn value(field: &FieldLayout, bytes: &[u8]) -> Value {
    match field.form {
        Form::Number => number(bytes).into(),
        Form::OfferId | Form::Identifier | Form::Address => named(field.form, bytes).into(),
        Form::Opaque | Form::Zero | Form::Blob => hex(bytes).into(),
    }
}

/// A field's value, for people.
pub(super) fn text(field: &FieldLayout, bytes: &[u8], whole_blob: bool) -> String {
    match field.form {
        Form::Number => meaning(field.name, number(bytes)),
        Form::OfferId | Form::Identifier | Form::Address => named(field.form, bytes),
        Form::Opaque if bytes.iter().all(|byte| *byte == 0) => "none".to_owned(),
        Form::Opaque => hex(bytes),
        Form::Zero if bytes.iter().all(|byte| *byte == 0) => "-".to_owned(),
        Form::Zero => format!("not zero: {}", hex(bytes)),
        Form::Blob => blob(bytes, whole_blob),
    }
}

/// As text if the value is allowed, else as hexadecimal digits.
fn named(form: Form, bytes: &[u8]) -> String {
    let text = match form {
        Form::OfferId => bytes.try_into().ok().and_then(OfferId::from_bytes).map(|id| id.to_string()),
        Form::Identifier => bytes.try_into().ok().and_then(PeerId::from_bytes).map(|id| id.to_string()),
        Form::Address => bytes.try_into().ok().and_then(Address::from_bytes).map(|one| one.to_string()),
        Form::Opaque | Form::Number | Form::Zero | Form::Blob => None,
    };
    text.unwrap_or_else(|| hex(bytes))
}

fn meaning(name: &str, number: u64) -> String {
    let known = match name {
        "code" => u16::try_from(number).ok().and_then(ErrorCode::from_number).map(ErrorCode::name),
        "kind" => u8::try_from(number).ok().and_then(Kind::from_number).map(Kind::name),
        "ttl" | "timeout" | "retry_after" => Some("ms"),
        "maxblob" | "length" => Some("bytes"),
        _ => None,
    };
    known.map_or_else(|| number.to_string(), |known| format!("{number} {known}"))
}

fn blob(bytes: &[u8], whole: bool) -> String {
    let shown = if whole { bytes } else { &bytes[..bytes.len().min(BLOB_SHOWN)] };
    let more = if shown.len() < bytes.len() { "..." } else { "" };
    let is_text = std::str::from_utf8(shown)
        .is_ok_and(|text| !text.chars().any(|one| one.is_control() && !['\r', '\n', '\t'].contains(&one)));
    let content = if is_text { format!("{:?}", String::from_utf8_lossy(shown)) } else { hex(shown) };
    match bytes.len() {
        0 => "empty".to_owned(),
        length => format!("{length} bytes: {content}{more}"),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads an even number of hexadecimal digits.
pub(super) fn unhex(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(nibble(pair[0])? << 4 | nibble(*pair.get(1)?)?)).collect()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Reads a field's value; what is not allowed in it is found by the decoder.
///
/// # Errors
/// Says what would be a value.
pub(super) fn parse(field: &FieldLayout, text: &str) -> Result<Vec<u8>, String> {
    match field.form {
        Form::Number => parse_number(field, text),
        Form::OfferId => text
            .parse::<OfferId>()
            .map(|id| id.as_bytes().to_vec())
            .map_err(|_| format!("{text:?} is not a UUID that has a bit set")),
        Form::Identifier => {
            text.parse::<PeerId>().map(|id| id.as_bytes().to_vec()).map_err(|error| error.to_string())
        }
        Form::Address => parse_address(text),
        Form::Opaque if text == "none" => Ok(vec![0; field.size]),
        Form::Opaque | Form::Zero => unhex(text)
            .filter(|bytes| bytes.len() == field.size)
            .ok_or_else(|| format!("{text:?} is not {} hexadecimal digits", 2 * field.size)),
        Form::Blob => unhex(text).ok_or_else(|| format!("{text:?} is not hexadecimal digits")),
    }
}

fn parse_address(text: &str) -> Result<Vec<u8>, String> {
    let address = if text == "none" {
        Address::NONE
    } else {
        Address::from(
            text.parse::<SocketAddr>()
                .map_err(|_| format!("{text:?} is not an address: IP:PORT, [IP]:PORT, or none"))?,
        )
    };
    Ok(address.to_bytes().to_vec())
}

fn parse_number(field: &FieldLayout, text: &str) -> Result<Vec<u8>, String> {
    let read = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok().or_else(|| named_number(field.name, text)),
    };
    let largest = u64::MAX >> (64 - 8 * field.size);
    let number = read
        .filter(|number| *number <= largest)
        .ok_or_else(|| format!("{text:?} is not a number from 0 to {largest}"))?;
    Ok(number.to_be_bytes()[8 - field.size..].to_vec())
}

fn named_number(field: &str, text: &str) -> Option<u64> {
    let is_it = |name: &str| name.eq_ignore_ascii_case(text);
    match field {
        "code" => ErrorCode::ALL.iter().find(|code| is_it(code.name())).map(|code| code.number().into()),
        "kind" => Kind::ALL.iter().find(|kind| is_it(kind.name())).map(|kind| kind.number().into()),
        _ => None,
    }
}

/// Says what may stand in a field, in few words.
pub(super) fn expected(field: &FieldLayout) -> String {
    match field.form {
        Form::Opaque => format!("{} hexadecimal digits, or none", 2 * field.size),
        Form::Number => "a number".to_owned(),
        Form::OfferId => "a UUID".to_owned(),
        Form::Identifier => "a UUID or 64 hexadecimal digits".to_owned(),
        Form::Address => "IP:PORT, or none".to_owned(),
        Form::Zero => "zeros".to_owned(),
        Form::Blob => "TEXT, @FILE or hex:DIGITS".to_owned(),
    }
}
