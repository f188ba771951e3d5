//! The question before a large download, without anybody to ask and on a terminal.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use streetflow_sandbox::Sandbox;

use crate::support::run;

/// A table with so many rows, and no picture behind any.
fn table(folder: &Path, rows: u64) {
    fs::create_dir_all(folder.join("outputs")).unwrap();
    let mut text = "seq_id,img_id,thumb_256_url\n".to_owned();
    for id in 1..=rows {
        writeln!(text, "abc,{id},").unwrap();
    }
    fs::write(folder.join("outputs/img_meta_dataset.csv"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_be_asked_a_large_download_needs_a_word() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    table(folder.path(), 100_003);
    let (exit, said) = run(&sandbox, folder.path(), ["download"]).await;
    assert_eq!(exit, 2, "{said}");
    assert!(
        said.contains("100,003 pictures of quality 256 are wanted") && said.contains("`--yes`"),
        "{said}"
    );
    assert!(said.contains("are free for"), "{said}");
    // Those that are there need no word, and the rest is not much.
    let pictures = folder.path().join("outputs/downloaded_images");
    fs::create_dir_all(&pictures).unwrap();
    for id in 1..=3 {
        fs::write(pictures.join(format!("{id}_256.jpg")), "there".repeat(100)).unwrap();
    }
    let (exit, said) = run(&sandbox, folder.path(), ["download", "--attempts=1"]).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("100,000 gone"), "{said}");
    fs::remove_file(pictures.join("3_256.jpg")).unwrap();
    let (exit, said) = run(&sandbox, folder.path(), ["download", "--yes"]).await;
    assert_eq!(exit, 0, "{said}");
}

/// A terminal of our own, through which a person answers.
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

    /// Waits for the question, gives an answer, and tells how it ended.
    fn answered(sandbox: &Sandbox, folder: &Path, args: &[&str], answer: &str) -> (i32, String) {
        let (mut child, mut terminal) = on_a_terminal(sandbox, folder, args);
        let (mut said, mut piece, mut given) = (String::new(), [0; 4096], false);
        // The end of the other side is an error here.
        while let Ok(read @ 1..) = terminal.read(&mut piece) {
            said.push_str(&String::from_utf8_lossy(&piece[..read]));
            if !given && said.contains("go on? [y/N]") {
                terminal.write_all(answer.as_bytes()).unwrap();
                given = true;
            }
        }
        (child.wait().unwrap().code().unwrap_or(-1), said)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_person_is_asked_once_and_decides() {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        table(folder.path(), 100_001);
        for (answer, exit, words) in
            [("n\n", 2, "the answer was no"), ("\n", 2, "the answer was no"), ("yes\n", 0, "100,001 gone")]
        {
            let (sandbox, path) = (&sandbox, folder.path());
            let (code, said) = tokio::task::block_in_place(|| {
                answered(sandbox, path, &["download", "--attempts=1"], answer)
            });
            assert_eq!(code, exit, "{answer:?}: {said}");
            assert!(said.contains(words), "{answer:?}: {said}");
            assert_eq!(said.matches("go on? [y/N]").count(), 1, "{said}");
        }
        assert!(names(&folder.path().join("outputs")).contains(&"gone.csv".to_owned()));
    }

    /// Waits for the question, does something after a while, and tells how it ended and how long that took.
    fn at_the_question(
        sandbox: &Sandbox,
        folder: &Path,
        wait: Duration,
        act: impl FnOnce(&Child, &mut File),
    ) -> (i32, String, Duration) {
        let (mut child, mut terminal) = on_a_terminal(sandbox, folder, &["download", "--attempts=1"]);
        let (mut said, mut piece, mut act, mut acted) = (String::new(), [0; 4096], Some(act), Instant::now());
        while let Ok(read @ 1..) = terminal.read(&mut piece) {
            said.push_str(&String::from_utf8_lossy(&piece[..read]));
            if said.contains("go on? [y/N]")
                && let Some(act) = act.take()
            {
                std::thread::sleep(wait);
                act(&child, &mut terminal);
                acted = Instant::now();
            }
        }
        (child.wait().unwrap().code().unwrap_or(-1), said, acted.elapsed())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_signal_at_the_question_ends_it_as_anywhere_else() {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        table(folder.path(), 100_001);
        for (round, signal) in (0..12).zip([Signal::INT, Signal::TERM, Signal::HUP].into_iter().cycle()) {
            let (sandbox, path) = (&sandbox, folder.path());
            let wait = Duration::from_millis([0, 1, 5, 40][round % 4]);
            let (code, said, took) = tokio::task::block_in_place(|| {
                at_the_question(sandbox, path, wait, |child, _| {
                    kill_process(Pid::from_child(child), signal).unwrap();
                })
            });
            assert_eq!(code, 130, "{signal:?}: {said}");
            assert!(said.contains("stopping") && !said.contains("failed to"), "{signal:?}: {said}");
            assert!(took < Duration::from_millis(1900), "nobody waits for the answer: {took:?}");
        }
        let (code, said, _) = tokio::task::block_in_place(|| {
            at_the_question(&sandbox, folder.path(), Duration::ZERO, |_, terminal| {
                // Ctrl-D: the end of the input.
                terminal.write_all(&[4]).unwrap();
            })
        });
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("the answer was no"), "{said}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn live_lines_stand_on_a_terminal_and_fit_it() {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let words = ["crawl", "--bbox=32.19,34.52,34.18,35.49", "--no-download"];
        let path = folder.path();
        let (code, said) = tokio::task::block_in_place(|| answered(&sandbox, path, &words, ""));
        assert_eq!(code, 0, "{said}");
        for line in ["sequences ", "images ", "metadata ", "network ", "/s"] {
            assert!(said.contains(line), "{line}: {said}");
        }
    }
}
