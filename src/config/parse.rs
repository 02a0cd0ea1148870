//! From YAML text to a [`Config`]: which keys and values there may be.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::{Mistake, Mistakes};
use super::proxy_protocol::networks;
use super::visit::{At, Entry, Walk};
use super::{Config, Found, Key, LogLevel, Network, Problem, ProxyProtocol, PublicAddress, Ranged, Stun};

/// What some editors put before UTF-8 text. YAML knows it; `serde_yaml` takes it for a document of its own.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Where something stands: a document, and the number of a value in it.
type Place = (usize, usize);

/// Reads a configuration, or everything that is wrong with it, in the order of the text.
pub(super) fn parse(text: &str) -> Result<Config, Mistakes> {
    let text = unmarked(text);
    check_syntax(text)?;
    let mut config = Config::default();
    let mut problems = match walk(text)? {
        Some((whole, entries)) => fill(&mut config, whole, entries),
        None => Vec::new(),
    };
    if documents(text).nth(1).is_some() {
        problems.push(((1, 0), Problem::SecondDocument));
    }
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort_by_key(|(place, _)| *place);
    Err(Mistakes::new(problems, |place| line_of(text, place)))
}

/// Returns the line on which the key stands, from 1, if it does.
pub(super) fn line_of_key(text: &str, key: Key) -> Option<usize> {
    let text = unmarked(text);
    let (_, entries) = walk(text).ok()??;
    let entry = entries.into_iter().find(|entry| known(&entry.key.found) == Ok(key))?;
    line_of(text, (0, entry.key.number))
}

fn unmarked(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

fn documents(text: &str) -> serde_yaml::Deserializer<'_> {
    serde_yaml::Deserializer::from_str(text)
}

/// Walks the whole text first: a broken line is better called so than the odd value that it makes.
fn check_syntax(text: &str) -> Result<(), Mistakes> {
    documents(text)
        .try_for_each(|document| IgnoredAny::deserialize(document).map(drop))
        .map_err(|error| syntax(&error))
}

fn syntax(error: &serde_yaml::Error) -> Mistakes {
    let line = error.location().map(|location| location.line());
    Mistakes::from(Mistake { line, problem: Problem::Syntax { reason: error.to_string() } })
}

/// Returns the first document as a whole, and its entries if it is a mapping.
fn walk(text: &str) -> Result<Option<(At, Vec<Entry>)>, Mistakes> {
    let Some(document) = documents(text).next() else { return Ok(None) };
    let mut walk = Walk::default();
    let whole = walk.through(document).map_err(|error| syntax(&error))?;
    Ok(Some((whole, walk.entries)))
}

/// Walks once more, to the line of the place.
fn line_of(text: &str, (document, number): Place) -> Option<usize> {
    let stopped = Walk::until(number).through(documents(text).nth(document)?).err()?;
    stopped.location().map(|location| location.line())
}

/// Fills in what the first document says, and returns what is wrong with it.
fn fill(config: &mut Config, whole: At, entries: Vec<Entry>) -> Vec<(Place, Problem)> {
    let mut problems = Vec::new();
    let mut refuse = |at: usize, problem| problems.push(((0, at), problem));
    if !matches!(whole.found, Found::Mapping | Found::Nothing) {
        refuse(whole.number, Problem::NoMapping { found: whole.found });
    }
    let mut seen: Vec<(Key, At)> = Vec::with_capacity(Key::ALL.len());
    for Entry { key, value } in entries {
        match known(&key.found) {
            Ok(twice) if seen.iter().any(|(key, _)| *key == twice) => {
                refuse(key.number, Problem::DuplicateKey { key: twice });
            }
            Ok(key) => {
                if let Err(problem) = set(config, key, value.found.clone()) {
                    refuse(value.number, problem);
                }
                seen.push((key, value));
            }
            Err(problem) => refuse(key.number, problem),
        }
    }
    if let Some((at, problem)) = unmet(config, seen) {
        refuse(at, problem);
    }
    problems
}

/// Finds a value that is nothing without another one, which is not there.
fn unmet(config: &Config, seen: Vec<(Key, At)>) -> Option<(usize, Problem)> {
    let (key, needed) = (Key::ProxyProtocol, Key::TrustedProxies);
    let has_needed = seen.iter().any(|(key, value)| *key == needed && value.found != Found::Nothing);
    if config.proxyprotocol == ProxyProtocol::Off || has_needed {
        return None;
    }
    let (_, At { number, found }) = seen.into_iter().find(|(one, _)| *one == key)?;
    Some((number, Problem::Needs { key, found, needed }))
}

/// Tells which key it is.
fn known(found: &Found) -> Result<Key, Problem> {
    let name = match found {
        Found::Text(name) => name.clone(),
        Found::Nothing | Found::Boolean(_) | Found::Integer(_) | Found::Float(_) => found.to_string(),
        Found::List | Found::Mapping | Found::Tagged => {
            return Err(Problem::KeyIsNotText { found: found.clone() });
        }
    };
    Key::named(&name).ok_or_else(|| Problem::UnknownKey { nearest: Key::nearest(&name), name })
}

fn set(config: &mut Config, key: Key, found: Found) -> Result<(), Problem> {
    match key {
        Key::LogLevel => config.loglevel = log_level(key, found)?,
        Key::LogFile => config.logfile = path(key, found)?,
        Key::LocalPort => config.localport = integer(key, found, |number| u16::try_from(number).ok())?,
        Key::Timeout => config.timeout = ranged(key, found)?,
        Key::LocalAddress => config.localaddress = address(key, found)?,
        Key::PublicAddress => config.publicaddress = addresses(key, found)?,
        Key::Stun => config.stun = stun(key, found)?,
        Key::AltPort => config.altport = port_or_nothing(key, found)?,
        Key::AltAddress => config.altaddress = address(key, found)?,
        Key::ProxyProtocol => config.proxyprotocol = proxy_protocol(key, found)?,
        Key::TrustedProxies => config.trustedproxies = trusted_proxies(key, found)?,
        Key::MaxPeers => config.maxpeers = ranged(key, found)?,
        Key::MaxOffers => config.maxoffers = ranged(key, found)?,
        Key::MaxPeerOffers => config.maxpeeroffers = ranged(key, found)?,
        Key::MaxBlob => config.maxblob = ranged(key, found)?,
        Key::PlainIds => config.plainids = boolean(key, found)?,
        Key::SignatureChecks => config.signaturechecks = ranged(key, found)?,
        Key::StrangerRate => config.strangerrate = ranged(key, found)?,
        Key::RegisterRate => config.registerrate = ranged(key, found)?,
        Key::RegisterTotal => config.registertotal = ranged(key, found)?,
        Key::PeerRate => config.peerrate = ranged(key, found)?,
        Key::OfferRate => config.offerrate = ranged(key, found)?,
        Key::KernelFilter => config.kernelfilter = boolean(key, found)?,
        Key::SecretFile => config.secretfile = path(key, found)?,
        Key::CaptureFile => config.capturefile = path(key, found)?,
        Key::CaptureSize => config.capturesize = ranged(key, found)?,
        Key::CaptureBlobs => config.captureblobs = boolean(key, found)?,
        Key::StatsSocket => config.statssocket = path(key, found)?,
        Key::Benchmarks => config.benchmarks = boolean(key, found)?,
    }
    Ok(())
}

fn path(key: Key, found: Found) -> Result<Option<PathBuf>, Problem> {
    Ok(text_or_nothing(key, found)?.filter(|path| !path.is_empty()).map(Into::into))
}

fn log_level(key: Key, found: Found) -> Result<LogLevel, Problem> {
    let Found::Text(name) = found else {
        return Err(Problem::WrongType { key, found });
    };
    LogLevel::named(&name).ok_or(Problem::NotAllowed { key, found: Found::Text(name) })
}

fn address(key: Key, found: Found) -> Result<Option<IpAddr>, Problem> {
    let Some(text) = text_or_nothing(key, found)? else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| Problem::NotAllowed { key, found: Found::Text(text) })
}

fn addresses(key: Key, found: Found) -> Result<Vec<PublicAddress>, Problem> {
    let Some(text) = text_or_nothing(key, found)? else {
        return Ok(Vec::new());
    };
    PublicAddress::list(&text).ok_or(Problem::NotAllowed { key, found: Found::Text(text) })
}

fn proxy_protocol(key: Key, found: Found) -> Result<ProxyProtocol, Problem> {
    let Found::Text(name) = found else {
        return Err(Problem::WrongType { key, found });
    };
    ProxyProtocol::named(&name).ok_or(Problem::NotAllowed { key, found: Found::Text(name) })
}

fn trusted_proxies(key: Key, found: Found) -> Result<Vec<Network>, Problem> {
    let Some(text) = text_or_nothing(key, found)? else {
        return Ok(Vec::new());
    };
    networks(&text).ok_or(Problem::NotAllowed { key, found: Found::Text(text) })
}

fn text_or_nothing(key: Key, found: Found) -> Result<Option<String>, Problem> {
    if found == Found::Nothing {
        return Ok(None);
    }
    let Found::Text(text) = found else {
        return Err(Problem::WrongType { key, found });
    };
    Ok(Some(text))
}

fn ranged<const MIN: u32, const MAX: u32>(key: Key, found: Found) -> Result<Ranged<MIN, MAX>, Problem> {
    integer(key, found, |number| u32::try_from(number).ok().and_then(Ranged::new))
}

fn integer<T>(key: Key, found: Found, take: impl Fn(i128) -> Option<T>) -> Result<T, Problem> {
    let Found::Integer(number) = found else {
        return Err(Problem::WrongType { key, found });
    };
    take(number).ok_or(Problem::NotAllowed { key, found })
}

fn port_or_nothing(key: Key, found: Found) -> Result<Option<u16>, Problem> {
    if found == Found::Nothing {
        return Ok(None);
    }
    integer(key, found, |number| u16::try_from(number).ok()).map(Some)
}

fn stun(key: Key, found: Found) -> Result<Stun, Problem> {
    let Found::Text(text) = found else {
        return boolean(key, found).map(|is_on| if is_on { Stun::On } else { Stun::Off });
    };
    if text.eq_ignore_ascii_case("strict") {
        Ok(Stun::Strict)
    } else {
        Err(Problem::NotAllowed { key, found: Found::Text(text) })
    }
}

fn boolean(key: Key, found: Found) -> Result<bool, Problem> {
    let Found::Boolean(value) = found else {
        return Err(Problem::WrongType { key, found });
    };
    Ok(value)
}

#[cfg(test)]
mod tests;
