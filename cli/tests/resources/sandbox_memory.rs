//! Memory of the mock server while it draws large pictures.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{command, with};

/// Returns the peak memory of a process in MB. `None` after its end.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
}

#[test]
fn the_mock_server_draws_only_a_few_large_pictures_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["crawl", "--sandbox", "--quality=2048", "--limit=32", "--concurrency=64"];
    let mut child = with(command(folder.path()), args).stderr(Stdio::null()).spawn().unwrap();
    let mut max = 0;
    let status = loop {
        max = max.max(peak(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
    // 32 at once would need 1,200 MB; eight, on as many cores, need 300 MB.
    assert!((20..500).contains(&max), "{max} MB");
}
