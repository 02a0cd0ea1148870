//! `roundtable-probe decode`.

use std::path::PathBuf;

use roundtable_proto::wire::{self, DecodeError, FieldLayout, Form, HEADER, Kind, VERSION, layout};
use serde_json::{Map, Value, json};

use super::field;
use super::input::{self, Datagram, Way};
use super::invalid;
use crate::probe::arguments::Decode;
use crate::probe::failure::Failure;
use crate::probe::report::Report;
use crate::probe::target;

pub(in crate::probe) fn run(report: &Report, decode: Decode) -> Result<(), Failure> {
    let path = decode.file.unwrap_or_else(|| PathBuf::from("-"));
    let bytes = target::content(&path)?;
    if bytes.is_empty() {
        return Err(Failure::NothingToDecode);
    }
    let found =
        input::read(&bytes, decode.form).map_err(|problem| Failure::Input { path: path.clone(), problem })?;
    let start = found.datagrams.first().and_then(|one| one.way).map_or(0, |way| way.at);
    let mut invalid = 0;
    for (number, datagram) in (1..).zip(&found.datagrams) {
        let shown = Shown { number, datagram, start, whole_blob: decode.blobs };
        invalid += usize::from(!shown.tell(report));
    }
    let (count, others) = (found.datagrams.len(), found.others);
    let mut text = format!("{count} datagrams, {} frames, {invalid} not valid", count - invalid);
    if others > 0 {
        text += &format!("; {others} other packets");
    }
    let fields =
        json!({ "datagrams": count, "frames": count - invalid, "invalid": invalid, "others": others });
    if count == 1 && others == 0 {
        report.fact("read", fields, "");
    } else {
        report.fact("read", fields, &text);
    }
    if invalid > 0 { Err(Failure::NotValid { invalid, of: count }) } else { Ok(()) }
}

struct Shown<'a> {
    number: usize,
    datagram: &'a Datagram,
    /// When the first was captured.
    start: u128,
    whole_blob: bool,
}

impl Shown<'_> {
    /// Shows it; tells whether it is a frame.
    fn tell(&self, report: &Report) -> bool {
        let bytes = &self.datagram.bytes;
        let judged = judge(self.datagram);
        let fields = readable(bytes).map(layout).unwrap_or_default();
        let fields: Vec<_> = fields.into_iter().filter_map(|one| Some((one, part(&one, bytes)?))).collect();
        let mut object = self.head();
        object.insert("kind".to_owned(), invalid::kind(bytes).map(Kind::name).into());
        object.insert("fields".to_owned(), values(&fields));
        object.insert("offsets".to_owned(), offsets(&fields));
        let mut text = self.title();
        text += &self.table(&fields);
        match judged {
            Ok(()) => {
                report.fact("frame", Value::Object(object), &text);
                true
            }
            Err(error) => {
                let fault = invalid::explain(&error, bytes);
                object.insert("error".to_owned(), error.name().into());
                object.insert("field".to_owned(), error.field().into());
                object.insert("offset".to_owned(), fault.offset.into());
                object.insert("reason".to_owned(), fault.reason.as_str().into());
                object.insert("hex".to_owned(), field::hex(bytes).into());
                text +=
                    &format!("  not valid at byte {}: {} ({})\n", fault.offset, fault.reason, error.name());
                report.fact("invalid", Value::Object(object), &text);
                false
            }
        }
    }

    fn head(&self) -> Map<String, Value> {
        let way = self.datagram.way;
        let mut head = Map::new();
        head.insert("number".to_owned(), self.number.into());
        head.insert("bytes".to_owned(), self.datagram.cut_from.unwrap_or(self.datagram.bytes.len()).into());
        head.insert("from".to_owned(), way.map(|way| way.from.to_string()).into());
        head.insert("to".to_owned(), way.map(|way| way.to.to_string()).into());
        head.insert("time_s".to_owned(), way.map(|way| way.at as f64 / 1e9).into());
        head
    }

    fn title(&self) -> String {
        let length = self.datagram.cut_from.unwrap_or(self.datagram.bytes.len());
        let kind = invalid::kind(&self.datagram.bytes).map_or("no frame", Kind::name);
        let cut = match self.datagram.cut_from {
            Some(_) => format!(", {} captured", self.datagram.bytes.len()),
            None => String::new(),
        };
        let way = match self.datagram.way {
            Some(Way { at, from, to }) => {
                let since = at.saturating_sub(self.start) as f64 / 1e9;
                format!("  {from} -> {to}  after {since:.6} s")
            }
            None => String::new(),
        };
        format!("{}  {kind}  {length} bytes{cut}{way}\n", self.number)
    }

    fn table(&self, fields: &[(FieldLayout, &[u8])]) -> String {
        let mut table = String::from("  offset size field\n");
        let mut row = |offset: usize, size: usize, name: &str, text: &str| {
            table += &format!("  {offset:6} {size:4} {name:<11} {text}\n");
        };
        let bytes = &self.datagram.bytes;
        if bytes.starts_with(&wire::MAGIC) {
            row(0, 2, "magic", "52 54 \"RT\"");
        }
        if let (true, Some(version)) = (bytes.starts_with(&wire::MAGIC), bytes.get(2)) {
            row(2, 1, "version", &version.to_string());
        }
        if let (true, Some(number)) = (bytes.starts_with(&wire::MAGIC), bytes.get(3)) {
            let name = Kind::from_number(*number).map_or("not assigned", Kind::name);
            row(3, 1, "kind", &format!("0x{number:02x} {name}"));
        }
        for (layout, part) in fields {
            row(layout.offset, part.len(), layout.name, &field::text(layout, part, self.whole_blob));
        }
        if table.lines().count() > 1 { table } else { String::new() }
    }
}

/// Decodes; what a capture has not kept counts as if it were there, as long as all that is fixed is.
fn judge(datagram: &Datagram) -> Result<(), DecodeError> {
    let Some(length) = datagram.cut_from else { return wire::decode(&datagram.bytes).map(drop) };
    let kept_body = invalid::kind(&datagram.bytes).is_some_and(|kind| datagram.bytes.len() >= kind.size());
    let mut whole = datagram.bytes.clone();
    if kept_body {
        whole.resize(length, 0);
    }
    wire::decode(&whole).map(drop)
}

/// The kind whose fields can be read off: ERROR has its layout in all versions. SPEC 6
fn readable(bytes: &[u8]) -> Option<Kind> {
    let kind = invalid::kind(bytes)?;
    (bytes[2] == VERSION || kind == Kind::Error).then_some(kind)
}

/// The field's bytes, if all are there.
fn part<'a>(layout: &FieldLayout, bytes: &'a [u8]) -> Option<&'a [u8]> {
    match layout.form {
        Form::Blob => bytes.get(layout.offset..),
        Form::Opaque | Form::Number | Form::OfferId | Form::Identifier | Form::Address | Form::Zero => {
            bytes.get(layout.offset..layout.offset + layout.size)
        }
    }
}

fn values(fields: &[(FieldLayout, &[u8])]) -> Value {
    let told = fields.iter().filter(|(layout, _)| layout.form != Form::Zero);
    told.map(|(layout, part)| (layout.name.to_owned(), field::value(layout, part)))
        .collect::<Map<_, _>>()
        .into()
}

fn offsets(fields: &[(FieldLayout, &[u8])]) -> Value {
    let header = [("magic", 0), ("version", 2), ("kind", 3)];
    debug_assert_eq!(HEADER, 4);
    // The kind of what is referred to has the name of that in the header.
    let body = fields.iter().map(|(layout, _)| (layout.name, layout.offset));
    header
        .into_iter()
        .chain(body)
        .map(|(name, at)| (name.to_owned(), at.into()))
        .collect::<Map<_, _>>()
        .into()
}
