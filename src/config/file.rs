//! From a path to the text of a configuration, and what holds when there is no file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Key, parse};

/// The file that is read when none is named, in the working directory.
pub const DEFAULT_FILE: &str = "config.yaml";
/// Bytes of the largest file that is read: ten times what all keys with long comments need.
pub const FILE_MAX: usize = 65_536;
/// What UTF-16 text begins with, in either order of its bytes. No UTF-8 text does.
const UTF_16_MARKS: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was read from a file.
    File {
        /// The file.
        path: PathBuf,
        /// What stood in it.
        text: String,
    },
    /// No file was named and [`DEFAULT_FILE`] is not there.
    Defaults,
}

impl Origin {
    /// Returns the file and the line, from 1, that a key stands on; none where it has its default because it is not there.
    #[must_use]
    pub fn line_of(&self, key: Key) -> Option<(&Path, usize)> {
        match self {
            Self::File { path, text } => parse::line_of_key(text, key).map(|line| (path.as_path(), line)),
            Self::Defaults => None,
        }
    }
}

pub(super) fn load_or_default(named: Option<&Path>) -> Result<(Config, Origin), ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match read(path) {
        Ok(text) => Ok((Config::from_yaml(&text, path)?, Origin::File { path: path.to_path_buf(), text })),
        Err(ConfigError::Missing { .. }) if named.is_none() && !is_dangling_link(path) => {
            Ok((Config::default(), Origin::Defaults))
        }
        Err(error) => Err(error),
    }
}

/// A link that leads nowhere is a mistake, not a missing file.
fn is_dangling_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Reads the text of a file within the limit.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let file = path.to_path_buf();
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(unreadable(file, source)),
    };
    if bytes.len() > FILE_MAX {
        return Err(ConfigError::TooLarge { file });
    }
    if UTF_16_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(ConfigError::Utf16 { file });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        ConfigError::NotUtf8 { file, line: 1 + valid.iter().filter(|byte| **byte == b'\n').count() }
    })
}

/// Reads one byte more than allowed at most, so that a device without end does no harm.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(file: PathBuf, source: io::Error) -> ConfigError {
    if source.kind() == io::ErrorKind::NotFound {
        ConfigError::Missing { file }
    } else if file.is_dir() {
        ConfigError::Directory { file }
    } else {
        ConfigError::Unreadable { file, source }
    }
}
