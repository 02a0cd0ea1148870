//! How much memory this process may have, where the system says so: that of the host, or of the smallest control group
//! around it.

use std::fs;
use std::path::Path;

/// Returns the bytes; none where nothing says.
pub(crate) fn bound() -> Option<u64> {
    below(Path::new("/"))
}

fn below(root: &Path) -> Option<u64> {
    let host = fs::read_to_string(root.join("proc/meminfo")).ok().as_deref().and_then(total);
    host.into_iter().chain(groups(root)).min()
}

/// The host's, in `/proc/meminfo`: `MemTotal:  24683432 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

/// What each control group around the process allows; `/proc/self/cgroup` says which it is in, of both versions.
fn groups(root: &Path) -> Vec<u64> {
    let Ok(text) = fs::read_to_string(root.join("proc/self/cgroup")) else { return Vec::new() };
    let mut limits = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (hierarchy, file) = if controllers.is_empty() {
            ("sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|one| one == "memory") {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let hierarchy = root.join(hierarchy);
        let group = hierarchy.join(group.trim_start_matches('/'));
        let around = group.ancestors().take_while(|one| one.starts_with(&hierarchy));
        // "max" is no limit, and no number.
        limits.extend(
            around.filter_map(|one| fs::read_to_string(one.join(file)).ok()?.trim().parse::<u64>().ok()),
        );
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn smallest_of_host_and_control_groups_counts() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        assert_eq!(below(root), None);
        write(root, "proc/meminfo", "MemTotal:       24683432 kB\nMemFree: 5 kB\n");
        assert_eq!(below(root), Some(24_683_432 << 10));
        write(root, "proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/system.slice/s.service\n");
        assert_eq!(below(root), Some(24_683_432 << 10));
        write(root, "sys/fs/cgroup/system.slice/s.service/memory.max", "max\n");
        write(root, "sys/fs/cgroup/system.slice/memory.max", "5000000\n");
        assert_eq!(below(root), Some(5_000_000));
        write(root, "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
        write(root, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4000000\n");
        assert_eq!(below(root), Some(4_000_000));
        // That of a container, whose group looks like the root.
        write(root, "proc/self/cgroup", "0::/\n");
        write(root, "sys/fs/cgroup/memory.max", "3000000\n");
        assert_eq!(below(root), Some(3_000_000));
    }
}
