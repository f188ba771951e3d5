//! The gate under paused time: what it admits, how much and how far apart.

use super::*;

const PICTURES: usize = 2;

/// A host that answers after a tenth of a second, and the requests that were sent to it.
#[derive(Clone)]
struct Trial {
    gate: Arc<Gate>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    /// When each request was sent, in seconds; whether it was a first attempt.
    sent: Vec<(f64, bool)>,
    in_flight: usize,
    most: usize,
    /// When each good answer came.
    good: Vec<f64>,
    smallest_limit: Option<usize>,
}

impl Trial {
    fn new(concurrency: usize) -> Self {
        Self { gate: Gate::new(concurrency), log: Arc::default() }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no panic")
    }

    /// Sends an item until it succeeds or has been tried six times, with pauses that double.
    async fn item(self, started: Instant, ending: impl Fn(f64, u32) -> Outcome) {
        for made in 0..6 {
            let priority = if made == 0 { Priority::First } else { Priority::Late };
            let permit = self.gate.admit(PICTURES, priority).await;
            let at = started.elapsed().as_secs_f64();
            {
                let mut log = self.log();
                log.sent.push((at, made == 0));
                log.in_flight += 1;
                log.most = log.most.max(log.in_flight);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let outcome = ending(at, made);
            let limit = permit.judge(outcome, made == 0);
            {
                let mut log = self.log();
                log.in_flight -= 1;
                log.smallest_limit = log.smallest_limit.into_iter().chain(limit).min();
                if outcome == Outcome::Answered {
                    log.good.push(started.elapsed().as_secs_f64());
                }
            }
            drop(permit);
            if outcome == Outcome::Answered {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500 << made)).await;
        }
    }

    /// Starts items, as many as fit ahead of the gate, until all have ended; gives the time it took.
    async fn run(
        &self,
        items: usize,
        ending: impl Fn(usize, f64, u32) -> Outcome + Clone + Send + 'static,
    ) -> f64 {
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for item in 0..items {
            let ending = ending.clone();
            tasks.spawn(self.clone().item(started, move |at, made| ending(item, at, made)));
        }
        while tasks.join_next().await.is_some() {}
        started.elapsed().as_secs_f64()
    }
}

/// Items are bad by chance, but the same ones in every run.
fn is_bad(item: usize, percent: u64) -> bool {
    (item as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff < percent * 0xffff / 100
}

/// When nine tenths of the good items had come; the last tenth may be luck.
fn most_had_come(trial: &Trial) -> f64 {
    let good = &trial.log().good;
    good[good.len() * 9 / 10]
}

#[tokio::test(start_paused = true)]
async fn permanently_bad_items_leave_the_limit_open_and_take_no_place_of_good_ones() {
    let undisturbed = Trial::new(64);
    undisturbed.run(6400, |_, _, _| Outcome::Answered).await;
    let expected = most_had_come(&undisturbed);
    for (percent, outcome) in
        [(10, Outcome::Failed), (20, Outcome::Failed), (20, Outcome::Unusable), (45, Outcome::Unusable)]
    {
        let trial = Trial::new(64);
        trial
            .run(6400, move |item, _, _| if is_bad(item, percent) { outcome } else { Outcome::Answered })
            .await;
        let log = trial.log();
        assert_eq!(log.smallest_limit, None, "{percent} %: the limit never changed");
        assert_eq!(log.most, 64);
        let took = log.good[log.good.len() * 9 / 10];
        // Per good item, with as many places taken by first attempts of bad ones as there are bad items.
        assert!(took <= expected * 1.06, "{percent} %: {took} s, {expected} s without bad items");
    }
}

#[tokio::test(start_paused = true)]
async fn items_that_fail_once_cost_one_request_more_and_no_other_wait() {
    let trial = Trial::new(64);
    let took = trial
        .run(
            6400,
            |item, _, made| if made == 0 && is_bad(item, 14) { Outcome::Failed } else { Outcome::Answered },
        )
        .await;
    let log = trial.log();
    assert_eq!((log.good.len(), log.smallest_limit), (6400, None));
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let ideal = log.sent.len() as f64 / 640.0;
    assert!(took <= ideal + 1.0, "{took} s, {ideal} s at full speed");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_storm_and_ends_with_it() {
    let trial = Trial::new(64);
    let outage = 60.0..660.0;
    let down = outage.clone();
    // More items than the outage could use up.
    trial
        .run(50_000, move |_, at, _| if down.contains(&at) { Outcome::Failed } else { Outcome::Answered })
        .await;
    let log = trial.log();
    let sent = |from: f64, to: f64| log.sent.iter().filter(|(at, _)| (from..to).contains(at)).count();
    let in_outage = sent(outage.start, outage.end);
    assert!((600..=900).contains(&in_outage), "{in_outage} requests in ten minutes");
    let seconds = (120..660).map(|second| sent(f64::from(second), f64::from(second + 1))).max();
    assert!(seconds <= Some(2), "{seconds:?} in one second");
    let back = log.good.iter().filter(|at| (outage.end..outage.end + 10.0).contains(*at)).count();
    assert!(back > 2000, "{back} good answers in the ten seconds after it");
    assert_eq!(log.good.len(), 50_000, "no item used up its attempts");
}

#[tokio::test(start_paused = true)]
async fn when_every_body_is_unusable_it_is_the_host() {
    let trial = Trial::new(64);
    let run = trial.run(5000, |_, _, _| Outcome::Unusable);
    tokio::time::timeout(Duration::from_mins(1), run).await.expect_err("it is waited out");
    let sent = trial.log().sent.len();
    assert!(sent < 400, "{sent} requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn one_throttled_answer_halves_the_limit_once() {
    let gate = Gate::new(64);
    let mut permits = Vec::new();
    for _ in 0..64 {
        permits.push(gate.admit(1, Priority::First).await);
    }
    let limits: Vec<_> = permits.iter().filter_map(|permit| permit.judge(Outcome::Throttled, true)).collect();
    assert_eq!(limits, [32], "64 of them are one word");
    drop(permits);
    let permit = gate.admit(1, Priority::First).await;
    let grown: Vec<_> = (0..40).filter_map(|_| permit.judge(Outcome::Answered, true)).collect();
    assert_eq!(grown, [49]);
}

#[tokio::test(start_paused = true)]
async fn further_attempts_get_a_share_however_many_first_ones_wait() {
    let gate = Gate::new(1);
    let permit = gate.admit(PICTURES, Priority::First).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    let priorities = std::iter::repeat_n(Priority::Late, 4).chain(std::iter::repeat_n(Priority::First, 96));
    for priority in priorities {
        let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        tasks.spawn(async move {
            let _permit = gate.admit(PICTURES, priority).await;
            order.lock().expect("no panic").push(priority);
        });
        tokio::task::yield_now().await;
    }
    drop(permit);
    while tasks.join_next().await.is_some() {}
    let order = order.lock().expect("no panic");
    let late: Vec<_> = (0..order.len()).filter(|at| order[*at] == Priority::Late).collect();
    assert_eq!(late, [30, 62, 94, 99]);
}

#[tokio::test(start_paused = true)]
async fn all_hosts_share_the_concurrency_in_the_order_of_arrival() {
    let gate = Gate::new(2);
    let held = (gate.admit(0, Priority::First).await, gate.admit(1, Priority::First).await);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for (at, host) in [2, 1, 2, 0].into_iter().enumerate() {
        let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        tasks.spawn(async move {
            let _permit = gate.admit(host, Priority::First).await;
            order.lock().expect("no panic").push(at);
        });
        tokio::task::yield_now().await;
    }
    // One that gives up leaves no hole.
    let given_up = Box::pin(gate.admit(0, Priority::First));
    assert!(futures::FutureExt::now_or_never(given_up).is_none());
    assert!(order.lock().expect("no panic").is_empty());
    drop(held);
    while tasks.join_next().await.is_some() {}
    assert_eq!(*order.lock().expect("no panic"), [0, 1, 2, 3]);
    assert_eq!(gate.state().free, 2);
}
