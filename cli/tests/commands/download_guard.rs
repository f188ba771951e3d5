//! The confirmation of a large download, with and without a terminal.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use streetflow_sandbox::Sandbox;

use crate::support::run;

/// Writes a table with this many rows, and no pictures for them.
fn table(folder: &Path, rows: u64) {
    fs::create_dir_all(folder.join("outputs")).unwrap();
    let mut text = "seq_id,img_id,thumb_256_url\n".to_owned();
    for id in 1..=rows {
        writeln!(text, "abc,{id},").unwrap();
    }
    fs::write(folder.join("outputs/img_meta_dataset.csv"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_a_large_download_needs_a_flag() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    table(folder.path(), 100_003);
    let (exit, stderr) = run(&sandbox, folder.path(), ["download"]).await;
    assert_eq!(exit, 2, "{stderr}");
    assert!(
        stderr.contains("100,003 pictures of quality 256 are selected") && stderr.contains("`--yes`"),
        "{stderr}"
    );
    assert!(stderr.contains("are free for"), "{stderr}");
    // Existing pictures need no confirmation, and the rest is small.
    let pictures = folder.path().join("outputs/downloaded_images");
    fs::create_dir_all(&pictures).unwrap();
    for id in 1..=3 {
        fs::write(pictures.join(format!("{id}_256.jpg")), "there".repeat(100)).unwrap();
    }
    let (exit, stderr) = run(&sandbox, folder.path(), ["download", "--attempts=1"]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains("100,000 gone"), "{stderr}");
    fs::remove_file(pictures.join("3_256.jpg")).unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), ["download", "--yes"]).await;
    assert_eq!(exit, 0, "{stderr}");
}

/// A pseudo-terminal, to answer the question.
#[cfg(target_os = "linux")]
mod terminal {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::path::Path;
    use std::process::{Child, Stdio};
    use std::time::{Duration, Instant};

    use rustix::fs::{Mode, OFlags};
    use rustix::process::{Pid, Signal, kill_process};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use streetflow_sandbox::Sandbox;

    use super::table;
    use crate::support::{command_on, names, with};

    fn on_a_terminal(sandbox: &Sandbox, folder: &Path, args: &[&str]) -> (Child, File) {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&theirs, size).unwrap();
        let mut command = with(command_on(sandbox, folder), args.iter().copied());
        command.stdin(Stdio::from(theirs.try_clone().unwrap())).stderr(Stdio::from(theirs));
        (command.spawn().unwrap(), File::from(ours))
    }

    /// Waits for the question and answers it. Returns exit code and output.
    fn answer_question(sandbox: &Sandbox, folder: &Path, args: &[&str], answer: &str) -> (i32, String) {
        let (mut child, mut terminal) = on_a_terminal(sandbox, folder, args);
        let (mut stderr, mut buffer, mut answered) = (String::new(), [0; 4096], false);
        // On a pseudo-terminal, the end of the child is a read error.
        while let Ok(read @ 1..) = terminal.read(&mut buffer) {
            stderr.push_str(&String::from_utf8_lossy(&buffer[..read]));
            if !answered && stderr.contains("continue? [y/N]") {
                terminal.write_all(answer.as_bytes()).unwrap();
                answered = true;
            }
        }
        (child.wait().unwrap().code().unwrap_or(-1), stderr)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_user_is_asked_once_and_decides() {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        table(folder.path(), 100_001);
        for (answer, exit, words) in
            [("n\n", 2, "the answer was no"), ("\n", 2, "the answer was no"), ("yes\n", 0, "100,001 gone")]
        {
            let (sandbox, path) = (&sandbox, folder.path());
            let (code, stderr) = tokio::task::block_in_place(|| {
                answer_question(sandbox, path, &["download", "--attempts=1"], answer)
            });
            assert_eq!(code, exit, "{answer:?}: {stderr}");
            assert!(stderr.contains(words), "{answer:?}: {stderr}");
            assert_eq!(stderr.matches("continue? [y/N]").count(), 1, "{stderr}");
        }
        assert!(names(&folder.path().join("outputs")).contains(&"gone.csv".to_owned()));
    }

    /// Waits for the question, then acts. Returns exit code, output, and the time from the action to the end.
    fn at_the_question(
        sandbox: &Sandbox,
        folder: &Path,
        wait: Duration,
        act: impl FnOnce(&Child, &mut File),
    ) -> (i32, String, Duration) {
        let (mut child, mut terminal) = on_a_terminal(sandbox, folder, &["download", "--attempts=1"]);
        let (mut stderr, mut buffer, mut act, mut acted) =
            (String::new(), [0; 4096], Some(act), Instant::now());
        while let Ok(read @ 1..) = terminal.read(&mut buffer) {
            stderr.push_str(&String::from_utf8_lossy(&buffer[..read]));
            if stderr.contains("continue? [y/N]")
                && let Some(act) = act.take()
            {
                std::thread::sleep(wait);
                act(&child, &mut terminal);
                acted = Instant::now();
            }
        }
        (child.wait().unwrap().code().unwrap_or(-1), stderr, acted.elapsed())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_signal_at_the_question_ends_the_run() {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        table(folder.path(), 100_001);
        for (round, signal) in (0..12).zip([Signal::INT, Signal::TERM, Signal::HUP].into_iter().cycle()) {
            let (sandbox, path) = (&sandbox, folder.path());
            let wait = Duration::from_millis([0, 1, 5, 40][round % 4]);
            let (code, stderr, took) = tokio::task::block_in_place(|| {
                at_the_question(sandbox, path, wait, |child, _| {
                    kill_process(Pid::from_child(child), signal).unwrap();
                })
            });
            assert_eq!(code, 130, "{signal:?}: {stderr}");
            assert!(stderr.contains("stopping") && !stderr.contains("failed to"), "{signal:?}: {stderr}");
            assert!(took < Duration::from_millis(1900), "the run does not wait for the answer: {took:?}");
        }
        let (code, stderr, _) = tokio::task::block_in_place(|| {
            at_the_question(&sandbox, folder.path(), Duration::ZERO, |_, terminal| {
                // Ctrl-D: end of input.
                terminal.write_all(&[4]).unwrap();
            })
        });
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("the answer was no"), "{stderr}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn progress_lines_appear_on_a_terminal_and_fit_its_width() {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let words = ["crawl", "--bbox=32.19,34.52,34.18,35.49", "--no-download"];
        let path = folder.path();
        let (code, stderr) = tokio::task::block_in_place(|| answer_question(&sandbox, path, &words, ""));
        assert_eq!(code, 0, "{stderr}");
        for line in ["sequences ", "images ", "metadata ", "network ", "/s"] {
            assert!(stderr.contains(line), "{line}: {stderr}");
        }
    }
}
