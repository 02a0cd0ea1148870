//! The log file. It is opened anew under its name when somebody has moved or removed it, as log rotation does.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// What is open, as the file system knows it.
    metadata: Metadata,
    /// The next byte begins a line, so it may go elsewhere.
    at_start: bool,
}

impl LogFile {
    /// Opens the log file and empties it.
    ///
    /// It is written in append mode, so that whoever empties it while the program runs finds no hole in it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // The directory may change under a name that does not say which one is meant.
        let absolute = std::path::absolute(path)?;
        let file = append(path)?;
        let metadata = file.metadata()?;
        // A pipe or a device has no length to set.
        if metadata.is_file() {
            file.set_len(0)?;
        }
        Ok(Self { path: absolute, file, metadata, at_start: true })
    }

    /// Follows the name. Where that fails, the lines go where they went before.
    fn follow(&mut self) {
        if !self.metadata.is_file() || is_same(&self.path, &self.metadata) {
            return;
        }
        if let Ok(file) = append(&self.path)
            && let Ok(metadata) = file.metadata()
        {
            (self.file, self.metadata) = (file, metadata);
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at_start {
            self.follow();
        }
        let written = self.file.write(bytes);
        self.at_start = written.is_err();
        written
    }

    /// Ends a line.
    fn flush(&mut self) -> io::Result<()> {
        self.at_start = true;
        self.file.flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Tells whether the name still stands for the open file.
#[cfg(unix)]
fn is_same(path: &Path, open: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    std::fs::metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino()))
}

/// An open file cannot be moved or removed.
#[cfg(not(unix))]
const fn is_same(_: &Path, _: &Metadata) -> bool {
    true
}
