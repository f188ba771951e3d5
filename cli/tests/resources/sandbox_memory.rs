//! What the sandbox takes while it draws large pictures.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{command, with};

/// The most memory that a process has had so far, in MB; none when it has ended.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
}

#[test]
fn large_pictures_of_the_sandbox_are_drawn_a_few_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["crawl", "--sandbox", "--quality=2048", "--limit=32", "--concurrency=64"];
    let mut child = with(command(folder.path()), words).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    let status = loop {
        most = most.max(peak(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
    // 32 at once would be 1,200 MB; eight, where there are as many cores, are 300.
    assert!((20..500).contains(&most), "{most} MB");
}
