//! What can be wrong with a configuration, by cause, and how it is said: file, line, key, what is allowed.

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};

use super::file::FILE_MAX;
use super::key::{Allowed, Key};

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file is not there.
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The path names a directory.
    Directory {
        /// The path.
        file: PathBuf,
    },
    /// The system refuses to read the file.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is larger than [`FILE_MAX`].
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// The file holds bytes that are not UTF-8.
    NotUtf8 {
        /// The file.
        file: PathBuf,
        /// The line of the first such byte, from 1.
        line: usize,
    },
    /// The file holds text in UTF-16, as some editors write it.
    Utf16 {
        /// The file.
        file: PathBuf,
    },
    /// The file could be read, but not understood.
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong in it.
        mistakes: Mistakes,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { file } => write!(out, "{}: there is no such file", file.display()),
            Self::Directory { file } => {
                write!(out, "{}: is a directory, needed is a YAML file", file.display())
            }
            Self::Unreadable { file, source } => write!(out, "{}: cannot be read: {source}", file.display()),
            Self::TooLarge { file } => {
                write!(out, "{}: is larger than {FILE_MAX} bytes, the most allowed", file.display())
            }
            Self::NotUtf8 { file, line } => {
                write!(out, "{}:{line}: is not UTF-8 text", file.display())
            }
            Self::Utf16 { file } => {
                write!(out, "{}: is UTF-16 text, needed is UTF-8: save it as that", file.display())
            }
            Self::Content { file, mistakes } => mistakes.write(file, out),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::Missing { .. }
            | Self::Directory { .. }
            | Self::TooLarge { .. }
            | Self::NotUtf8 { .. }
            | Self::Utf16 { .. }
            | Self::Content { .. } => None,
        }
    }
}

/// Mistakes of one file that are told; whoever has more may as well begin with these.
const MISTAKES_MAX: usize = 32;

/// Everything that is wrong with the content of a file: one thing at least, in the order of its lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistakes {
    told: Vec<Mistake>,
    untold: usize,
}

/// One thing that is wrong with the content of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// The line, from 1; none where the parser names none.
    pub line: Option<usize>,
    /// What is wrong there.
    pub problem: Problem,
}

impl Mistakes {
    /// Looks up the lines of those that are told. There has to be one.
    pub(super) fn new<P>(problems: Vec<(P, Problem)>, line_of: impl Fn(P) -> Option<usize>) -> Self {
        let untold = problems.len().saturating_sub(MISTAKES_MAX);
        let told = problems.into_iter().take(MISTAKES_MAX);
        Self { told: told.map(|(at, problem)| Mistake { line: line_of(at), problem }).collect(), untold }
    }

    /// Returns the first mistakes; a file full of them has more.
    #[must_use]
    pub fn told(&self) -> &[Mistake] {
        &self.told
    }

    /// A line for each.
    fn write(&self, file: &Path, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = file.display();
        for (position, Mistake { line, problem }) in self.told.iter().enumerate() {
            let end = if position == 0 { "" } else { "\n" };
            match line {
                Some(line) => write!(out, "{end}{file}:{line}: {problem}")?,
                None => write!(out, "{end}{file}: {problem}")?,
            }
        }
        match self.untold {
            0 => Ok(()),
            untold => write!(out, "\n{file}: further mistakes: {untold}"),
        }
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self { told: vec![mistake], untold: 0 }
    }
}

/// What is wrong with the content of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// It is not YAML.
    Syntax {
        /// The YAML parser's words.
        reason: String,
    },
    /// It is YAML, but not a mapping of keys to values.
    NoMapping {
        /// What stands there.
        found: Found,
    },
    /// A second YAML document begins.
    SecondDocument,
    /// A key is a list or a mapping.
    KeyIsNotText {
        /// What stands there.
        found: Found,
    },
    /// A key that nothing knows.
    UnknownKey {
        /// The key as written.
        name: String,
        /// The key that may have been meant.
        nearest: Option<Key>,
    },
    /// A key stands there for the second time, perhaps in other case.
    DuplicateKey {
        /// The key.
        key: Key,
    },
    /// A value of a type that its key does not take.
    WrongType {
        /// The key.
        key: Key,
        /// What stands there.
        found: Found,
    },
    /// A value that is nothing without another key.
    Needs {
        /// The key.
        key: Key,
        /// What stands there.
        found: Found,
        /// The key that has no value.
        needed: Key,
    },
    /// A value of the right type that its key does not allow.
    NotAllowed {
        /// The key.
        key: Key,
        /// What stands there.
        found: Found,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { reason } => write!(out, "is not valid YAML: {reason}"),
            Self::NoMapping { found } => {
                write!(out, "{found} stands where lines of `key: value` are needed")
            }
            Self::SecondDocument => out.write_str("a second YAML document begins, allowed is one"),
            Self::KeyIsNotText { found } => write!(out, "{found} stands as a key, allowed are {}", AllKeys),
            Self::UnknownKey { name, nearest: Some(key) } => {
                write!(
                    out,
                    "{}: unknown key, did you mean {}? Allowed are {}",
                    Excerpt(name),
                    key.name(),
                    AllKeys
                )
            }
            Self::UnknownKey { name, nearest: None } => {
                write!(out, "{}: unknown key, allowed are {}", Excerpt(name), AllKeys)
            }
            Self::DuplicateKey { key } => {
                write!(out, "{}: stands here for the second time, allowed is once (in any case)", key.name())
            }
            Self::WrongType { key, found: found @ Found::Nothing } => {
                write!(out, "{}: has {found}, allowed are {}", key.name(), key.allowed())
            }
            Self::WrongType { key, found } => {
                write!(out, "{}: {found} is of the wrong type, allowed are {}", key.name(), key.allowed())
            }
            Self::Needs { key, found, needed } => {
                let (key, needed, allowed) = (key.name(), needed.name(), needed.allowed());
                write!(out, "{key}: {found} needs {needed}, allowed are {allowed}")
            }
            Self::NotAllowed { key, found } => {
                write!(out, "{}: {found} {}, allowed are {}", key.name(), refusal(*key), key.allowed())
            }
        }
    }
}

/// Says why a value of the right type is not taken.
const fn refusal(key: Key) -> &'static str {
    match key.allowed() {
        Allowed::LogLevel => "is no log level",
        Allowed::Address { .. } => "is no IP address",
        Allowed::Addresses => "is no list of IP addresses",
        Allowed::Number { .. } | Allowed::Port => "is out of range",
        Allowed::Networks => "is no list of networks",
        Allowed::ProxyProtocol => "is no protocol of proxies",
        Allowed::Path { .. } | Allowed::Boolean | Allowed::Stun => "is not taken",
    }
}

/// A value as it stands in the file.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named like what YAML calls them")]
pub enum Found {
    Nothing,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List,
    Mapping,
    Tagged,
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => out.write_str("no value"),
            Self::Boolean(value) => write!(out, "{value}"),
            Self::Integer(value) => write!(out, "{value}"),
            // Debug keeps the point: 30.0 has to be told from 30.
            Self::Float(value) => write!(out, "{value:?}"),
            Self::Text(text) => write!(out, "\"{}\"", Excerpt(text)),
            Self::List => out.write_str("a list"),
            Self::Mapping => out.write_str("a mapping"),
            Self::Tagged => out.write_str("a tagged value"),
        }
    }
}

/// The names of all keys, for a message.
struct AllKeys;

impl fmt::Display for AllKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&Key::ALL.map(Key::name).join(", "))
    }
}

/// Characters of the file's own text that a message repeats.
const EXCERPT_MAX: usize = 60;

/// Text from the file, cut short and with control characters escaped: it goes to a terminal.
struct Excerpt<'a>(&'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars().take(EXCERPT_MAX).flat_map(char::escape_debug) {
            out.write_char(character)?;
        }
        if self.0.chars().nth(EXCERPT_MAX).is_some() { out.write_str("…") } else { Ok(()) }
    }
}
