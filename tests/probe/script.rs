//! What the probe prints for scripts, held against the keys that its help lists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::run;

type Keys = BTreeSet<String>;

/// Keys by event: those that are always there, and those that may be.
fn documented(command: &str) -> BTreeMap<String, (Keys, Keys)> {
    let help = run(&[command, "--help"]).stdout;
    let (_, listed) = help.split_once("With --json:").unwrap();
    let mut events = BTreeMap::new();
    for line in listed.lines().filter_map(|line| line.trim().split_once(": ")) {
        let (event, keys) = line;
        let (always, sometimes) = keys.split_once(", and without --save ").unwrap_or((keys, "-"));
        let set = |keys: &str| keys.split(", ").filter(|key| *key != "-").map(str::to_owned).collect();
        events.insert(event.to_owned(), (set(always), set(sometimes)));
    }
    events.insert("failed".to_owned(), (["kind", "message"].map(str::to_owned).into(), Keys::new()));
    events
}

/// Reads every line, and asserts that it has the keys that the command's help lists.
#[track_caller]
pub(crate) fn events(command: &str, stdout: &str) -> Vec<Value> {
    let documented = documented(command);
    let mut earlier = 0.0;
    let check = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let mut keys: Keys = value.as_object().unwrap().keys().cloned().collect();
        let event = value["event"].as_str().unwrap();
        let at = value["at_ms"].as_f64().unwrap();
        assert!(at >= earlier, "{line}");
        earlier = at;
        assert!(keys.remove("event") && keys.remove("at_ms"));
        let (always, sometimes) =
            documented.get(event).unwrap_or_else(|| panic!("{event} is not in the help"));
        assert!(always.is_subset(&keys), "{line} lacks some of {always:?}");
        assert!(
            keys.iter().all(|key| always.contains(key) || sometimes.contains(key)),
            "{line} has too much"
        );
        value
    };
    stdout.lines().map(check).collect()
}

/// The one event of this name.
#[track_caller]
pub(crate) fn only<'a>(events: &'a [Value], name: &str) -> &'a Value {
    let found: Vec<_> = events.iter().filter(|event| event["event"] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {events:?}");
    found[0]
}

/// The names of the events, in order.
pub(crate) fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}
