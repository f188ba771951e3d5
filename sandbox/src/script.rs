//! Faults on demand.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::record::{Host, RecordedRequest, locked};

/// What goes wrong.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Fault {
    /// This answer instead.
    Status {
        /// The HTTP status.
        status: u16,
        /// Names and values of headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// A redirect to the login page that repeats the request's URL with its token: the block of the tile host.
    Redirect,
    /// The login page itself, with status 200.
    Html,
    /// Status 200 and not one byte.
    Empty,
    /// The true length is promised, but the connection drops after so many bytes.
    Truncate(usize),
    /// So many bytes are promised and sent, though the true answer is longer.
    TruncateSilently(usize),
    /// The connection drops before an answer.
    Reset,
    /// Headers, then silence.
    Stall,
    /// The true answer, at so many bytes a second.
    Trickle(u32),
    /// The true answer, after a while.
    Delay(Duration),
    /// These ids are left out of batches; alone they are answered.
    MissingIds(Vec<String>),
    /// Every batch of two or more that holds this id answers 500 with code 2.
    BatchFails(String),
    /// More than so many requests within a minute answer 403 with code 4.
    Quota {
        /// How many are answered.
        per_minute: usize,
    },
    /// 500 with code 1: please reduce the amount of data.
    TooBig,
    /// An answer without any data, though there is some.
    EmptyData,
}

impl Fault {
    /// An answer with this status and body, and no headers of its own.
    pub fn status(status: u16, body: &str) -> Self {
        Self::Status { status, headers: Vec::new(), body: body.to_owned() }
    }

    /// An error in the Graph's envelope.
    pub fn graph_error(status: u16, code: i32, subcode: Option<i32>, message: &str) -> Self {
        let body = super::graph::envelope(code, subcode, message);
        let headers = vec![("content-type".to_owned(), super::graph::JSON.to_owned())];
        Self::Status { status, headers, body }
    }

    /// The same fault with a header, such as `Retry-After`; only an answer of its own takes one.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Whether it can go wrong in this way; a rule is not used up by requests where it can't.
    fn applies_to(&self, asked: &RecordedRequest) -> bool {
        match self {
            Self::MissingIds(_) => asked.ids().len() > 1,
            Self::BatchFails(id) => asked.ids().len() > 1 && asked.ids().contains(id),
            _ => true,
        }
    }
}

type Test = Box<dyn Fn(&RecordedRequest) -> bool + Send + Sync>;

/// Which requests go wrong, and how.
///
/// ```
/// use streetflow_sandbox::{Fault, Host, Rule};
///
/// let rule = Rule::on(Host::Graph).path("/image_ids").times(2).fault(Fault::Reset);
/// ```
pub struct Rule {
    tests: Vec<Test>,
    fault: Option<Fault>,
    skip: u64,
    every: u64,
    times: u64,
    matched: u64,
    quota: Arc<Mutex<VecDeque<Instant>>>,
}

impl Rule {
    /// A rule for the requests that a closure chooses.
    pub fn when(test: impl Fn(&RecordedRequest) -> bool + Send + Sync + 'static) -> Self {
        let tests: Vec<Test> = vec![Box::new(test)];
        Self { tests, fault: None, skip: 0, every: 1, times: u64::MAX, matched: 0, quota: Arc::default() }
    }

    /// A rule for one host.
    pub fn on(host: Host) -> Self {
        Self::when(move |asked| asked.host == host)
    }

    /// Only requests with this path; a `*` at its end stands for any rest.
    pub fn path(self, path: &str) -> Self {
        let path = path.to_owned();
        self.and(move |asked| match path.strip_suffix('*') {
            Some(start) => asked.path.starts_with(start),
            None => asked.path == path,
        })
    }

    /// Only requests with this decoded query parameter.
    pub fn query(self, name: &str, value: &str) -> Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.and(move |asked| asked.param(&name).as_deref() == Some(&value))
    }

    fn and(mut self, test: impl Fn(&RecordedRequest) -> bool + Send + Sync + 'static) -> Self {
        self.tests.push(Box::new(test));
        self
    }

    /// Lets the first so many matching requests pass.
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Only every so many-th matching request.
    pub fn every_nth(mut self, one_in: u64) -> Self {
        self.every = one_in.max(1);
        self
    }

    /// Only so many times; without this, for ever.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// What goes wrong; without this, nothing does, which exempts requests from later rules.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Whether the rule holds for this request, and counts it.
    fn holds(&mut self, asked: &RecordedRequest) -> bool {
        let applies = self.fault.as_ref().is_none_or(|fault| fault.applies_to(asked));
        if self.times == 0 || !applies || !self.tests.iter().all(|test| test(asked)) {
            return false;
        }
        self.matched += 1;
        let number = self.matched.saturating_sub(self.skip);
        let holds = number > 0 && number.is_multiple_of(self.every);
        self.times -= u64::from(holds);
        holds
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("fault", &self.fault)
            .field("matched", &self.matched)
            .finish_non_exhaustive()
    }
}

/// The rules in force; the first that holds decides.
#[derive(Default)]
pub(super) struct Script(Mutex<Vec<Rule>>);

impl Script {
    pub(super) fn add(&self, rule: Rule) {
        locked(&self.0).push(rule);
    }

    pub(super) fn clear(&self) {
        locked(&self.0).clear();
    }

    /// What goes wrong with this request. A quota that is not used up is no fault.
    pub(super) fn fault(&self, asked: &RecordedRequest) -> Option<Fault> {
        let mut rules = locked(&self.0);
        let rule = rules.iter_mut().find_map(|rule| rule.holds(asked).then_some(rule))?;
        match rule.fault {
            Some(Fault::Quota { per_minute }) if !over(&mut locked(&rule.quota), per_minute) => None,
            _ => rule.fault.clone(),
        }
    }
}

/// Whether one more request now makes too many within a minute.
fn over(answered: &mut VecDeque<Instant>, per_minute: usize) -> bool {
    let now = Instant::now();
    while answered.front().is_some_and(|first| now - *first >= Duration::from_mins(1)) {
        answered.pop_front();
    }
    let over = answered.len() >= per_minute;
    if !over {
        answered.push_back(now);
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, query: &str) -> RecordedRequest {
        RecordedRequest {
            host: Host::Graph,
            connection: 0,
            version: "HTTP/1.1".to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            authorization: None,
            status: None,
            at: Duration::ZERO,
            in_flight: 1,
        }
    }

    #[test]
    fn a_rule_matches_host_path_and_query() {
        let script = Script::default();
        script.add(Rule::on(Host::Images).fault(Fault::Reset));
        script.add(Rule::on(Host::Graph).path("/image_ids").query("sequence_id", "a b").fault(Fault::Html));
        script.add(Rule::when(|asked| asked.ids().len() > 1).path("/*").fault(Fault::TooBig));
        assert!(matches!(script.fault(&asked("/image_ids", "sequence_id=a+b")), Some(Fault::Html)));
        assert!(script.fault(&asked("/image_ids", "sequence_id=c")).is_none());
        assert!(matches!(script.fault(&asked("/", "ids=1%2C2")), Some(Fault::TooBig)));
        assert!(script.fault(&asked("/", "ids=1")).is_none());
    }

    #[test]
    fn skip_share_and_times_count_matching_requests_only() {
        let script = Script::default();
        script.add(Rule::on(Host::Graph).path("/a").skip(1).every_nth(2).times(2).fault(Fault::Empty));
        script.add(Rule::on(Host::Graph).path("/a").skip(6).fault(Fault::Reset));
        let faults: Vec<bool> = (0..7)
            .map(|_| {
                assert!(script.fault(&asked("/b", "")).is_none());
                matches!(script.fault(&asked("/a", "")), Some(Fault::Empty))
            })
            .collect();
        assert_eq!(faults, [false, false, true, false, true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_lets_so_many_pass_within_a_minute() {
        let script = Script::default();
        script.add(Rule::on(Host::Graph).fault(Fault::Quota { per_minute: 2 }));
        let refused = || script.fault(&asked("/", "")).is_some();
        assert_eq!([refused(), refused(), refused()], [false, false, true]);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!([refused(), refused(), refused()], [false, false, true]);
    }
}
