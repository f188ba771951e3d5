use super::*;
use streetflow::{Error, ErrorKind, TileId};

#[test]
fn every_input_leaves_its_step_in_one_way() {
    let stats = RunStats::new(&[Step::SEQUENCES, Step::DOWNLOAD]);
    let (step, tile) = (Step::DOWNLOAD, TileId::WORLD);
    let gone = Error::new(ErrorKind::Gone, "fetch").with_subject("7 of sequence x");
    let failed = Error::new(ErrorKind::Unavailable, "fetch").with_hint("wait");
    for _ in 0..7 {
        stats.on_event(&Event::InputStarted { step });
    }
    for event in [
        Event::Record { step },
        Event::Record { step },
        Event::AlreadyExists { step },
        Event::Filtered { step, by: "dates" },
        Event::Gone { step, error: &gone },
        Event::Failed { step, error: &failed },
        Event::TilePruned { tile },
    ] {
        stats.on_event(&event);
    }
    let download = stats.step(step).expect("the step");
    let expected = StepCounts {
        inputs: 7,
        done: 2,
        already_exists: 1,
        pruned: 0,
        filtered: 1,
        over_limit: 0,
        gone: 1,
        failed: 1,
        not_reached: 1,
        rows: 2,
    };
    assert_eq!(download.counts(), expected);
    assert!(!download.counts().adds_up(), "one is open");
    stats.mark_limit_reached(step);
    assert_eq!(download.counts(), StepCounts { over_limit: 1, not_reached: 0, ..expected });
    assert!(download.counts().adds_up());
    assert_eq!((download.gone_names(), stats.failure_hint()), ("7".to_owned(), Some("wait")));
    assert_eq!(stats.step(Step::SEQUENCES).map(|step| step.pruned.get()), Some(1));
}
