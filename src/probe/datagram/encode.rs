//! `roundtable-probe encode`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::str::FromStr;

use roundtable_proto::wire::{
    self, Digest, FRAGMENT, FieldLayout, Form, Kind, MAGIC, OfferId, VERSION, fragment_range, layout,
};
use serde_json::{Value, json};

use super::field::{self, hex, unhex};
use super::input::to_base64;
use super::invalid;
use crate::probe::arguments::Encode;
use crate::probe::failure::Failure;
use crate::probe::report::Report;
use crate::probe::target;
use crate::seed;

/// `NAME=VALUE`.
#[derive(Clone, Debug)]
pub(in crate::probe) struct Assignment {
    name: String,
    value: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not FIELD=VALUE"))?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// How datagrams are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Notation {
    /// As they are.
    Raw,
    /// Hexadecimal digits, a line each.
    Hex,
    /// Base64, a line each.
    Base64,
}

impl FromStr for Notation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "raw" => Ok(Self::Raw),
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            _ => Err("one of raw, hex, base64".to_owned()),
        }
    }
}

pub(in crate::probe) fn run(report: &Report, encode: Encode) -> Result<(), Failure> {
    let datagrams = match (&encode.kind, &encode.fields) {
        (Some(kind), None) => vec![from_flags(kind, &encode.set)?],
        (None, Some(path)) if encode.set.is_empty() => from_json(path)?,
        (None | Some(_), None | Some(_)) => {
            return Err(wrong("either KIND, with --set FIELD=VALUE, or --fields FILE".to_owned()));
        }
    };
    let notation =
        encode.output.unwrap_or(if io::stdout().is_terminal() { Notation::Hex } else { Notation::Raw });
    if notation == Notation::Raw && datagrams.len() > 1 && !report.is_json() {
        return Err(wrong("a pipe does not keep datagrams apart: --output hex, or one at a time".to_owned()));
    }
    for datagram in datagrams {
        if report.is_json() {
            let kind = invalid::kind(&datagram).map(Kind::name);
            report.fact(
                "encoded",
                json!({ "kind": kind, "bytes": datagram.len(), "hex": hex(&datagram) }),
                "",
            );
            continue;
        }
        let written = match notation {
            Notation::Raw => io::stdout().write_all(&datagram).and_then(|()| io::stdout().flush()),
            Notation::Hex => writeln!(io::stdout(), "{}", hex(&datagram)),
            Notation::Base64 => writeln!(io::stdout(), "{}", to_base64(&datagram)),
        };
        // A reader that has gone is no reason to fail.
        drop(written);
    }
    Ok(())
}

fn wrong(problem: String) -> Failure {
    Failure::Encode { problem }
}

fn from_flags(kind: &str, set: &[Assignment]) -> Result<Vec<u8>, Failure> {
    let kind = read_kind(kind)?;
    let mut values = BTreeMap::new();
    for Assignment { name, value } in set {
        let value = match value.strip_prefix('@') {
            Some(path) if name == "blob" => hex(&target::blob(Path::new(path))?),
            _ => match value.strip_prefix("hex:") {
                Some(digits) if name == "blob" => digits.to_owned(),
                _ if name == "blob" => hex(value.as_bytes()),
                _ => value.clone(),
            },
        };
        if values.insert(name.clone(), value).is_some() {
            return Err(wrong(format!("{name} is given twice")));
        }
    }
    frame(kind, values)
}

fn from_json(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let text = target::content(path)?;
    let values = serde_json::Deserializer::from_slice(&text).into_iter::<Value>();
    let mut datagrams = Vec::new();
    for value in values {
        let value = value.map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        let all = if let Value::Array(all) = value { all } else { vec![value] };
        // What decode prints ends with a sum.
        for one in all.iter().filter(|one| one["event"] != "read") {
            datagrams.push(from_value(one)?);
        }
    }
    Ok(datagrams)
}

fn from_value(value: &Value) -> Result<Vec<u8>, Failure> {
    let Some(kind) = value["kind"].as_str() else {
        return Err(wrong(r#"each datagram is {"kind": "PING", "fields": {...}}"#.to_owned()));
    };
    let mut values = BTreeMap::new();
    for (name, value) in value["fields"].as_object().into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err(wrong(format!("{name}: a text or a number")));
            }
        };
        values.insert(name.clone(), text);
    }
    frame(read_kind(kind)?, values)
}

fn read_kind(text: &str) -> Result<Kind, Failure> {
    let wanted = text.replace('-', "_");
    let found = Kind::ALL.iter().find(|kind| kind.name().eq_ignore_ascii_case(&wanted));
    found.copied().ok_or_else(|| {
        let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name().to_ascii_lowercase()).collect();
        wrong(format!("{text} is no kind; kinds are {}", names.join(", ")))
    })
}

/// Puts a datagram together and has the decoder check it.
fn frame(kind: Kind, mut values: BTreeMap<String, String>) -> Result<Vec<u8>, Failure> {
    let fields = layout(kind);
    if let Some(name) = values.keys().find(|name| fields.iter().all(|field| field.name != name.as_str())) {
        return Err(wrong(format!(
            "{} has no field {name}; its fields are {}",
            kind.name(),
            listed(&fields)
        )));
    }
    complete_blob(kind, &fields, &mut values)?;
    let mut datagram = vec![MAGIC[0], MAGIC[1], VERSION, kind.number()];
    for layout in &fields {
        let bytes = match values.get(layout.name) {
            Some(text) => {
                field::parse(layout, text).map_err(|problem| wrong(format!("{}: {problem}", layout.name)))?
            }
            None => otherwise(kind, layout)?,
        };
        datagram.extend(bytes);
    }
    match wire::decode(&datagram) {
        Ok(_) => Ok(datagram),
        Err(error) => {
            let fault = invalid::explain(&error, &datagram);
            Err(wrong(format!("that is no {}: byte {}: {}", kind.name(), fault.offset, fault.reason)))
        }
    }
}

fn listed(fields: &[FieldLayout]) -> String {
    let told = fields.iter().filter(|field| field.form != Form::Zero);
    told.map(|field| format!("{} ({})", field.name, field::expected(field))).collect::<Vec<_>>().join(", ")
}

/// Of a whole blob, takes length, digest and the bytes of the fragment that is asked for.
fn complete_blob(
    kind: Kind,
    fields: &[FieldLayout],
    values: &mut BTreeMap<String, String>,
) -> Result<(), Failure> {
    if !kind.has_blob() || values.contains_key("length") {
        return Ok(());
    }
    let blob = values.get("blob").map_or_else(|| Some(Vec::new()), |digits| unhex(digits));
    let blob = blob.ok_or_else(|| wrong("blob: not hexadecimal digits".to_owned()))?;
    let index = values.get("index").map_or(Some(0), |text| text.parse::<u8>().ok());
    let index = index.ok_or_else(|| wrong("index: not a number from 0 to 255".to_owned()))?;
    debug_assert!(fields.iter().any(|field| field.name == "digest"));
    values.entry("digest".to_owned()).or_insert_with(|| Digest::of(&blob).to_string());
    values.insert("length".to_owned(), blob.len().to_string());
    if blob.len() > FRAGMENT {
        values.insert("blob".to_owned(), hex(&blob[fragment_range(blob.len(), index)]));
    }
    Ok(())
}

/// What stands in a field that was not given.
fn otherwise(kind: Kind, layout: &FieldLayout) -> Result<Vec<u8>, Failure> {
    let drawn = || seed::draw().map(|seed| seed.0[..16].to_vec()).map_err(Failure::System);
    match (layout.form, layout.name) {
        (_, "transaction") => drawn(),
        (Form::OfferId, _) => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&drawn()?);
            Ok(OfferId::from_random(bytes).as_bytes().to_vec())
        }
        (Form::Identifier, name) => {
            Err(wrong(format!("{} needs --set {name}={}", kind.name(), field::expected(layout))))
        }
        // The first fragment of an offer.
        (_, "bitmap") => Ok(1u64.to_be_bytes().to_vec()),
        (Form::Number, "kind") => Ok(vec![Kind::Offer.number()]),
        (Form::Opaque | Form::Number | Form::Address | Form::Zero | Form::Blob, _) => {
            Ok(vec![0; layout.size])
        }
    }
}
