//! Any text is a configuration, or an error whose every line names the file.

use std::path::Path;

use roundtable_signalling::config::Config;

pub(super) fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(error) = Config::from_yaml(text, Path::new("config.yaml")) {
        let told = error.to_string();
        assert!(!told.is_empty(), "no reason");
        for line in told.lines() {
            assert!(line.starts_with("config.yaml:"), "{line:?} of {told:?} does not name the file");
        }
    }
}
