//! Files that hold 32 secret bytes: the server's ticket secret, a client's key. Made on first use, for the owner alone.
//!
//! The text is `roundtable-secret-1 `, 64 hexadecimal digits and a line end, so that one sees what it is.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What the file begins with.
const MARK: &str = "roundtable-secret-1 ";
/// Bytes of a file with a line end, at most: anything longer is none of ours.
const LENGTH_MAX: u64 = 128;

/// Why a secret cannot be had from a file. Never says what is in it.
#[derive(Debug)]
pub enum SecretFileError {
    /// It can be neither read nor made.
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        error: io::Error,
    },
    /// Others than its owner may read or write it.
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold what it should.
    Form {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for SecretFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Exposed { path, mode } => write!(
                f,
                "{}: others may read or write this secret (mode {mode:03o}): chmod 600 it, and consider it known",
                path.display()
            ),
            Self::Form { path } => {
                write!(
                    f,
                    "{}: not a secret file: expected \"{MARK}\" and 64 hexadecimal digits",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for SecretFileError {}

/// Reads the secret in the file, or draws one and makes the file with mode 0600.
///
/// # Errors
/// [`SecretFileError`] names the file and what is wrong with it.
pub fn load_or_create(path: &Path) -> Result<[u8; 32], SecretFileError> {
    match load(path)? {
        Some(secret) => Ok(secret),
        None => create(path),
    }
}

/// Reads the secret in the file; `None` where there is no file.
///
/// # Errors
/// [`SecretFileError`] names the file and what is wrong with it.
pub fn load(path: &Path) -> Result<Option<[u8; 32]>, SecretFileError> {
    match File::open(path) {
        Ok(file) => read(path, file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SecretFileError::Io { path: path.to_owned(), error }),
    }
}

/// Draws a secret and makes the file with mode 0600; a file that is there is left alone.
///
/// # Errors
/// [`SecretFileError::Io`], also where there is such a file.
pub fn create(path: &Path) -> Result<[u8; 32], SecretFileError> {
    let failed = |error| SecretFileError::Io { path: path.to_owned(), error };
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| failed(error.into()))?;
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    let written = file.write_all(format!("{MARK}{digits}\n").as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a secret would be refused for ever; the error that matters is the first.
        drop(std::fs::remove_file(path));
        return Err(failed(error));
    }
    Ok(secret)
}

fn read(path: &Path, file: File) -> Result<[u8; 32], SecretFileError> {
    let failed = |error| SecretFileError::Io { path: path.to_owned(), error };
    check_owner_only(path, &file)?;
    let mut bytes = Vec::new();
    file.take(LENGTH_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| text.len() as u64 <= LENGTH_MAX)
        .and_then(|text| text.trim_end().strip_prefix(MARK))
        .and_then(parse)
        .ok_or_else(|| SecretFileError::Form { path: path.to_owned() })
}

#[cfg(unix)]
fn check_owner_only(path: &Path, file: &File) -> Result<(), SecretFileError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = file.metadata().map_err(|error| SecretFileError::Io { path: path.to_owned(), error })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SecretFileError::Exposed { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_owner_only(_: &Path, _: &File) -> Result<(), SecretFileError> {
    Ok(())
}

fn parse(digits: &str) -> Option<[u8; 32]> {
    // The conversion below would take a sign.
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut secret = [0; 32];
    for (place, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_use_makes_it_for_the_owner_alone_and_the_next_reads_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret");
        assert_eq!(load(&path).unwrap(), None);
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), made);
        assert_eq!(load(&path).unwrap(), Some(made));
        assert_ne!(made, [0; 32]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret");
        load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = load_or_create(&path).unwrap_err();
            assert!(
                matches!(error, SecretFileError::Exposed { .. }) && error.to_string().contains("chmod 600")
            );
        }
    }

    #[test]
    fn anything_else_is_refused_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret");
        load_or_create(&path).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        let signs = format!("{MARK}{}\n", "+f".repeat(32));
        let other = good.replace("secret-1", "secret-2");
        let long = format!("{good}{}", "\n".repeat(LENGTH_MAX as usize));
        let texts = ["", "hello\n", &good[..40], &other, &format!("{good}x"), &signs, &long, "\u{e9}"];
        for bytes in texts.map(str::as_bytes).into_iter().chain([&b"\xff"[..]]) {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(load_or_create(&path), Err(SecretFileError::Form { .. })), "{bytes:?}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        assert!(load_or_create(place.path()).is_err());
        assert!(matches!(create(&path), Err(SecretFileError::Io { .. })));
    }
}
