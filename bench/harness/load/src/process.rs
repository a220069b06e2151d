//! CPU time and memory of a process and all its descendants, as the kernel tells them in /proc.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{read_dir, read_to_string};

#[derive(Default)]
pub struct Tree {
    cpu_ns: u64,
    rss_kib: u64,
    /// Memory that is shared counts by its share.
    pss_kib: u64,
}

impl Tree {
    /// A process that has ended counts as nothing.
    pub fn of(root: u32) -> Self {
        let children = children();
        let (mut tree, mut open) = (Self::default(), vec![root]);
        while let Some(pid) = open.pop() {
            open.extend(children.get(&pid).into_iter().flatten());
            tree.cpu_ns += cpu_ns(pid);
            tree.rss_kib += kib(&format!("/proc/{pid}/status"), "VmRSS:");
            tree.pss_kib += kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
        }
        tree
    }

    /// The CPU used since `earlier`, and the memory now.
    pub fn since(&self, earlier: &Self) -> Value {
        json!({
            "cpu_ms": self.cpu_ns.saturating_sub(earlier.cpu_ns) as f64 / 1e6,
            "rss_mb": self.rss_kib as f64 / 1024.0,
            "pss_mb": self.pss_kib as f64 / 1024.0,
        })
    }
}

fn children() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // After the name, which may hold anything: state, then the parent.
        let parent = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// Of all threads. schedstat counts nanoseconds where stat counts hundredths of a second.
fn cpu_ns(pid: u32) -> u64 {
    let of_thread = |stat: String| stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    let threads = read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| read_to_string(thread.path().join("schedstat")).ok()).map(of_thread).sum()
}

fn kib(file: &str, label: &str) -> u64 {
    let Ok(text) = read_to_string(file) else { return 0 };
    let line = text.lines().find(|line| line.starts_with(label));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}
