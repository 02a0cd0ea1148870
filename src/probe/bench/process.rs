//! What a process on this machine has used, as Linux tells it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::probe::failure::Failure;

/// A process that is measured.
#[derive(Clone, Copy)]
pub(super) struct Process(pub(super) u32);

impl Process {
    /// Returns the nanoseconds of CPU time of all threads so far. Exact while they sleep.
    pub(super) fn cpu_nanos(self) -> Result<u64, Failure> {
        let tasks = PathBuf::from(format!("/proc/{}/task", self.0));
        let mut nanos = 0;
        for task in fs::read_dir(&tasks).map_err(|error| failed(&tasks, error))? {
            let file = task.map_err(|error| failed(&tasks, error))?.path().join("schedstat");
            nanos += number(&file, |text| text.split(' ').next()?.parse().ok())?;
        }
        Ok(nanos)
    }

    /// Returns the bytes of memory that are resident.
    pub(super) fn resident(self) -> Result<u64, Failure> {
        let file = PathBuf::from(format!("/proc/{}/status", self.0));
        let kibibytes = number(&file, |text| {
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        })?;
        Ok(kibibytes * 1024)
    }
}

fn number(file: &Path, find: impl Fn(&str) -> Option<u64>) -> Result<u64, Failure> {
    let text = fs::read_to_string(file).map_err(|error| failed(file, error))?;
    find(&text).ok_or_else(|| failed(file, io::ErrorKind::InvalidData.into()))
}

fn failed(file: &Path, error: io::Error) -> Failure {
    Failure::File { path: file.to_owned(), error }
}
