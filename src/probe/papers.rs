//! `roundtable-probe papers`.

use std::fs;
use std::path::Path;

use argh::ArgsInfo;
use serde_json::json;

use super::arguments::{Arguments, Papers};
use super::failure::Failure;
use super::report::Report;
use crate::cli::{self, papers};

pub(super) fn run(report: &Report, Papers { directory }: Papers) -> Result<(), Failure> {
    let mut probe = Arguments::get_args_info();
    let mut server = cli::Arguments::get_args_info();
    (probe.name, server.name) = ("roundtable-probe", "signallingserver");
    for paper in papers::of(&probe, 1).into_iter().chain(papers::of(&server, 8)) {
        let path = directory.join(paper.path);
        write(&path, &paper.text).map_err(|error| Failure::File { path: path.clone(), error })?;
        let shown = path.display().to_string();
        report.fact("written", json!({ "file": shown }), &shown);
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}
