//! A share of a core for the server alone, by a control group of its own.

use std::fs;
use std::path::{Path, PathBuf};

/// Microseconds that the server may run in each period.
const QUOTA: u32 = 1000;
const PERIOD: u32 = 20_000;

pub(crate) struct Quota {
    group: PathBuf,
}

impl Quota {
    /// Makes the group; none where this is not permitted.
    pub(crate) fn new() -> Option<Self> {
        let name = format!("roundtable-flood-{}", std::process::id());
        let [first, second] =
            ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"].map(|root| Path::new(root).join(&name));
        let (version_1, version_2) = (Self { group: first }, Self { group: second });
        if version_1
            .create(&[("cpu.cfs_period_us", PERIOD.to_string()), ("cpu.cfs_quota_us", QUOTA.to_string())])
        {
            return Some(version_1);
        }
        version_2.create(&[("cpu.max", format!("{QUOTA} {PERIOD}"))]).then_some(version_2)
    }

    fn create(&self, settings: &[(&str, String)]) -> bool {
        fs::create_dir(&self.group).is_ok()
            && settings.iter().all(|(name, value)| fs::write(self.group.join(name), value).is_ok())
    }

    /// The file that takes the processes of the group.
    pub(crate) fn processes(&self) -> PathBuf {
        self.group.join("cgroup.procs")
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // It goes only once it is empty, and may never have been made.
        drop(fs::remove_dir(&self.group));
    }
}

pub(crate) fn describe(quota: Option<&Quota>) -> String {
    quota.map_or_else(
        || {
            "no control group to be had: it has a whole core, and floods of less than ten times that"
                .to_owned()
        },
        |_| format!("it may use {} % of a core", 100 * QUOTA / PERIOD),
    )
}
