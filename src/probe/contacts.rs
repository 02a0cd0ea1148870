//! Names for those whom one calls often: a small file with a name and a peer address on each line.

use std::path::PathBuf;

use super::failure::Failure;

/// Finds who is meant: a name of the file, or else the text itself.
pub(super) fn resolve(text: &str) -> Result<String, Failure> {
    let Some(path) = file() else { return Ok(text.to_owned()) };
    let content = match std::fs::read_to_string(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(text.to_owned()),
        Err(error) => return Err(Failure::File { path, error }),
    };
    Ok(find(&content, text).unwrap_or(text).to_owned())
}

/// Where it is: as `ROUNDTABLE_CONTACTS` says, or where programs of a user keep such things.
fn file() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("ROUNDTABLE_CONTACTS").or_else(|| {
        let home = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
        home.map(|home| home.join("roundtable").join("contacts"))
    })
}

/// The first line with that name; what begins with # is a comment.
fn find<'a>(content: &'a str, name: &str) -> Option<&'a str> {
    let lines = content.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut contacts = lines.filter_map(|line| line.split_once(char::is_whitespace));
    contacts.find(|(known, _)| *known == name).map(|(_, address)| address.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_stands_for_what_follows_it_on_its_line() {
        let content = "# friends\nbob   roundtable:x@y#z \n\nalice\tother\n#carol hidden\nbob second\nnobody";
        assert_eq!(find(content, "bob"), Some("roundtable:x@y#z"));
        assert_eq!(find(content, "alice"), Some("other"));
        for unknown in ["carol", "#carol", "nobody", "", "friends"] {
            assert_eq!(find(content, unknown), None, "{unknown}");
        }
    }
}
