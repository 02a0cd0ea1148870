//! Any text is a configuration, or an error of one line.

use std::path::Path;

use roundtable_signalling::config::Config;

pub(super) fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(error) = Config::from_yaml(text, Path::new("config.yaml")) {
        let told = error.to_string();
        assert!(told.starts_with("config.yaml"), "{told:?} does not name the file");
        assert!(!told.trim_end().contains('\n'), "{told:?} is more than one line");
    }
}
